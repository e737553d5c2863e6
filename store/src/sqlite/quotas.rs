//! Quota usage: tokens issued per client and calendar window.

use rusqlite::{Row, Transaction, params};

use super::failure::Failure;
use super::threads::SqliteStore;
use super::timeouts::TOKEN_LOCK_WAIT;
use crate::error::Result;
use crate::model::{LeaseGrant, LeaseRequest, Usage, Window};
use crate::row;

impl SqliteStore {
    pub(crate) async fn quota_usage(&self, after: Option<(&str, Window)>, limit: usize) -> Result<Vec<Usage>> {
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

    pub(crate) async fn quota_usage_by_client(&self, client_ids: &[String]) -> Result<Vec<Usage>> {
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

    pub(crate) async fn add_quota_usage(&self, usages: &[Usage]) -> Result<Vec<Usage>> {
        let usages = usages.to_vec();
        self.write(TOKEN_LOCK_WAIT, move |t| add(t, &usages)).await
    }

    pub(crate) async fn lease_quota(&self, requests: &[LeaseRequest]) -> Result<Vec<LeaseGrant>> {
        let requests = requests.to_vec();
        self.write(TOKEN_LOCK_WAIT, move |t| {
            let mut grants = Vec::with_capacity(requests.len());
            for request in &requests {
                let rows = add(t, &row::usages(&request.client_id, &request.starts, 0))?;
                let grant = row::grant(request, &rows);
                if grant.granted > 0 {
                    add(t, &row::usages(&request.client_id, &request.starts, grant.granted))?;
                }
                grants.push(grant);
            }
            Ok(grants)
        })
        .await
    }

    pub(crate) async fn return_quota(&self, usages: &[Usage]) -> Result<()> {
        let usages = usages.to_vec();
        self.write(TOKEN_LOCK_WAIT, move |t| {
            let mut subtract = t.prepare_cached(
                "UPDATE quota_usage SET used = max(used - ?4, 0) WHERE client_id = ?1 AND kind = ?2 AND window_start = ?3",
            )?;
            for u in &usages {
                subtract.execute(params![u.client_id, u.window.as_str(), u.start, u.used as i64])?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn purge_quota_usage(&self, before: i64) -> Result<u64> {
        self.purge(
            "DELETE FROM quota_usage WHERE (client_id, kind) IN
             (SELECT client_id, kind FROM quota_usage WHERE window_start < ?1 LIMIT ?2)",
            before,
        )
        .await
    }
}

/// Adds to rows, and returns them. A window that began in the future was begun with a clock that was set back since: it is replaced.
fn add(t: &Transaction<'_>, usages: &[Usage]) -> std::result::Result<Vec<Usage>, Failure> {
    let mut totals = Vec::with_capacity(usages.len());
    let mut add = t.prepare_cached(
        "INSERT INTO quota_usage (client_id, kind, window_start, used) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (client_id, kind) DO UPDATE SET
             used = CASE WHEN excluded.window_start = window_start THEN used + excluded.used
                         WHEN excluded.window_start > window_start OR window_start > unixepoch() + 60 THEN excluded.used ELSE used END,
             window_start = CASE WHEN window_start > unixepoch() + 60 THEN excluded.window_start
                         ELSE max(window_start, excluded.window_start) END
         RETURNING client_id, kind, window_start, used",
    )?;
    for u in usages {
        let mut rows = add.query(params![u.client_id, u.window.as_str(), u.start, u.used as i64])?;
        while let Some(r) = rows.next()? {
            totals.push(usage(r)?);
        }
    }
    Ok(totals)
}

fn usage(r: &Row<'_>) -> std::result::Result<Usage, Failure> {
    Ok(Usage {
        client_id: r.get(0)?,
        window: row::parse(
            "quota_usage.kind",
            r.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?,
        )?,
        start: r.get(2)?,
        used: r.get::<_, i64>(3)? as u64,
    })
}
