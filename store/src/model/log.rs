//! Positions in the revocation log and in the audit log.

/// A position in a log up to which every row has been read. Opaque; `default()` = the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogPosition {
    /// SQLite: id of the last row. Postgres: the oldest transaction that was still running.
    pub(crate) at: i64,
    /// Postgres: start time of the server process. Transaction ids of different runs are not comparable: after a restart, a
    /// failover or a restore, they may count from another number. SQLite: 0.
    pub(crate) run: i64,
    /// A sum that differs when a row of the revocation log was corrected. Always 0 in the audit log.
    pub(crate) corrections: i64,
}

impl LogPosition {
    /// Whether both positions belong to the same run of the database, so that the rows between them can be read.
    pub fn is_comparable(&self, other: &Self) -> bool {
        self.run == other.run
    }

    /// Whether a cut-off was corrected between the two positions of the revocation log. What was read up to the earlier one may then be
    /// too much.
    pub fn is_corrected(&self, other: &Self) -> bool {
        self.corrections != other.corrections
    }
}
