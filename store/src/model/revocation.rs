//! The revocation log: revoked token ids and cut-offs.

use uuid::Uuid;

/// The tokens that a revocation covers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RevocationTarget {
    /// One token.
    Token {
        /// Token id.
        jti: Uuid,
        /// Expiry of the token; the row may be deleted afterwards.
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
    /// The tokens that are revoked.
    pub target: RevocationTarget,
    /// Unix milliseconds. A cut-off revokes every token whose `jti` contains this millisecond or an earlier one.
    pub cutoff_ms: u64,
    /// The client's version at its cut-off: tokens whose `jti` contains an earlier version are revoked whatever their time. A
    /// node that had not yet read of the change issued them. The store sets it; 0 for other targets.
    pub client_version: i64,
}

impl Revocation {
    /// A revocation as it is passed to the store, which sets the version.
    pub fn new(target: RevocationTarget, cutoff_ms: u64) -> Self {
        Self {
            target,
            cutoff_ms,
            client_version: 0,
        }
    }

    /// A cut-off of a client.
    pub fn of_client(client_id: impl Into<String>, cutoff_ms: u64, client_version: i64) -> Self {
        Self {
            target: RevocationTarget::Client(client_id.into()),
            cutoff_ms,
            client_version,
        }
    }
}
