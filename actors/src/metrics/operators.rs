//! Why a caller of the admin API is no operator.

use super::labels::Label;

/// Why a caller of the admin API is no operator. The order is that of the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorRejection {
    /// There is no bearer token.
    NoToken,
    /// The token was not issued here, and is not the static admin token.
    UnknownToken,
    /// The token is expired.
    Expired,
    /// The token, or everything that its client, user or key issued, is revoked.
    Revoked,
    /// The client of the token is disabled.
    ClientDisabled,
    /// The client of the token is deleted.
    ClientDeleted,
    /// The token is signed with the secret that verifiers share.
    SharedSecret,
    /// The token is for another audience than the issuer.
    Audience,
    /// The token is for the issuer, which its client may not request any more.
    AudienceWithdrawn,
    /// The token lacks the scope `oauth2.admin`.
    Scope,
    /// The token has that scope, which its client has no more.
    ScopeWithdrawn,
    /// The client of the token may not use the grant any more that gave it the token.
    GrantWithdrawn,
    /// The token is inactive for another reason, such as a time of issue in the future.
    Inactive,
}

impl OperatorRejection {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 13] = [
        Self::NoToken,
        Self::UnknownToken,
        Self::Expired,
        Self::Revoked,
        Self::ClientDisabled,
        Self::ClientDeleted,
        Self::SharedSecret,
        Self::Audience,
        Self::AudienceWithdrawn,
        Self::Scope,
        Self::ScopeWithdrawn,
        Self::GrantWithdrawn,
        Self::Inactive,
    ];

    /// The name in metrics, logs and audit rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::UnknownToken => "unknown_token",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::ClientDisabled => "client_disabled",
            Self::ClientDeleted => "client_deleted",
            Self::SharedSecret => "shared_secret",
            Self::Audience => "audience",
            Self::AudienceWithdrawn => "audience_withdrawn",
            Self::Scope => "scope",
            Self::ScopeWithdrawn => "scope_withdrawn",
            Self::GrantWithdrawn => "grant_withdrawn",
            Self::Inactive => "inactive",
        }
    }
}

impl Label for OperatorRejection {
    fn values() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|reason| reason.as_str())
    }

    fn index(self) -> usize {
        self as usize
    }
}
