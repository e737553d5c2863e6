//! The limit of open file descriptors, and how many connections it allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but public connections: the store, logs, event queues, and the management listener.
const RESERVED: u64 = 192;

/// Connections of the management listener; part of [`RESERVED`].
pub const MANAGEMENT_CONNECTIONS: usize = 64;

/// The most public connections of a process, whatever the limit.
const MAX_PUBLIC_CONNECTIONS: u64 = 100_000;

/// Raises the soft limit to the hard limit, and returns how many public connections fit. At least 16, so that a server under a tiny
/// limit still answers.
pub fn public_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
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
    let available = soft.unwrap_or(u64::MAX).saturating_sub(RESERVED);
    available.clamp(16, MAX_PUBLIC_CONNECTIONS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_limit_is_raised_to_the_hard_limit() {
        let connections = public_connections();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert!((16..=100_000).contains(&connections));
    }
}
