//! What was used of quotas, and who has how many tokens.

use rusqlite::{Row, params};

use super::{Failure, HURRIED, Result, SqliteStore, row};
use crate::model::token::uuid_of_ms;
use crate::model::{Expiring, MOST_EXPIRING, Usage, Window};

impl SqliteStore {
    pub(in crate::store) async fn quota_usage(
        &self,
        after: Option<(&str, Window)>,
        limit: usize,
    ) -> Result<Vec<Usage>> {
        let (client_id, kind) = after.map_or((String::new(), ""), |(client_id, window)| {
            (client_id.to_owned(), window.as_str())
        });
        self.read(move |t| {
            let mut select = t.prepare_cached(
                "SELECT client_id, kind, window_start, used FROM quota_usage
                 WHERE (client_id, kind) > (?1, ?2) ORDER BY client_id, kind LIMIT ?3",
            )?;
            let mut rows = select.query(params![client_id, kind, limit as i64])?;
            let mut found = Vec::new();
            while let Some(r) = rows.next()? {
                found.push(usage(r)?);
            }
            Ok(found)
        })
        .await
    }

    pub(in crate::store) async fn quota_usage_of(&self, client_ids: &[String]) -> Result<Vec<Usage>> {
        let client_ids = client_ids.to_vec();
        self.read(move |t| {
            let mut select =
                t.prepare_cached("SELECT client_id, kind, window_start, used FROM quota_usage WHERE client_id = ?1")?;
            let mut found = Vec::new();
            for client_id in &client_ids {
                let mut rows = select.query([client_id])?;
                while let Some(r) = rows.next()? {
                    found.push(usage(r)?);
                }
            }
            Ok(found)
        })
        .await
    }

    pub(in crate::store) async fn add_quota_usage(&self, usages: &[Usage]) -> Result<Vec<Usage>> {
        let usages = usages.to_vec();
        self.write(HURRIED, move |t| {
            let mut known = Vec::with_capacity(usages.len());
            for u in &usages {
                let mut add = t.prepare_cached(
                    "INSERT INTO quota_usage (client_id, kind, window_start, used) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (client_id, kind) DO UPDATE SET
                         used = CASE WHEN excluded.window_start > window_start THEN excluded.used
                                     WHEN excluded.window_start = window_start THEN used + excluded.used ELSE used END,
                         window_start = max(window_start, excluded.window_start)
                     RETURNING client_id, kind, window_start, used",
                )?;
                let mut rows = add.query(params![u.client_id, u.window.as_str(), u.start, u.used as i64])?;
                while let Some(r) = rows.next()? {
                    known.push(usage(r)?);
                }
            }
            Ok(known)
        })
        .await
    }

    pub(in crate::store) async fn purge_quota_usage(&self, before: i64) -> Result<u64> {
        self.purge(
            "DELETE FROM quota_usage WHERE (client_id, kind) IN
             (SELECT client_id, kind FROM quota_usage WHERE window_start < ?1 LIMIT ?2)",
            before,
        )
        .await
    }

    pub(in crate::store) async fn expiring_tokens(&self, now: i64, before_ms: u64) -> Result<Vec<Expiring>> {
        self.read(move |t| {
            let mut select = t.prepare_cached(
                "SELECT client_id, (expires_at / 60 + 1) * 60, count(*) FROM tokens WHERE expires_at > ?1 AND jti < ?2
                 GROUP BY 1, 2 LIMIT ?3",
            )?;
            let mut rows = select.query(params![now, uuid_of_ms(before_ms).as_bytes(), MOST_EXPIRING as i64])?;
            let mut found = Vec::new();
            while let Some(r) = rows.next()? {
                found.push(Expiring {
                    client_id: r.get(0)?,
                    expires_at: r.get(1)?,
                    count: r.get::<_, i64>(2)? as u64,
                });
            }
            Ok(found)
        })
        .await
    }

    pub(in crate::store) async fn top_clients(&self, now: i64, limit: usize) -> Result<Vec<(String, u64)>> {
        self.read(move |t| {
            let mut select = t.prepare_cached(
                "SELECT client_id, count(*) FROM tokens WHERE expires_at > ?1 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?2",
            )?;
            let mut rows = select.query(params![now, limit as i64])?;
            let mut found = Vec::new();
            while let Some(r) = rows.next()? {
                found.push((r.get(0)?, r.get::<_, i64>(1)? as u64));
            }
            Ok(found)
        })
        .await
    }
}

fn usage(r: &Row<'_>) -> std::result::Result<Usage, Failure> {
    Ok(Usage {
        client_id: r.get(0)?,
        window: row::parse(
            "the window of a quota,",
            r.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?,
        )?,
        start: r.get(2)?,
        used: r.get::<_, i64>(3)? as u64,
    })
}
