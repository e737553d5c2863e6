//! Why a request failed: the closed sets behind the metrics `reject_total` and `shed_total`.

use oauth2_actors::metrics::Label;
use strum::{IntoStaticStr, VariantArray};

use crate::protocol::error::ErrorCode;

/// Why a request was rejected: the caller's fault, or the client's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RejectReason {
    /// RFC 6749 section 5.2.
    InvalidRequest,
    /// RFC 6749 section 5.2.
    InvalidClient,
    /// RFC 6749 section 5.2.
    UnauthorizedClient,
    /// RFC 6749 section 5.2.
    UnsupportedGrantType,
    /// RFC 6749 section 5.2.
    InvalidScope,
    /// RFC 8707 section 2.
    InvalidTarget,
    /// A field of a client is not acceptable.
    InvalidClientMetadata,
    /// The body is too large.
    TooLarge,
    /// The body did not arrive in time.
    SlowBody,
    /// There is no such URL or object.
    NotFound,
    /// The management listener does not answer for the host.
    UnknownHost,
    /// The URL takes other methods.
    MethodNotAllowed,
    /// No valid bearer token.
    Unauthorized,
    /// The bearer token lacks the scope.
    Forbidden,
    /// The request collides with the stored state.
    Conflict,
    /// The client's rate limit is exceeded.
    RateLimited,
    /// The client failed to authenticate too often.
    AuthFailures,
    /// A quota of the client is exhausted.
    QuotaExceeded,
}

/// Why a request was shed or failed: our fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ShedReason {
    /// A mailbox or pool is full.
    Full,
    /// The deadline passed.
    Deadline,
    /// An actor crashed.
    Crashed,
    /// The process is stopping.
    Stopped,
    /// The store cannot be reached.
    StoreUnavailable,
    /// The store did not answer in time.
    StoreTimeout,
    /// The store accepts no writes.
    StoreNotWritable,
    /// The store is unusable.
    StoreCorrupt,
    /// The published views are too old.
    Stale,
    /// No key can sign.
    NoKeys,
    /// The use of a quota is not known.
    QuotaUnknown,
    /// A defect.
    Internal,
}

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorReason {
    /// 4xx.
    Rejected(RejectReason),
    /// 5xx.
    Shed(ShedReason),
}

impl From<ErrorCode> for RejectReason {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::InvalidRequest => Self::InvalidRequest,
            ErrorCode::InvalidClient => Self::InvalidClient,
            ErrorCode::UnauthorizedClient => Self::UnauthorizedClient,
            ErrorCode::UnsupportedGrantType => Self::UnsupportedGrantType,
            ErrorCode::InvalidScope => Self::InvalidScope,
            ErrorCode::InvalidTarget => Self::InvalidTarget,
        }
    }
}

impl Label for RejectReason {
    fn values() -> impl Iterator<Item = &'static str> {
        Self::VARIANTS.iter().map(Into::into)
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl Label for ShedReason {
    fn values() -> impl Iterator<Item = &'static str> {
        Self::VARIANTS.iter().map(Into::into)
    }

    fn index(self) -> usize {
        self as usize
    }
}
