//! Registered clients and the hashes of their secrets.

use std::sync::Arc;

use super::{Ledger, Policy, SigningAlg, TokenFormat, names};

names! {
    /// A grant type that a client may use (RFC 6749 section 1.3).
    GrantType {
        /// RFC 6749 section 4.4.
        ClientCredentials = "client_credentials",
    }
}

/// SHA-256 of a client secret. Secrets are generated with 256 bits or checked for length when given, so a fast hash is enough.
pub type SecretHash = [u8; 32];

/// One secret of a client: a client has two while a rotation's overlap lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSecret {
    /// SHA-256 of the secret.
    pub hash: SecretHash,
    /// When it stops working; `None` for the current one.
    pub expires_at: Option<i64>,
}

/// A registered client. A million of them may be in memory: lists are slices that clients which have the same may share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its name in the protocol, unique for ever (a deleted name may be made again, but no old token comes back to life).
    pub client_id: Arc<str>,
    /// A name for people.
    pub client_name: Option<Box<str>>,
    /// The grants it may use.
    pub grant_types: Arc<[GrantType]>,
    /// Scopes it may ask for, space-separated, each once, in the order given.
    pub scope: Arc<str>,
    /// Format of its access tokens; `None` = the server's default.
    pub token_format: Option<TokenFormat>,
    /// Signature of its JWTs; `None` = `EdDSA`.
    pub signing_alg: Option<SigningAlg>,
    /// Audiences it may ask for; the first is the default. Empty = the issuer.
    pub audience: Arc<[Arc<str>]>,
    /// Audiences whose tokens it may introspect.
    pub resource_server: Arc<[Arc<str>]>,
    /// Whether its tokens are recorded; `None` = the server's default.
    pub token_ledger: Option<Ledger>,
    /// Seconds its access tokens live; `None` = the server's default.
    pub access_token_lifetime: Option<u32>,
    /// Limits, quotas and claims; `None` where nothing is said.
    pub policy: Option<Arc<Policy>>,
    /// A disabled client gets no tokens, may not ask, and its tokens are not active.
    pub disabled: bool,
    /// When it was registered.
    pub created_at: i64,
    /// Grows by one with each change: an update names the version it started from.
    pub version: i64,
    /// Its secrets, newest first. Expired ones may be among them.
    pub secrets: Box<[ClientSecret]>,
}

impl Client {
    /// Limits, quotas and claims; empty where nothing is said.
    pub fn policy(&self) -> &Policy {
        self.policy.as_deref().unwrap_or_else(|| Policy::none())
    }
}
