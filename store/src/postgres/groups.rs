//! Groups of clients: their limits, and what they used.

use std::ops::Range;
use std::sync::Arc;

use super::connection::Connection;
use super::failure::Failure;
use super::param::Param;
use super::pool::{PostgresStore, with_connection};
use super::seconds::Seconds;
use super::timeouts::{LONG, LONG_STATEMENT, ORDINARY};
use crate::error::Result;
use crate::model::{AuditEntry, Group, GroupUsage};
use crate::row::{self, changed_limits};

/// Inserts the limits of a group that has none, with the audit row.
const INSERT: &str = "WITH put AS (
        INSERT INTO client_groups (name, limits, updated_at) VALUES ($1, $2::text::jsonb, $3) ON CONFLICT (name) DO NOTHING RETURNING name)
    INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail) SELECT $3, $4, $5, 'group', name, $6 FROM put";

/// Locks the limits of a group, which a later statement of the transaction changes.
const LOCK: &str = "SELECT name, limits::text, updated_at FROM client_groups WHERE name = $1 FOR UPDATE";

/// Replaces the limits of a group, with the audit row.
const UPDATE: &str = "WITH put AS (
        UPDATE client_groups SET limits = $2::text::jsonb, updated_at = $3 WHERE name = $1 RETURNING name)
    INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail) SELECT $3, $4, $5, 'group', name, $6 FROM put";

const DELETE: &str = "WITH deleted AS (DELETE FROM client_groups WHERE name = $1 RETURNING name)
    INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail) SELECT $2, $3, $4, 'group', name, $5 FROM deleted";

impl PostgresStore {
    pub(crate) async fn groups(&self) -> Result<Vec<Group>> {
        with_connection!(self, ORDINARY, |connection| {
            let sql = "SELECT name, limits::text, updated_at FROM client_groups ORDER BY name";
            connection.query(sql, &[]).await?.iter().map(group).collect()
        })
    }

    pub(crate) async fn group(&self, name: &str) -> Result<Option<Group>> {
        with_connection!(self, ORDINARY, |connection| {
            let sql = "SELECT name, limits::text, updated_at FROM client_groups WHERE name = $1";
            connection.query(sql, &[&name]).await?.first().map(group).transpose()
        })
    }

    pub(crate) async fn put_group(&self, group: &Group, before: Option<&Group>, audit: &AuditEntry) -> Result<()> {
        let limits = row::limits(&group.limits).to_string();
        with_connection!(self, ORDINARY, |connection| {
            connection.begin("").await?;
            if before.is_some() {
                row::check_limits(&group.name, locked(connection, &group.name).await?.as_ref(), before)?;
            }
            let params: [&dyn Param; 6] = [
                &&*group.name,
                &limits,
                &Seconds(group.updated_at),
                &audit.actor,
                &audit.action,
                &audit.detail,
            ];
            let sql = if before.is_some() { UPDATE } else { INSERT };
            if connection.execute(sql, &params).await? == 0 {
                return Err(changed_limits(&group.name).into());
            }
            connection.commit().await?;
            Ok(())
        })
    }

    pub(crate) async fn delete_group(&self, before: &Group, now: i64, audit: &AuditEntry) -> Result<bool> {
        let name = &*before.name;
        with_connection!(self, ORDINARY, |connection| {
            connection.begin("").await?;
            let Some(found) = locked(connection, name).await? else {
                connection.roll_back().await?;
                return Ok(false);
            };
            row::check_limits(name, Some(&found), Some(before))?;
            let params: [&dyn Param; 5] = [&name, &Seconds(now), &audit.actor, &audit.action, &audit.detail];
            connection.execute(DELETE, &params).await?;
            connection.commit().await?;
            Ok(true)
        })
    }

    pub(crate) async fn add_group_usage(&self, usages: &[GroupUsage]) -> Result<()> {
        // Always in the same order, so that concurrent nodes do not deadlock.
        let mut usages: Vec<&GroupUsage> = usages.iter().collect();
        usages.sort_unstable_by_key(|usage| (usage.day, &usage.group));
        let days: Vec<i64> = usages.iter().map(|usage| usage.day).collect();
        let groups: Vec<&str> = usages.iter().map(|usage| &*usage.group).collect();
        let tokens: Vec<i64> = usages.iter().map(|usage| usage.tokens as i64).collect();
        with_connection!(self, ORDINARY, |connection| {
            let sql = "INSERT INTO group_usage AS u (day, group_name, tokens)
                SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])
                ON CONFLICT (day, group_name) DO UPDATE SET tokens = u.tokens + excluded.tokens";
            let params: [&dyn Param; 3] = [&days, &groups, &tokens];
            connection.execute(sql, &params).await?;
            Ok(())
        })
    }

    pub(crate) async fn group_usage(&self, days: Range<i64>, group: Option<&str>) -> Result<Vec<GroupUsage>> {
        with_connection!(self, LONG, |connection| {
            let sql = "SELECT day, group_name, tokens FROM group_usage WHERE day >= $1 AND day < $2
                AND ($3::text IS NULL OR group_name = $3) ORDER BY day, group_name";
            let rows = connection.query(sql, &[&days.start, &days.end, &group]).await?;
            let usage = |r: &tokio_postgres::Row| {
                Ok::<_, Failure>(GroupUsage {
                    day: r.try_get(0)?,
                    group: Arc::from(r.try_get::<_, &str>(1)?),
                    tokens: r.try_get::<_, i64>(2)? as u64,
                })
            };
            rows.iter().map(usage).collect()
        })
    }

    pub(crate) async fn purge_group_usage(&self, before: i64) -> Result<u64> {
        with_connection!(self, LONG, |connection| {
            connection.begin(LONG_STATEMENT).await?;
            // A row per group and day: few enough for one statement.
            let deleted = connection
                .execute("DELETE FROM group_usage WHERE day < $1", &[&before])
                .await?;
            connection.commit().await?;
            Ok(deleted)
        })
    }

    pub(crate) async fn top_groups(&self, now: i64, limit: usize) -> Result<Vec<(String, u64)>> {
        with_connection!(self, LONG, |connection| {
            connection.begin(LONG_STATEMENT).await?;
            let sql = "SELECT c.client_group, count(*) FROM tokens t JOIN clients c ON c.client_id = t.client_id
                WHERE t.expires_at > $1 AND c.client_group IS NOT NULL
                GROUP BY 1 ORDER BY 2 DESC, c.client_group COLLATE \"C\" LIMIT $2";
            let rows = connection.query(sql, &[&Seconds(now), &(limit as i64)]).await?;
            connection.commit().await?;
            rows.iter()
                .map(|r| Ok((r.try_get(0)?, r.try_get::<_, i64>(1)? as u64)))
                .collect()
        })
    }
}

async fn locked(connection: &mut Connection, name: &str) -> std::result::Result<Option<Group>, Failure> {
    connection.query(LOCK, &[&name]).await?.first().map(group).transpose()
}

fn group(r: &tokio_postgres::Row) -> std::result::Result<Group, Failure> {
    let updated_at: Seconds = r.try_get(2)?;
    Ok(row::group(r.try_get(0)?, r.try_get(1)?, updated_at.0)?)
}
