//! Groups of clients: their limits, and what they used.

use std::ops::Range;

use rusqlite::{Connection, Row, params};

use super::audit::append_audit;
use super::failure::Failure;
use super::threads::SqliteStore;
use super::timeouts::{ADMIN_LOCK_WAIT, TOKEN_LOCK_WAIT};
use crate::error::Result;
use crate::model::{AuditEntry, Group, GroupUsage};
use crate::row;

impl SqliteStore {
    pub(crate) async fn groups(&self) -> Result<Vec<Group>> {
        self.read(|t| {
            let mut select = t.prepare_cached("SELECT name, limits, updated_at FROM client_groups ORDER BY name")?;
            let mut rows = select.query([])?;
            let mut found = Vec::new();
            while let Some(r) = rows.next()? {
                found.push(group(r)?);
            }
            Ok(found)
        })
        .await
    }

    pub(crate) async fn group(&self, name: &str) -> Result<Option<Group>> {
        let name = name.to_owned();
        self.read(move |t| find(t, &name)).await
    }

    pub(crate) async fn put_group(&self, group: &Group, before: Option<&Group>, audit: &AuditEntry) -> Result<()> {
        let (group, before, audit) = (group.clone(), before.cloned(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            row::check_limits(&group.name, find(t, &group.name)?.as_ref(), before.as_ref())?;
            t.prepare_cached(
                "INSERT INTO client_groups (name, limits, updated_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET limits = excluded.limits, updated_at = excluded.updated_at",
            )?
            .execute(params![
                group.name,
                row::limits(&group.limits).to_string(),
                group.updated_at
            ])?;
            append_audit(t, group.updated_at, &audit, "group", &group.name)
        })
        .await
    }

    pub(crate) async fn delete_group(&self, before: &Group, now: i64, audit: &AuditEntry) -> Result<bool> {
        let (before, audit) = (before.clone(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let Some(found) = find(t, &before.name)? else {
                return Ok(false);
            };
            row::check_limits(&before.name, Some(&found), Some(&before))?;
            t.prepare_cached("DELETE FROM client_groups WHERE name = ?1")?
                .execute([&before.name])?;
            append_audit(t, now, &audit, "group", &before.name)?;
            Ok(true)
        })
        .await
    }

    pub(crate) async fn add_group_usage(&self, usages: &[GroupUsage]) -> Result<()> {
        let usages = usages.to_vec();
        self.write(TOKEN_LOCK_WAIT, move |t| {
            let mut add = t.prepare_cached(
                "INSERT INTO group_usage (day, group_name, tokens) VALUES (?1, ?2, ?3)
                 ON CONFLICT (day, group_name) DO UPDATE SET tokens = tokens + excluded.tokens",
            )?;
            for usage in &usages {
                add.execute(params![usage.day, usage.group, usage.tokens as i64])?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn group_usage(&self, days: Range<i64>, group: Option<&str>) -> Result<Vec<GroupUsage>> {
        let group = group.map(str::to_owned);
        self.read(move |t| {
            let mut select = t.prepare_cached(
                "SELECT day, group_name, tokens FROM group_usage WHERE day >= ?1 AND day < ?2
                 AND (?3 IS NULL OR group_name = ?3) ORDER BY day, group_name",
            )?;
            let mut rows = select.query(params![days.start, days.end, group])?;
            let mut found = Vec::new();
            while let Some(r) = rows.next()? {
                found.push(GroupUsage {
                    day: r.get(0)?,
                    group: r.get(1)?,
                    tokens: r.get::<_, i64>(2)? as u64,
                });
            }
            Ok(found)
        })
        .await
    }

    pub(crate) async fn purge_group_usage(&self, before: i64) -> Result<u64> {
        self.purge(
            "DELETE FROM group_usage WHERE (day, group_name) IN
             (SELECT day, group_name FROM group_usage WHERE day < ?1 LIMIT ?2)",
            before,
        )
        .await
    }

    pub(crate) async fn top_groups(&self, now: i64, limit: usize) -> Result<Vec<(String, u64)>> {
        self.read(move |t| {
            let mut select = t.prepare_cached(
                "SELECT c.client_group, count(*) FROM tokens t JOIN clients c ON c.client_id = t.client_id
                 WHERE t.expires_at > ?1 AND c.client_group IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?2",
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

fn find(t: &Connection, name: &str) -> std::result::Result<Option<Group>, Failure> {
    let mut select = t.prepare_cached("SELECT name, limits, updated_at FROM client_groups WHERE name = ?1")?;
    let mut rows = select.query([name])?;
    rows.next()?.map(group).transpose()
}

fn group(r: &Row<'_>) -> std::result::Result<Group, Failure> {
    let limits: String = r.get(1)?;
    Ok(row::group(r.get(0)?, &limits, r.get(2)?)?)
}
