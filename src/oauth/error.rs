//! What the protocol calls its refusals.

/// An error code as it goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// RFC 6749 section 5.2: missing, malformed or repeated parameter, or two ways of authentication.
    InvalidRequest,
    /// RFC 6749 section 5.2: no, wrong or unusable credentials.
    InvalidClient,
    /// RFC 6749 section 5.2: the client may not use this grant.
    UnauthorizedClient,
    /// RFC 6749 section 5.2: no such grant here.
    UnsupportedGrantType,
    /// RFC 6749 section 5.2: malformed, unknown, or more than the client may have.
    InvalidScope,
    /// RFC 8707 section 2: a target that the client may not ask for, or more than one.
    InvalidTarget,
}

impl Code {
    /// The code's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
        }
    }
}

/// A refusal: the code, and a fixed sentence for the developer of the client. Nothing of the request is ever repeated in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct Error {
    /// The code.
    pub code: Code,
    /// `error_description`: printable ASCII without quotes and backslashes.
    pub description: &'static str,
}

impl Error {
    /// A refusal.
    pub const fn new(code: Code, description: &'static str) -> Self {
        Self { code, description }
    }

    /// `invalid_request` with this description.
    pub const fn invalid_request(description: &'static str) -> Self {
        Self::new(Code::InvalidRequest, description)
    }
}
