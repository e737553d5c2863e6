//! Verifiers of the published key sets.

use rusqlite::params;

use super::threads::SqliteStore;
use super::timeouts::TOKEN_LOCK_WAIT;
use crate::error::Result;
use crate::model::{KeyVerifier, MAX_KEY_VERIFIERS};
use crate::row;

impl SqliteStore {
    pub(crate) async fn record_key_fetches(&self, fetches: &[KeyVerifier], forget_before: i64) -> Result<()> {
        let fetches = fetches.to_vec();
        self.write(TOKEN_LOCK_WAIT, move |t| {
            let mut record = t.prepare_cached(
                "INSERT INTO key_fetchers (document, address, user_agent, first_seen, last_seen, generation, fetches)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (document, address, user_agent) DO UPDATE SET
                     first_seen = min(first_seen, excluded.first_seen),
                     last_seen = max(last_seen, excluded.last_seen),
                     generation = iif(excluded.last_seen >= last_seen, excluded.generation, generation),
                     fetches = fetches + excluded.fetches",
            )?;
            for fetch in &fetches {
                record.execute(params![
                    fetch.document.as_str(),
                    fetch.address,
                    fetch.user_agent,
                    fetch.first_seen,
                    fetch.last_seen,
                    fetch.generation,
                    fetch.fetches as i64,
                ])?;
            }
            let forget = "DELETE FROM key_fetchers WHERE last_seen < max(?1, coalesce((
                SELECT last_seen FROM key_fetchers ORDER BY last_seen DESC LIMIT 1 OFFSET ?2), ?1))";
            t.prepare_cached(forget)?
                .execute(params![forget_before, MAX_KEY_VERIFIERS as i64 - 1])?;
            Ok(())
        })
        .await
    }

    pub(crate) async fn key_verifiers(&self, since: i64) -> Result<Vec<KeyVerifier>> {
        self.read(move |t| {
            let mut select = t.prepare_cached(
                "SELECT document, address, user_agent, first_seen, last_seen, generation, fetches FROM key_fetchers
                 WHERE last_seen >= ?1 ORDER BY last_seen DESC, document, address, user_agent LIMIT ?2",
            )?;
            let mut rows = select.query(params![since, MAX_KEY_VERIFIERS as i64])?;
            let mut found = Vec::new();
            while let Some(r) = rows.next()? {
                let document: String = r.get(0)?;
                found.push(KeyVerifier {
                    document: row::parse("key_fetchers.document", &document)?,
                    address: r.get(1)?,
                    user_agent: r.get(2)?,
                    first_seen: r.get(3)?,
                    last_seen: r.get(4)?,
                    generation: r.get(5)?,
                    fetches: r.get::<_, i64>(6)? as u64,
                });
            }
            Ok(found)
        })
        .await
    }
}
