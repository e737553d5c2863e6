//! Quota usage: tokens issued per client and calendar window.

use tokio_postgres::Row;

use super::failure::Failure;
use super::param::Param;
use super::pool::{PostgresStore, with_connection};
use super::timeouts::{LONG, LONG_STATEMENT, ORDINARY};
use crate::error::{Result, StoreError};
use crate::model::{LeaseGrant, LeaseRequest, Usage, Window};
use crate::row;

/// Rows deleted by one statement.
const CHUNK: u64 = 5000;

/// Adds to rows, and returns them. A window that began in the future was begun with a clock that was set back since: it is replaced.
const ADD: &str = "INSERT INTO quota_usage AS q (client_id, kind, window_start, used)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
    ON CONFLICT (client_id, kind) DO UPDATE SET
        used = CASE WHEN excluded.window_start = q.window_start THEN q.used + excluded.used
                    WHEN excluded.window_start > q.window_start
                        OR q.window_start > extract(epoch FROM clock_timestamp()) + 60 THEN excluded.used ELSE q.used END,
        window_start = CASE WHEN q.window_start > extract(epoch FROM clock_timestamp()) + 60 THEN excluded.window_start
                    ELSE greatest(q.window_start, excluded.window_start) END
    RETURNING client_id, kind, window_start, used";

/// Takes what all windows of each client allow, for clients that have a row for each window: rows of past windows are purged. One statement: a node that is paused holds no lock. Windows that
/// ended begin again, as do windows that began in the future; nothing is taken of a window that began later than in the request. As
/// `LeaseRequest::granted`.
const LEASE: &str = "WITH asked AS (
        SELECT a.client_id, a.want, w.kind, w.start, w.quota
        FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
            AS a (client_id, want, hour, day, month, hour_quota, day_quota, month_quota),
        LATERAL (VALUES ('hour', a.hour, a.hour_quota), ('day', a.day, a.day_quota), ('month', a.month, a.month_quota))
            AS w (kind, start, quota)),
    locked AS (
        SELECT client_id, kind, used,
            CASE WHEN window_start > extract(epoch FROM clock_timestamp()) + 60 THEN 0 ELSE window_start END AS window_start
        FROM quota_usage WHERE client_id = ANY ($1) ORDER BY client_id COLLATE \"C\", kind COLLATE \"C\" FOR UPDATE),
    known AS (
        SELECT a.client_id, a.want, a.kind, a.quota, greatest(l.window_start, a.start) AS start, l.window_start > a.start AS is_later,
            CASE WHEN l.window_start >= a.start THEN l.used ELSE 0 END AS used
        FROM asked a JOIN locked l ON l.client_id = a.client_id AND l.kind = a.kind),
    grants AS (
        SELECT client_id, CASE WHEN bool_or(is_later) THEN 0
            ELSE least(max(want), greatest(min(quota - used) / $9, 1), greatest(min(quota - used), 0)) END AS granted
        FROM known GROUP BY client_id HAVING count(*) = 3),
    taken AS (
        UPDATE quota_usage q SET used = k.used + g.granted, window_start = k.start
        FROM known k JOIN grants g ON g.client_id = k.client_id
        WHERE q.client_id = k.client_id AND q.kind = k.kind AND g.granted > 0)
    SELECT k.client_id, k.kind, k.start, k.used + g.granted, g.granted FROM known k JOIN grants g ON g.client_id = k.client_id";

/// Subtracts from rows of the same window, in the order in which other statements lock them.
const RETURN: &str = "WITH returned AS (
        SELECT client_id, kind, window_start, sum(used)::bigint AS used
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS r (client_id, kind, window_start, used) GROUP BY 1, 2, 3),
    locked AS (
        SELECT q.client_id, q.kind, q.window_start, q.used FROM quota_usage q WHERE q.client_id = ANY ($1)
        ORDER BY q.client_id COLLATE \"C\", q.kind COLLATE \"C\" FOR UPDATE)
    UPDATE quota_usage q SET used = greatest(l.used - r.used, 0)
    FROM locked l JOIN returned r ON r.client_id = l.client_id AND r.kind = l.kind AND r.window_start = l.window_start
    WHERE q.client_id = l.client_id AND q.kind = l.kind";

/// The columns of rows, always in the same order, so that concurrent nodes do not deadlock.
struct Sorted<'a> {
    ids: Vec<&'a str>,
    kinds: Vec<&'static str>,
    starts: Vec<i64>,
    used: Vec<i64>,
}

impl<'a> Sorted<'a> {
    fn new(usages: &'a [Usage]) -> Self {
        let mut usages: Vec<&Usage> = usages.iter().collect();
        usages.sort_unstable_by_key(|usage| (&usage.client_id, usage.window.as_str()));
        Self {
            ids: usages.iter().map(|usage| &*usage.client_id).collect(),
            kinds: usages.iter().map(|usage| usage.window.as_str()).collect(),
            starts: usages.iter().map(|usage| usage.start).collect(),
            used: usages.iter().map(|usage| usage.used as i64).collect(),
        }
    }

    fn params(&self) -> [&dyn Param; 4] {
        [&self.ids, &self.kinds, &self.starts, &self.used]
    }
}

impl PostgresStore {
    pub(crate) async fn quota_usage(&self, after: Option<(&str, Window)>, limit: usize) -> Result<Vec<Usage>> {
        let (client_id, kind) = after.map_or(("", ""), |(client_id, window)| (client_id, window.as_str()));
        with_connection!(self, LONG, |connection| {
            let sql = "SELECT client_id, kind, window_start, used FROM quota_usage
                WHERE (client_id, kind COLLATE \"C\") > ($1, $2) ORDER BY client_id, kind COLLATE \"C\" LIMIT $3";
            let rows = connection.query(sql, &[&client_id, &kind, &(limit as i64)]).await?;
            rows.iter().map(usage).collect()
        })
    }

    pub(crate) async fn quota_usage_by_client(&self, client_ids: &[String]) -> Result<Vec<Usage>> {
        with_connection!(self, ORDINARY, |connection| {
            let sql = "SELECT client_id, kind, window_start, used FROM quota_usage WHERE client_id = ANY ($1)";
            let rows = connection.query(sql, &[&client_ids]).await?;
            rows.iter().map(usage).collect()
        })
    }

    pub(crate) async fn add_quota_usage(&self, usages: &[Usage]) -> Result<Vec<Usage>> {
        let rows = Sorted::new(usages);
        with_connection!(self, ORDINARY, |connection| {
            let rows = connection.query(ADD, &rows.params()).await?;
            rows.iter().map(usage).collect()
        })
    }

    pub(crate) async fn lease_quota(&self, requests: &[LeaseRequest]) -> Result<Vec<LeaseGrant>> {
        let mut grants = self.lease_known(requests).await?;
        let unknown = requests.iter().zip(&grants).filter(|(_, grant)| grant.is_none());
        let unknown: Vec<LeaseRequest> = unknown.map(|(request, _)| request.clone()).collect();
        if !unknown.is_empty() {
            let rows = unknown
                .iter()
                .flat_map(|one| row::usages(&one.client_id, &one.starts, 0));
            self.add_quota_usage(&rows.collect::<Vec<_>>()).await?;
            let mut found = self.lease_known(&unknown).await?.into_iter();
            for grant in grants.iter_mut().filter(|grant| grant.is_none()) {
                *grant = found.next().flatten();
            }
        }
        let missing = || StoreError::Corrupt("a lease of a quota returned no row".to_owned());
        grants.into_iter().map(|grant| grant.ok_or_else(missing)).collect()
    }

    /// `None` for a client that lacks the row of a window.
    async fn lease_known(&self, requests: &[LeaseRequest]) -> Result<Vec<Option<LeaseGrant>>> {
        let ids: Vec<&str> = requests.iter().map(|request| &*request.client_id).collect();
        let wants: Vec<i64> = requests.iter().map(|request| request.want as i64).collect();
        let start = |index: usize| -> Vec<i64> { requests.iter().map(|request| request.starts[index]).collect() };
        let quota = |window: Window| -> Vec<i64> {
            let quota = |request: &LeaseRequest| window.quota(&request.quotas).map_or(i64::MAX, |quota| quota as i64);
            requests.iter().map(quota).collect()
        };
        let starts = [start(0), start(1), start(2)];
        let quotas = [quota(Window::Hour), quota(Window::Day), quota(Window::Month)];
        let rows = with_connection!(self, ORDINARY, |connection| {
            let params: [&dyn Param; 9] = [
                &ids,
                &wants,
                &starts[0],
                &starts[1],
                &starts[2],
                &quotas[0],
                &quotas[1],
                &quotas[2],
                &LeaseRequest::PART,
            ];
            let rows = connection.query(LEASE, &params).await?;
            let row = |r: &Row| Ok::<_, Failure>((usage(r)?, r.try_get::<_, i64>(4)? as u64));
            rows.iter().map(row).collect::<std::result::Result<Vec<_>, _>>()
        })?;
        let grant = |request: &LeaseRequest| {
            let of_client = rows.iter().filter(|(row, _)| row.client_id == request.client_id);
            let of_client: Vec<_> = of_client.collect();
            let find = |window: &Window| of_client.iter().find(|(row, _)| row.window == *window);
            let (first, granted) = of_client.first()?;
            debug_assert_eq!(first.client_id, request.client_id);
            let mut grant = LeaseGrant {
                granted: *granted,
                used: [0; 3],
                starts: request.starts,
            };
            for (index, window) in Window::ALL.iter().enumerate() {
                let (row, _) = find(window)?;
                (grant.used[index], grant.starts[index]) = (row.used, row.start);
            }
            Some(grant)
        };
        Ok(requests.iter().map(grant).collect())
    }

    pub(crate) async fn return_quota(&self, usages: &[Usage]) -> Result<()> {
        let rows = Sorted::new(usages);
        with_connection!(self, ORDINARY, |connection| {
            connection.execute(RETURN, &rows.params()).await?;
            Ok(())
        })
    }

    pub(crate) async fn purge_quota_usage(&self, before: i64) -> Result<u64> {
        let mut deleted = 0;
        loop {
            let step = with_connection!(self, LONG, |connection| {
                connection.begin(LONG_STATEMENT).await?;
                let sql = "DELETE FROM quota_usage WHERE (client_id, kind) IN
                    (SELECT client_id, kind FROM quota_usage WHERE window_start < $1 LIMIT $2) AND window_start < $1";
                let params: [&dyn Param; 2] = [&before, &(CHUNK as i64)];
                let step = connection.execute(sql, &params).await?;
                connection.commit().await?;
                Ok(step)
            })?;
            deleted += step;
            if step < CHUNK {
                return Ok(deleted);
            }
        }
    }
}

fn usage(r: &Row) -> std::result::Result<Usage, Failure> {
    Ok(Usage {
        client_id: r.try_get(0)?,
        window: row::parse("quota_usage.kind", r.try_get(1)?)?,
        start: r.try_get(2)?,
        used: r.try_get::<_, i64>(3)? as u64,
    })
}
