//! What a process knows of its read replica: whether reads go there, why not, and how many did.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strum::{IntoStaticStr, VariantArray};

/// Why the primary answered a read that the replica may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Fallback {
    /// The replica does not have the row. It may be younger than what the replica has replayed.
    Missing,
    /// The replica is further behind than allowed, or how far behind it is is unknown.
    Behind,
    /// The replica did not answer in time, or none of its connections was free.
    Slow,
    /// There is no connection to the replica.
    Unreachable,
    /// The replica answered with an error.
    Failed,
    /// The server is no replica of the primary: another database, or one whose history differs.
    Foreign,
}

impl Fallback {
    /// Every reason, in the order of declaration.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How many reads each server answered, of those that the replica may answer.
#[derive(Debug, Default)]
pub struct ReadCounts {
    replica: AtomicU64,
    primary: AtomicU64,
    fallbacks: [AtomicU64; Fallback::VARIANTS.len()],
}

impl ReadCounts {
    /// Reads that the replica answered.
    pub fn of_replica(&self) -> u64 {
        self.replica.load(Ordering::Relaxed)
    }

    /// Reads that the primary answered.
    pub fn of_primary(&self) -> u64 {
        self.primary.load(Ordering::Relaxed)
    }

    /// Reads for which the primary was asked for this reason.
    pub fn fallbacks(&self, reason: Fallback) -> u64 {
        self.fallbacks[reason as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn count_replica(&self) {
        self.replica.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_primary(&self) {
        self.primary.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_fallback(&self, reason: Fallback) {
        self.fallbacks[reason as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The state of the replica when it was last checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaState {
    /// Reads go to the replica.
    InUse,
    /// Reads go to the primary. The text says why, for operators, without secrets.
    Unused(Fallback, String),
}

/// The replica, as of its last check.
#[derive(Debug, Clone)]
pub struct ReplicaStatus {
    /// Whether reads go there.
    pub state: ReplicaState,
    /// The time since which the replica may miss changes of the primary; `None`: unknown.
    pub lag: Option<Duration>,
    /// Whether the server at the read URL is the primary itself.
    pub is_primary: bool,
}

impl ReplicaStatus {
    /// Whether reads go to the replica.
    pub fn is_in_use(&self) -> bool {
        self.state == ReplicaState::InUse
    }
}
