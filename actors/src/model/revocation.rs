//! The revocation log: token ids, and cut-offs.

use uuid::Uuid;

/// What a revocation takes away.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RevocationTarget {
    /// One token.
    Token {
        /// Its id.
        jti: Uuid,
        /// When it would have expired: after that the log row may go.
        expires_at: i64,
    },
    /// Every token of a client up to the cut-off.
    Client(String),
    /// Every token of a user up to the cut-off.
    User(String),
    /// Every token signed by a key (`kid`) up to the cut-off.
    Key(String),
    /// Every token of this issuer up to the cut-off.
    Issuer,
}

/// One row of the append-only log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// What is revoked.
    pub target: RevocationTarget,
    /// Unix milliseconds. For a cut-off: every token whose `jti` carries this millisecond or an earlier one is dead.
    pub cutoff_ms: u64,
}
