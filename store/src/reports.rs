//! Figures that the store reports about itself.

/// Connections of a store.
#[derive(Debug, Clone, Copy, Default)]
pub struct PoolUse {
    /// Connections that are executing a statement.
    pub active: u32,
    /// Open connections, active or idle.
    pub open: u32,
    /// Maximum number of connections.
    pub max: u32,
}

/// Result of one round of maintenance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// Partitions created ahead of use (Postgres).
    pub partitions_created: u32,
    /// Expired partitions dropped (Postgres).
    pub partitions_dropped: u32,
    /// Partitions after the round, without the default partition (Postgres).
    pub partitions: u32,
    /// Rows in the default partition, whose own partition did not exist in time (Postgres).
    pub default_partition_rows: u64,
    /// Expired token rows deleted individually (SQLite; on Postgres only those of the default partition).
    pub tokens_deleted: u64,
    /// Revocation rows deleted because all tokens they cover have expired.
    pub revocations_deleted: u64,
}
