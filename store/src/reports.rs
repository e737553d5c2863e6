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
    /// Expired token rows deleted individually (SQLite; on Postgres only those of the default partition).
    pub tokens_deleted: u64,
    /// Revocation rows deleted because all tokens they cover have expired.
    pub revocations_deleted: u64,
    /// Rows deleted of what was remembered until it expired.
    pub remembered_deleted: u64,
}

/// The state of the ledger that maintenance keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerFigures {
    /// The first expiry, Unix seconds, of each partition but the default one (Postgres).
    pub partition_starts: Vec<i64>,
    /// Rows in the default partition, whose own partition did not exist in time, counted up to [`Self::COUNTED`] (Postgres).
    pub default_partition_rows: u64,
    /// Expired token rows that maintenance should have deleted, counted up to [`Self::COUNTED`].
    pub purge_rows_waiting: u64,
}

impl LedgerFigures {
    /// Where counts of rows end: beyond it the exact number does not matter.
    pub const COUNTED: u64 = 100_000;
}

/// The files of an embedded store.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileFigures {
    /// Checkpoints that copied the log into the file.
    pub checkpoints_done: u64,
    /// Checkpoints that failed.
    pub checkpoints_failed: u64,
    /// Size of the write-ahead log.
    pub log_bytes: u64,
}
