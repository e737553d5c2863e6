//! The limit of open file descriptors, and how many connections it allows.

use oauth2_store::Location;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::failure::Failure;

/// Descriptors for everything but public connections, at least: the store, logs, event queues, and the management listener.
const RESERVED: u64 = 192;

/// Connections of the management listener; part of the reserve.
pub const MANAGEMENT_CONNECTIONS: usize = 64;

/// Descriptors of a process without workers: standard streams, an SQLite store, and the event queues of the actors and of the management
/// listener. Some are spare, for exports and other servers.
const BASE: u64 = 72;

/// Event queues of a worker.
const PER_WORKER: u64 = 4;

/// Connections to Postgres beyond those of the pool: to be notified, and attempts at several hosts.
const BESIDES_POOL: u64 = 8;

/// The fewest and the most public connections of a process.
const MIN_PUBLIC_CONNECTIONS: u64 = 16;
const MAX_PUBLIC_CONNECTIONS: u64 = 100_000;

/// Raises the soft limit to the hard limit, and fails if a server with this configuration could run out of descriptors: its threads could
/// not start, or its management listener not answer.
pub fn check(config: &Config) -> Result<(), Failure> {
    let (limit, needed) = (raised_limit(), reserve(config) + min_public(config));
    if limit >= needed {
        return Ok(());
    }
    let workers = config.server.workers;
    Err(Failure::Environment(format!(
        "the limit of open files is {limit}, but a server with {workers} workers needs at least {needed}; raise it with LimitNOFILE= of the \
         unit or ulimit -n, or lower OAUTH2_SERVER_WORKERS or OAUTH2_DATABASE_MAX_CONNECTIONS"
    )))
}

/// How many public connections fit beyond the reserve.
pub fn public_connections(config: &Config) -> usize {
    let available = raised_limit().saturating_sub(reserve(config).max(RESERVED));
    available.clamp(min_public(config), MAX_PUBLIC_CONNECTIONS) as usize
}

/// At least one for each worker.
fn min_public(config: &Config) -> u64 {
    MIN_PUBLIC_CONNECTIONS.max(config.server.workers as u64)
}

/// Descriptors for everything but public connections.
fn reserve(config: &Config) -> u64 {
    let options = config.database.options();
    let store = match options.location {
        Location::Sqlite(_) => 0,
        Location::Postgres(_) => {
            let replica = options.read_at.as_ref().map_or(0, |replica| replica.max_connections);
            u64::from(options.max_connections) + u64::from(replica) + BESIDES_POOL
        }
    };
    MANAGEMENT_CONNECTIONS as u64 + BASE + PER_WORKER * config.server.workers as u64 + store
}

/// The limit after the soft limit was raised to the hard limit.
fn raised_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current.unwrap_or(u64::MAX);
    }
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // A failure leaves the soft limit in force.
    let soft = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            limit.current
        }
    };
    // `None`: unlimited.
    soft.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_limit_is_raised_to_the_hard_limit() {
        assert!(raised_limit() > 0);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
