//! Revocation cut-offs, as an operator sees them.

use super::Revocation;

/// A cut-off in the revocation log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutOff {
    /// The id of its row.
    pub id: i64,
    /// The tokens that it revokes, with the time that holds.
    pub revocation: Revocation,
    /// The time that was written, Unix milliseconds: later than the one that holds if it was corrected.
    pub written_ms: u64,
}
