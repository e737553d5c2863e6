//! The grant types, one per file. A grant decides the content of a token; it neither records nor signs.
//!
//! A grant takes a typed request, so the token endpoint, the admin API and the command line share its rules.

use oauth2_store::model::{Client, GrantType};
use uuid::Uuid;

use super::error::{ErrorCode, OAuthError};
use super::form::Form;
use super::token_spec::{TokenDefaults, TokenSpec};

pub mod client_credentials;

/// The token request of one grant (RFC 6749 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantRequest<'a> {
    /// RFC 6749 section 4.4.
    ClientCredentials(client_credentials::Request<'a>),
}

impl<'a> GrantRequest<'a> {
    /// Reads the parameters of a token request. `unsupported_grant_type` or `invalid_request` if they are not valid.
    pub fn parse(form: &'a Form<'_>) -> Result<Self, OAuthError> {
        match form.required("grant_type", "grant_type is missing")?.parse() {
            Ok(GrantType::ClientCredentials) => client_credentials::Request::parse(form).map(Self::ClientCredentials),
            Err(_) => Err(OAuthError::new(
                ErrorCode::UnsupportedGrantType,
                "unsupported grant_type; supported: client_credentials",
            )),
        }
    }

    /// Decides the token of an authenticated client. `jti`: a new UUIDv7; its timestamp is the time of issue.
    pub fn decide(&self, client: &Client, defaults: &TokenDefaults, jti: Uuid) -> Result<TokenSpec, OAuthError> {
        match self {
            Self::ClientCredentials(request) => client_credentials::decide(client, request, defaults, jti),
        }
    }
}
