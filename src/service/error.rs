//! Why a use case was rejected or failed. HTTP and the command line render the same errors.

use std::time::Duration;

use oauth2_actors::error::{AskError, GatewayError};
use oauth2_actors::runtime::clock::IdError;
use oauth2_store::StoreError;
use thiserror::Error;
use uuid::Uuid;

use super::limit_status::LimitStatus;
use crate::keys::KeyError;
use crate::protocol::error::OAuthError;
use crate::tokens::SignError;
use crate::tokens::secret::NoRandomness;

/// What every use case answers.
pub type Result<T> = std::result::Result<T, ServiceError>;

/// Why a use case was rejected (by its caller's fault) or failed (by ours).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServiceError {
    /// Rejected by an OAuth rule.
    #[error("{0}")]
    OAuth(#[from] OAuthError),
    /// A bearer token is missing, malformed, inactive or for another audience (RFC 6750 section 3.1).
    #[error("a valid bearer token is required")]
    InvalidToken,
    /// The bearer token lacks the scope of the admin API.
    #[error("the token lacks the scope oauth2.admin")]
    InsufficientScope,
    /// A field of a client is not acceptable.
    #[error("{0}")]
    InvalidMetadata(#[from] InvalidMetadata),
    /// A parameter is not acceptable.
    #[error("{name} {reason}")]
    InvalidParameter {
        /// The parameter, as JSON and URLs spell it.
        name: &'static str,
        /// What is wrong with it and what is allowed: the rest of a sentence that begins with the parameter.
        reason: String,
    },
    /// The request as a whole is not acceptable.
    #[error("{0}")]
    InvalidRequest(String),
    /// The named object does not exist.
    #[error("{0}")]
    NotFound(NotFound),
    /// The request collides with the stored state.
    #[error("{0}")]
    Conflict(String),
    /// The object is not the version that the request names.
    #[error("{0}")]
    PreconditionFailed(String),
    /// A limit of the client is exhausted.
    #[error("{0}")]
    LimitExceeded(Box<LimitExceeded>),
    /// The store failed.
    #[error("{0}")]
    Store(StoreError),
    /// An actor did not answer.
    #[error("{0}")]
    Ask(#[from] AskError),
    /// The published clients or revocations are older than the staleness budget.
    #[error("clients and revocations have not been confirmed by the store recently")]
    Stale,
    /// The fallback introspection did not answer, so it is not known whether a token is active.
    #[error("the introspection endpoint of the previous issuer does not answer")]
    FallbackUnavailable,
    /// No key of the algorithm can sign on this node.
    #[error("no signing key for {0}")]
    NoSigningKey(&'static str),
    /// The signing keys of the store cannot be used or made.
    #[error("{0}")]
    Key(String),
    /// A file that the use case depends on cannot be read.
    #[error("{0}")]
    File(String),
    /// The use of a quota is not known, so an enforced one cannot be checked.
    #[error("the use of the quota is not known yet")]
    QuotaUnknown,
    /// No token id can be made.
    #[error("{0}")]
    Id(IdError),
    /// The operating system gave no randomness.
    #[error("{0}")]
    Randomness(#[from] NoRandomness),
    /// A defect of this program.
    #[error("{0}")]
    Internal(&'static str),
}

impl ServiceError {
    /// An error of this parameter.
    pub fn parameter(name: &'static str, reason: impl Into<String>) -> Self {
        Self::InvalidParameter {
            name,
            reason: reason.into(),
        }
    }

    /// A client that does not exist.
    pub fn no_client(client_id: impl Into<String>) -> Self {
        Self::NotFound(NotFound::Client(client_id.into()))
    }
}

/// A field of a client that is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field} {reason}")]
pub struct InvalidMetadata {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it and what is allowed: the rest of a sentence that begins with the field.
    pub reason: String,
}

impl InvalidMetadata {
    /// An error of this field.
    pub fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self {
            field,
            reason: reason.into(),
        }
    }
}

/// What does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotFound {
    /// A client.
    #[error("there is no client {0:?}")]
    Client(String),
    /// Limits of a group.
    #[error("the group {0:?} has no limits")]
    Group(String),
    /// A signing key.
    #[error("there is no key {0:?}")]
    Key(String),
    /// The record of a token. Stateless tokens have none.
    #[error("there is no record of token {0}; stateless tokens have none")]
    Token(Uuid),
    /// A revocation cut-off.
    #[error("there is no revocation cut-off {0}")]
    CutOff(i64),
}

/// A limit that is exhausted, and when a retry is worthwhile.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}; retry after {} s", limit.description(), seconds(*retry_after))]
pub struct LimitExceeded {
    /// Which one.
    pub limit: Limit,
    /// When a retry is worthwhile.
    pub retry_after: Duration,
    /// The client's limits, where it may know them.
    pub status: Vec<LimitStatus>,
}

/// A kind of limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The client's rate limit at an endpoint.
    Rate,
    /// A quota of tokens of the client.
    Quota,
    /// The rate limit of the client's group at an endpoint.
    GroupRate,
    /// A quota of tokens of the client's group.
    GroupQuota,
    /// Failed authentications of one client from one address.
    AuthFailures,
}

impl Limit {
    const fn description(self) -> &'static str {
        match self {
            Self::Rate => "rate limit exceeded",
            Self::Quota => "quota of tokens exhausted",
            Self::GroupRate => "rate limit of the client's group exceeded",
            Self::GroupQuota => "quota of tokens of the client's group exhausted",
            Self::AuthFailures => "too many failed authentications",
        }
    }
}

/// Whole seconds, rounded up, at least 1.
pub fn seconds(wait: Duration) -> u128 {
    wait.as_millis().div_ceil(1000).max(1)
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(text) => Self::Conflict(text),
            StoreError::InvalidValue(text) => Self::InvalidRequest(text.to_owned()),
            other => Self::Store(other),
        }
    }
}

impl From<GatewayError> for ServiceError {
    fn from(error: GatewayError) -> Self {
        match error {
            GatewayError::Ask(error) => error.into(),
            GatewayError::Store(error) => error.into(),
        }
    }
}

impl From<IdError> for ServiceError {
    fn from(error: IdError) -> Self {
        Self::Id(error)
    }
}

impl From<SignError> for ServiceError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::NoKey(algorithm) => Self::NoSigningKey(algorithm),
            SignError::Crypto => Self::Internal("signing failed"),
        }
    }
}

impl From<KeyError> for ServiceError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Generate => Self::Internal("cannot generate a signing key"),
            KeyError::Wrapped(_) => Self::Key(format!(
                "{error}; set that key in OAUTH2_KEY_ENCRYPTION_KEY or OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS"
            )),
            KeyError::Damaged(_) => Self::Key(error.to_string()),
        }
    }
}
