//! OAuth errors: codes and descriptions.

use strum::IntoStaticStr;

/// An `error` code (RFC 6749 section 5.2, RFC 8707 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ErrorCode {
    /// A parameter is missing, malformed or repeated, or the client used two authentication methods.
    InvalidRequest,
    /// The credentials are missing, malformed or wrong.
    InvalidClient,
    /// The grant type is not registered for the client.
    UnauthorizedClient,
    /// The grant type is not supported.
    UnsupportedGrantType,
    /// The scope is malformed or not registered for the client.
    InvalidScope,
    /// The resource is not registered for the client, or the request names several.
    InvalidTarget,
}

impl ErrorCode {
    /// The value of the `error` parameter.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// An error response: a code, and a fixed description for the developer of the client. It never echoes request values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct OAuthError {
    /// `error`.
    pub code: ErrorCode,
    /// `error_description`: printable ASCII without quotes and backslashes (RFC 6749 section 5.2).
    pub description: &'static str,
}

impl OAuthError {
    /// The same error for missing, malformed, unknown and wrong credentials.
    pub const INVALID_CLIENT: Self = Self::new(ErrorCode::InvalidClient, "client authentication failed");

    /// An error with a code and a description.
    pub const fn new(code: ErrorCode, description: &'static str) -> Self {
        Self { code, description }
    }

    /// `invalid_request` with this description.
    pub const fn invalid_request(description: &'static str) -> Self {
        Self::new(ErrorCode::InvalidRequest, description)
    }
}
