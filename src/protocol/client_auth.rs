//! Client authentication (RFC 6749 section 2.3): exactly one method per request, one method per file.
//!
//! A method reads the [`Credentials`] of a request; the service that knows the clients verifies them. An unknown client and a
//! wrong secret take the same time and give the same error.

use super::error::OAuthError;
use super::form::Form;

pub mod client_secret;
pub mod client_secret_basic;
pub mod client_secret_post;
pub mod foreign_hash;
pub mod hash_schemes;
pub mod masks;

use client_secret::ClientSecret;
use client_secret_basic::{Authorization, Presented};

/// The supported authentication methods, as listed in the metadata (RFC 8414 section 2).
pub const METHODS: &[&str] = &["client_secret_basic", "client_secret_post"];

/// The unverified credentials of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// `client_secret_basic`.
    Basic(Presented<'a>),
    /// `client_secret_post`.
    Post(ClientSecret<'a>),
}

impl<'a> Credentials<'a> {
    /// Reads the credentials of a form request from its `Authorization` header or its body. `invalid_request` if the client used
    /// two methods, `invalid_client` if it used none or an unsupported one.
    pub fn from_form(authorization: Option<&'a Authorization>, form: &'a Form<'_>) -> Result<Self, OAuthError> {
        let assertion = form.get("client_assertion").is_some() || form.get("client_assertion_type").is_some();
        let Some(header) = authorization else {
            // Assertions are not supported.
            return if assertion {
                Err(OAuthError::INVALID_CLIENT)
            } else {
                client_secret_post::read(form).map(Self::Post)
            };
        };
        if assertion || form.get("client_secret").is_some() {
            return Err(OAuthError::invalid_request(
                "more than one client authentication method; exactly one is allowed",
            ));
        }
        let secret = client_secret_basic::read(header)?;
        let is_other = |id: &str| readings(&secret).all(|reading| reading.client_id != id);
        if form.get("client_id").is_some_and(is_other) {
            return Err(OAuthError::invalid_request(
                "client_id differs between the Authorization header and the body",
            ));
        }
        Ok(Self::Basic(secret))
    }

    /// Reads the credentials of a request without a form body from its `Authorization` header. `invalid_client` if they are
    /// missing or malformed.
    pub fn from_header(authorization: Option<&'a Authorization>) -> Result<Self, OAuthError> {
        client_secret_basic::read(authorization.ok_or(OAuthError::INVALID_CLIENT)?).map(Self::Basic)
    }

    /// Each way in which the client id and the secret can be read, the one of RFC 6749 first.
    pub fn secrets(&self) -> impl Iterator<Item = &ClientSecret<'a>> {
        let (first, others) = match self {
            Self::Basic(presented) => (&presented.first, &presented.others[..]),
            Self::Post(secret) => (secret, &[][..]),
        };
        std::iter::once(first).chain(others)
    }
}

fn readings<'p, 'a>(presented: &'p Presented<'a>) -> impl Iterator<Item = &'p ClientSecret<'a>> {
    std::iter::once(&presented.first).chain(&presented.others)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::protocol::error::ErrorCode;

    fn basic(id: &str, secret: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))).into_bytes()
    }

    #[test]
    fn a_request_uses_exactly_one_method() {
        let header = basic("ci", "s3cret");
        let cases = [
            (Some(&header[..]), "", Ok("s3cret")),
            (Some(&header[..]), "client_id=ci", Ok("s3cret")),
            (None, "client_id=ci&client_secret=x", Ok("x")),
            (Some(&header[..]), "client_id=other", Err(ErrorCode::InvalidRequest)),
            (
                Some(&header[..]),
                "client_id=ci&client_secret=s3cret",
                Err(ErrorCode::InvalidRequest),
            ),
            (Some(&header[..]), "client_assertion=x", Err(ErrorCode::InvalidRequest)),
            (None, "client_secret=x", Err(ErrorCode::InvalidRequest)),
            (None, "client_id=ci", Err(ErrorCode::InvalidClient)),
            (None, "client_assertion=x", Err(ErrorCode::InvalidClient)),
            (None, "", Err(ErrorCode::InvalidClient)),
            (Some(b"Bearer x"), "", Err(ErrorCode::InvalidClient)),
            (Some(b"Basic !"), "", Err(ErrorCode::InvalidClient)),
        ];
        for (header, body, expected) in cases {
            let form = Form::parse(body.as_bytes()).unwrap();
            let header = header.map(Authorization::parse);
            let found = Credentials::from_form(header.as_ref(), &form).map_err(|error| error.code);
            let secret = found
                .as_ref()
                .map(|credentials| credentials.secrets().next().unwrap().expose());
            assert_eq!(secret.map_err(|code| *code), expected, "{body}");
        }
    }
}
