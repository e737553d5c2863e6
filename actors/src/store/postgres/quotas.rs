//! What was used of quotas, and who has how many tokens.

use tokio_postgres::Row;

use super::column::Seconds;
use super::{Failure, ORDINARY, PATIENT, Param, PostgresStore, Result, row, verb};
use crate::model::token::uuid_of_ms;
use crate::model::{Expiring, MOST_EXPIRING, Usage, Window};

impl PostgresStore {
    pub(in crate::store) async fn quota_usage(
        &self,
        after: Option<(&str, Window)>,
        limit: usize,
    ) -> Result<Vec<Usage>> {
        let (client_id, kind) = after.map_or(("", ""), |(client_id, window)| (client_id, window.as_str()));
        verb!(self, PATIENT, |connection| {
            let sql = "SELECT client_id, kind, window_start, used FROM quota_usage
                WHERE (client_id, kind COLLATE \"C\") > ($1, $2) ORDER BY client_id, kind COLLATE \"C\" LIMIT $3";
            let rows = connection.query(sql, &[&client_id, &kind, &(limit as i64)]).await?;
            rows.iter().map(usage).collect()
        })
    }

    pub(in crate::store) async fn quota_usage_of(&self, client_ids: &[String]) -> Result<Vec<Usage>> {
        verb!(self, ORDINARY, |connection| {
            let sql = "SELECT client_id, kind, window_start, used FROM quota_usage WHERE client_id = ANY ($1)";
            let rows = connection.query(sql, &[&client_ids]).await?;
            rows.iter().map(usage).collect()
        })
    }

    pub(in crate::store) async fn add_quota_usage(&self, usages: &[Usage]) -> Result<Vec<Usage>> {
        // In one order, so that nodes that save together do not lock each other out.
        let mut usages: Vec<&Usage> = usages.iter().collect();
        usages.sort_unstable_by_key(|usage| (&usage.client_id, usage.window.as_str()));
        let ids: Vec<&str> = usages.iter().map(|usage| &*usage.client_id).collect();
        let kinds: Vec<&str> = usages.iter().map(|usage| usage.window.as_str()).collect();
        let starts: Vec<i64> = usages.iter().map(|usage| usage.start).collect();
        let used: Vec<i64> = usages.iter().map(|usage| usage.used as i64).collect();
        verb!(self, ORDINARY, |connection| {
            let sql = "INSERT INTO quota_usage AS q (client_id, kind, window_start, used)
                SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
                ON CONFLICT (client_id, kind) DO UPDATE SET
                    used = CASE WHEN excluded.window_start > q.window_start THEN excluded.used
                                WHEN excluded.window_start = q.window_start THEN q.used + excluded.used ELSE q.used END,
                    window_start = greatest(q.window_start, excluded.window_start)
                RETURNING client_id, kind, window_start, used";
            let rows = connection.query(sql, &[&ids, &kinds, &starts, &used]).await?;
            rows.iter().map(usage).collect()
        })
    }

    pub(in crate::store) async fn purge_quota_usage(&self, before: i64) -> Result<u64> {
        const CHUNK: i64 = 5000;
        let mut deleted = 0;
        loop {
            let step = verb!(self, PATIENT, |connection| {
                connection.begin("SET LOCAL statement_timeout = 5000").await?;
                let sql = "DELETE FROM quota_usage WHERE (client_id, kind) IN
                    (SELECT client_id, kind FROM quota_usage WHERE window_start < $1 LIMIT $2) AND window_start < $1";
                let step = connection.execute(sql, &[&before, &CHUNK]).await?;
                connection.commit().await?;
                Ok(step)
            })?;
            deleted += step;
            if step < CHUNK as u64 {
                return Ok(deleted);
            }
        }
    }

    pub(in crate::store) async fn expiring_tokens(&self, now: i64, before_ms: u64) -> Result<Vec<Expiring>> {
        verb!(self, PATIENT, |connection| {
            connection.begin("SET LOCAL statement_timeout = 5000").await?;
            let sql = "SELECT client_id, (extract(epoch FROM expires_at)::bigint / 60 + 1) * 60, count(*) FROM tokens
                WHERE expires_at > $1 AND jti < $2 GROUP BY 1, 2 LIMIT $3";
            let params: [&dyn Param; 3] = [&Seconds(now), &uuid_of_ms(before_ms), &(MOST_EXPIRING as i64)];
            let rows = connection.query(sql, &params).await?;
            connection.commit().await?;
            let read = |r: &Row| {
                Ok(Expiring {
                    client_id: r.try_get(0)?,
                    expires_at: r.try_get(1)?,
                    count: r.try_get::<_, i64>(2)? as u64,
                })
            };
            rows.iter().map(read).collect()
        })
    }

    pub(in crate::store) async fn top_clients(&self, now: i64, limit: usize) -> Result<Vec<(String, u64)>> {
        verb!(self, PATIENT, |connection| {
            connection.begin("SET LOCAL statement_timeout = 5000").await?;
            let sql = "SELECT client_id, count(*) FROM tokens WHERE expires_at > $1
                GROUP BY client_id ORDER BY 2 DESC, client_id COLLATE \"C\" LIMIT $2";
            let rows = connection.query(sql, &[&Seconds(now), &(limit as i64)]).await?;
            connection.commit().await?;
            rows.iter()
                .map(|r| Ok((r.try_get(0)?, r.try_get::<_, i64>(1)? as u64)))
                .collect()
        })
    }
}

fn usage(r: &Row) -> std::result::Result<Usage, Failure> {
    Ok(Usage {
        client_id: r.try_get(0)?,
        window: row::parse("the window of a quota,", r.try_get(1)?)?,
        start: r.try_get(2)?,
        used: r.try_get::<_, i64>(3)? as u64,
    })
}
