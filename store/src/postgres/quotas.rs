//! Quota usage: tokens issued per client and calendar window.

use tokio_postgres::Row;

use super::failure::Failure;
use super::param::Param;
use super::pool::{PostgresStore, with_connection};
use super::timeouts::{LONG, LONG_STATEMENT, ORDINARY};
use crate::error::Result;
use crate::model::{LeaseGrant, LeaseRequest, Usage, Window};
use crate::row;

/// Rows deleted by one statement.
const CHUNK: u64 = 5000;

/// Adds to rows, and returns them.
const ADD: &str = "INSERT INTO quota_usage AS q (client_id, kind, window_start, used)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
    ON CONFLICT (client_id, kind) DO UPDATE SET
        used = CASE WHEN excluded.window_start > q.window_start THEN excluded.used
                    WHEN excluded.window_start = q.window_start THEN q.used + excluded.used ELSE q.used END,
        window_start = greatest(q.window_start, excluded.window_start)
    RETURNING client_id, kind, window_start, used";

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
        // Reads and locks every row; those of windows that ended begin again.
        let nothing = |request: &LeaseRequest| row::usages(&request.client_id, &request.starts, 0);
        let rows: Vec<Usage> = requests.iter().flat_map(nothing).collect();
        let read = Sorted::new(&rows);
        with_connection!(self, ORDINARY, |connection| {
            connection.begin("").await?;
            let locked = connection.query(ADD, &read.params()).await?;
            let locked: Vec<Usage> = locked.iter().map(usage).collect::<std::result::Result<_, _>>()?;
            let grants: Vec<LeaseGrant> = requests.iter().map(|request| row::grant(request, &locked)).collect();
            let taken = requests.iter().zip(&grants).filter(|(_, grant)| grant.granted > 0);
            let taken: Vec<Usage> = taken
                .flat_map(|(request, grant)| row::usages(&request.client_id, &request.starts, grant.granted))
                .collect();
            if !taken.is_empty() {
                connection.query(ADD, &Sorted::new(&taken).params()).await?;
            }
            connection.commit().await?;
            Ok(grants)
        })
    }

    pub(crate) async fn return_quota(&self, usages: &[Usage]) -> Result<()> {
        let rows = Sorted::new(usages);
        with_connection!(self, ORDINARY, |connection| {
            let sql = "UPDATE quota_usage q SET used = greatest(q.used - r.used, 0)
                FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) r (client_id, kind, window_start, used)
                WHERE q.client_id = r.client_id AND q.kind = r.kind AND q.window_start = r.window_start";
            connection.execute(sql, &rows.params()).await?;
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
