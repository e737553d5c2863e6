//! Verifiers of the published key sets.

use tokio_postgres::Row;

use super::failure::Failure;
use super::param::Param;
use super::pool::{PostgresStore, with_connection};
use super::seconds::Seconds;
use super::timeouts::ORDINARY;
use crate::error::Result;
use crate::model::{KeyVerifier, MAX_KEY_VERIFIERS};
use crate::row;

const RECORD: &str = "INSERT INTO key_fetchers AS f (document, address, user_agent, first_seen, last_seen, generation, fetches)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::bigint[], $7::bigint[])
    ON CONFLICT (document, address, user_agent) DO UPDATE SET
        first_seen = least(f.first_seen, excluded.first_seen),
        last_seen = greatest(f.last_seen, excluded.last_seen),
        generation = CASE WHEN excluded.last_seen >= f.last_seen THEN excluded.generation ELSE f.generation END,
        fetches = f.fetches + excluded.fetches";

/// Rows that another node is writing are left to the next round.
const FORGET: &str = "DELETE FROM key_fetchers WHERE (document, address, user_agent) IN (
    SELECT document, address, user_agent FROM key_fetchers WHERE last_seen < greatest($1, (
        SELECT last_seen FROM key_fetchers ORDER BY last_seen DESC OFFSET $2 LIMIT 1)) FOR UPDATE SKIP LOCKED)";

impl PostgresStore {
    pub(crate) async fn record_key_fetches(&self, fetches: &[KeyVerifier], forget_before: i64) -> Result<()> {
        // Always in the same order, so that concurrent nodes do not deadlock.
        let mut fetches: Vec<&KeyVerifier> = fetches.iter().collect();
        fetches.sort_unstable_by_key(|fetch| (fetch.document.as_str(), &fetch.address, &fetch.user_agent));
        let documents: Vec<&str> = fetches.iter().map(|fetch| fetch.document.as_str()).collect();
        let addresses: Vec<&str> = fetches.iter().map(|fetch| &*fetch.address).collect();
        let agents: Vec<&str> = fetches.iter().map(|fetch| &*fetch.user_agent).collect();
        let first: Vec<Seconds> = fetches.iter().map(|fetch| Seconds(fetch.first_seen)).collect();
        let last: Vec<Seconds> = fetches.iter().map(|fetch| Seconds(fetch.last_seen)).collect();
        let generations: Vec<i64> = fetches.iter().map(|fetch| fetch.generation).collect();
        let counts: Vec<i64> = fetches.iter().map(|fetch| fetch.fetches as i64).collect();
        with_connection!(self, ORDINARY, |connection| {
            let params: [&dyn Param; 7] = [&documents, &addresses, &agents, &first, &last, &generations, &counts];
            connection.execute(RECORD, &params).await?;
            let params: [&dyn Param; 2] = [&Seconds(forget_before), &(MAX_KEY_VERIFIERS as i64 - 1)];
            connection.execute(FORGET, &params).await?;
            Ok(())
        })
    }

    pub(crate) async fn key_verifiers(&self, since: i64) -> Result<Vec<KeyVerifier>> {
        with_connection!(self, ORDINARY, |connection| {
            let sql =
                "SELECT document, address, user_agent, first_seen, last_seen, generation, fetches FROM key_fetchers
                WHERE last_seen >= $1 ORDER BY last_seen DESC, document, address, user_agent LIMIT $2";
            let params: [&dyn Param; 2] = [&Seconds(since), &(MAX_KEY_VERIFIERS as i64)];
            connection.query(sql, &params).await?.iter().map(read).collect()
        })
    }
}

fn read(r: &Row) -> std::result::Result<KeyVerifier, Failure> {
    Ok(KeyVerifier {
        document: row::parse("key_fetchers.document", r.try_get(0)?)?,
        address: r.try_get(1)?,
        user_agent: r.try_get(2)?,
        first_seen: r.try_get::<_, Seconds>(3)?.0,
        last_seen: r.try_get::<_, Seconds>(4)?.0,
        generation: r.try_get(5)?,
        fetches: r.try_get::<_, i64>(6)? as u64,
    })
}
