//! The connections of the server, and its standbys.

use super::failure::Failure;
use super::pool::{PostgresStore, with_connection};
use super::timeouts::LONG;
use crate::error::Result;
use crate::model::capacity::{Capacity, Standby};

const SETTINGS: &str = "SELECT current_setting('max_connections')::int,
    current_setting('superuser_reserved_connections')::int + coalesce(nullif(current_setting('reserved_connections', true), '')::int, 0),
    pg_has_role('pg_read_all_stats', 'USAGE')";

const STANDBYS: &str =
    "SELECT coalesce(application_name, ''), extract(epoch FROM replay_lag)::float8 FROM pg_stat_replication
    WHERE application_name NOT IN ('pg_basebackup', 'pg_receivewal') ORDER BY 1";

impl PostgresStore {
    pub(crate) async fn capacity(&self) -> Result<Capacity> {
        with_connection!(self, LONG, |connection| {
            let settings = connection.query_one(SETTINGS, &[]).await?;
            let standbys = connection.query(STANDBYS, &[]).await?;
            let standby = |r: &tokio_postgres::Row| {
                Ok::<_, Failure>(Standby {
                    name: r.try_get(0)?,
                    lag_seconds: r.try_get(1)?,
                })
            };
            let standbys = standbys.iter().map(standby).collect::<std::result::Result<_, _>>()?;
            let slots = "SELECT slot_name::text FROM pg_replication_slots WHERE NOT active ORDER BY 1";
            let slots = connection.query(slots, &[]).await?;
            Ok(Capacity {
                max_connections: settings.try_get::<_, i32>(0)?.unsigned_abs(),
                reserved: settings.try_get::<_, i32>(1)?.unsigned_abs(),
                shows_lag: settings.try_get(2)?,
                standbys,
                inactive_slots: slots
                    .iter()
                    .map(|r| r.try_get(0))
                    .collect::<std::result::Result<_, _>>()?,
            })
        })
    }
}
