//! `client_secret_post` (RFC 6749 section 2.3.1): client id and secret as form parameters.

use super::client_secret::ClientSecret;
use crate::protocol::error::OAuthError;
use crate::protocol::form::Form;

/// Reads the client id and the secret. `invalid_request` if only the id is missing, `invalid_client` if the secret is.
pub(super) fn read<'a>(form: &'a Form<'_>) -> Result<ClientSecret<'a>, OAuthError> {
    match (form.get("client_id"), form.get("client_secret")) {
        (Some(id), Some(secret)) => Ok(ClientSecret::new(id.into(), secret.into())),
        (None, Some(_)) => Err(OAuthError::invalid_request("client_id is missing")),
        _ => Err(OAuthError::INVALID_CLIENT),
    }
}
