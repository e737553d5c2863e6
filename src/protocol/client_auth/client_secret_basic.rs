//! `client_secret_basic` (RFC 6749 section 2.3.1): client id and secret, each form-encoded, in the `Authorization` header.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::client_secret::ClientSecret;
use crate::protocol::error::OAuthError;
use crate::protocol::form::decode;

/// The `Authorization` header of a request.
pub struct Authorization {
    /// Base64-decoded credentials of the Basic scheme: `form(id) ":" form(secret)`. `None` for another scheme or malformed values.
    basic: Option<String>,
}

impl Authorization {
    /// Parses the value of the header. Malformed values are rejected when the credentials are read.
    pub fn parse(value: &[u8]) -> Self {
        Self {
            basic: Self::decode(value),
        }
    }

    fn decode(value: &[u8]) -> Option<String> {
        let (scheme, encoded) = value.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        String::from_utf8(STANDARD.decode(encoded.trim_ascii()).ok()?).ok()
    }
}

/// Reads the client id and the secret. `invalid_client` if they are malformed or the id is empty.
pub(super) fn read(authorization: &Authorization) -> Result<ClientSecret<'_>, OAuthError> {
    let pair = authorization.basic.as_deref().and_then(|basic| basic.split_once(':'));
    let (client_id, secret) = pair.ok_or(OAuthError::INVALID_CLIENT)?;
    let (client_id, secret) = (
        decode(client_id).ok_or(OAuthError::INVALID_CLIENT)?,
        decode(secret).ok_or(OAuthError::INVALID_CLIENT)?,
    );
    if client_id.is_empty() {
        return Err(OAuthError::INVALID_CLIENT);
    }
    Ok(ClientSecret::new(client_id, secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn basic(id: &str, secret: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))).into_bytes()
    }

    #[test]
    fn id_and_secret_are_form_decoded() {
        let header = Authorization::parse(&basic("a%3Ab+c", "p%25%2B"));
        let found = read(&header).unwrap();
        assert_eq!((&*found.client_id, found.expose()), ("a:b c", "p%+"));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&Authorization::parse(&header));
            let _ = read(&Authorization::parse(&[b"Basic ", &header[..]].concat()));
        }
    }
}
