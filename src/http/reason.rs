//! Why a request failed: the closed sets behind the metrics `reject_total` and `shed_total`.

use oauth2_actors::metrics::Label;
use strum::{IntoStaticStr, VariantArray};

use super::endpoint::Group;
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
    /// The management listener asks for a client certificate.
    NoClientCertificate,
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
    /// The rate limit of the client's group is exceeded.
    GroupRateLimited,
    /// A quota of the client's group is exhausted.
    GroupQuotaExceeded,
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
    /// The store accepts no writes, or denies the server a privilege.
    StoreNotWritable,
    /// The store is unusable.
    StoreCorrupt,
    /// The published views are too old.
    Stale,
    /// The fallback introspection did not answer.
    FallbackUnavailable,
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

/// A reason, and where it occurs.
pub trait Reason: Label + 'static {
    /// The groups of endpoints whose requests can fail for this reason. Only these pairs are exported; a debug build panics when another one
    /// occurs, and a release build counts it as [`Self::UNDECLARED`] of the group `other`.
    fn groups(self) -> &'static [Group];

    /// Every reason, in the order of [`Label::index`].
    const ALL: &'static [Self];

    /// What a pair that is not declared is counted as.
    const UNDECLARED: Self;
}

/// The endpoints that authenticate clients.
const CLIENTS: &[Group] = &[Group::Token, Group::Introspection, Group::Revocation];

/// The endpoints that ask the store. Requests below `/admin` that match no endpoint are authenticated, too.
const STORE: &[Group] = &[
    Group::Token,
    Group::Introspection,
    Group::Revocation,
    Group::Admin,
    Group::Other,
];

impl Reason for RejectReason {
    fn groups(self) -> &'static [Group] {
        use Group::{Admin, Introspection, Ops, Other, Revocation, Token};
        match self {
            // Of the group `other`: only as UNDECLARED.
            Self::InvalidRequest => &[Token, Introspection, Revocation, Admin, Other],
            Self::InvalidClient | Self::RateLimited | Self::GroupRateLimited => CLIENTS,
            Self::UnsupportedGrantType | Self::QuotaExceeded | Self::GroupQuotaExceeded => &[Token],
            // Bulk issuance decides by the same rules as the token endpoint.
            Self::UnauthorizedClient | Self::InvalidScope | Self::InvalidTarget => &[Token, Admin],
            Self::InvalidClientMetadata | Self::Conflict => &[Admin],
            Self::TooLarge | Self::SlowBody => &[Token, Introspection, Revocation, Admin],
            Self::NotFound | Self::Unauthorized | Self::Forbidden => &[Admin, Other],
            Self::UnknownHost | Self::NoClientCertificate => &[Admin, Ops, Other],
            Self::MethodNotAllowed => &[Other],
            Self::AuthFailures => STORE,
        }
    }

    const ALL: &'static [Self] = Self::VARIANTS;
    const UNDECLARED: Self = Self::InvalidRequest;
}

impl Reason for ShedReason {
    fn groups(self) -> &'static [Group] {
        use Group::{Admin, Introspection, Metadata, Ops, Other, Revocation, Token};
        match self {
            Self::Full | Self::Deadline | Self::Crashed | Self::Stopped => {
                &[Token, Introspection, Revocation, Admin, Ops, Other]
            }
            Self::StoreUnavailable | Self::StoreTimeout | Self::StoreNotWritable | Self::StoreCorrupt | Self::Stale => {
                STORE
            }
            Self::FallbackUnavailable => &[Introspection, Revocation],
            Self::NoKeys => &[Token, Metadata, Admin],
            Self::QuotaUnknown => &[Token],
            Self::Internal => Group::ALL,
        }
    }

    const ALL: &'static [Self] = Self::VARIANTS;
    const UNDECLARED: Self = Self::Internal;
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
