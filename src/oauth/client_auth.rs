//! Client authentication (RFC 6749 section 2.3.1): `client_secret_basic` and `client_secret_post`, exactly one a request.
//!
//! An unknown client costs the same work and gets the same answer as a wrong secret: its presented secret is hashed and
//! compared, with a dummy.

use std::borrow::Cow;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oauth2_actors::model::Client;

use super::error::{Code, Error};
use super::form::{Form, decode};
use crate::tokens::secret;

/// What unknown clients are compared with: the hash of nothing that could be presented.
const DUMMY: [u8; 32] = [0; 32];

/// The one answer to credentials that are missing, malformed, unknown or wrong.
const REFUSED: Error = Error::new(Code::InvalidClient, "client authentication failed");

/// An `Authorization` header that came with a request.
pub struct Authorization {
    /// What stands behind `Basic`, decoded: `form(id) ":" form(secret)`. `None`: another scheme, or malformed.
    basic: Option<String>,
}

impl Authorization {
    /// Reads the value of the header.
    pub fn read(value: &[u8]) -> Self {
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

/// Presented credentials: an id and a secret, nothing proven yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// Who the client says it is.
    pub client_id: Cow<'a, str>,
    secret: Cow<'a, str>,
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl<'a> Credentials<'a> {
    /// Finds the credentials of a request.
    pub fn find(authorization: Option<&'a Authorization>, form: &'a Form<'_>) -> Result<Self, Error> {
        let (id, secret) = (form.get("client_id"), form.get("client_secret"));
        let assertion = form.get("client_assertion").is_some() || form.get("client_assertion_type").is_some();
        let Some(header) = authorization else {
            if assertion {
                return Err(REFUSED);
            }
            return match (id, secret) {
                (Some(id), Some(secret)) => Ok(Self {
                    client_id: id.into(),
                    secret: secret.into(),
                }),
                (None, Some(_)) => Err(Error::invalid_request("client_secret came without client_id")),
                _ => Err(REFUSED),
            };
        };
        if secret.is_some() || assertion {
            return Err(Error::invalid_request("the client authenticated in more than one way"));
        }
        let credentials = Self::of(header)?;
        if id.is_some_and(|id| id != credentials.client_id) {
            return Err(Error::invalid_request("client_id differs between header and body"));
        }
        Ok(credentials)
    }

    /// Credentials from a header alone, for requests whose body is not a form.
    pub fn of(authorization: &'a Authorization) -> Result<Self, Error> {
        let pair = authorization.basic.as_deref().and_then(|basic| basic.split_once(':'));
        let (client_id, secret) = pair.ok_or(REFUSED)?;
        let (client_id, secret) = (decode(client_id).ok_or(REFUSED)?, decode(secret).ok_or(REFUSED)?);
        if client_id.is_empty() {
            return Err(REFUSED);
        }
        Ok(Self { client_id, secret })
    }

    /// What a request without credentials is answered.
    pub const MISSING: Error = REFUSED;

    /// Checks the secret against the client that the id belongs to, if there is one, and answers that client. `now` is in
    /// Unix seconds.
    pub fn verify(&self, client: Option<Arc<Client>>, now: i64) -> Result<Arc<Client>, Error> {
        let presented = secret::hash(&*self.secret);
        let equals = |hash: &[u8; 32]| verify_slices_are_equal(&presented, hash).is_ok();
        let secrets = client.as_ref().map_or(&[][..], |client| &*client.secrets);
        let known = secrets
            .iter()
            .filter(|secret| secret.expires_at.is_none_or(|at| now < at))
            // Every one is compared, whichever it is that fits.
            .fold(false, |found, secret| equals(&secret.hash) | found);
        if secrets.is_empty() {
            std::hint::black_box(equals(&DUMMY));
        }
        client.filter(|client| known && !client.disabled).ok_or(REFUSED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn basic(id: &str, secret: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))).into_bytes()
    }

    #[test]
    fn one_method_a_request() {
        let header = basic("ci", "s3cret");
        let cases = [
            (Some(&header[..]), "", Ok("s3cret")),
            (Some(&header[..]), "client_id=ci", Ok("s3cret")),
            (None, "client_id=ci&client_secret=x", Ok("x")),
            (Some(&header[..]), "client_id=other", Err(Code::InvalidRequest)),
            (
                Some(&header[..]),
                "client_id=ci&client_secret=s3cret",
                Err(Code::InvalidRequest),
            ),
            (Some(&header[..]), "client_assertion=x", Err(Code::InvalidRequest)),
            (None, "client_secret=x", Err(Code::InvalidRequest)),
            (None, "client_id=ci", Err(Code::InvalidClient)),
            (None, "client_assertion=x", Err(Code::InvalidClient)),
            (None, "", Err(Code::InvalidClient)),
            (Some(b"Bearer x"), "", Err(Code::InvalidClient)),
            (Some(b"Basic !"), "", Err(Code::InvalidClient)),
        ];
        for (header, body, expected) in cases {
            let form = Form::parse(body.as_bytes()).unwrap();
            let header = header.map(Authorization::read);
            let found = Credentials::find(header.as_ref(), &form).map_err(|e| e.code);
            assert_eq!(found.as_ref().map(|c| &*c.secret).map_err(|c| *c), expected, "{body}");
        }
    }

    #[test]
    fn basic_credentials_are_form_encoded() {
        let form = Form::default();
        let header = Authorization::read(&basic("a%3Ab+c", "p%25%2B"));
        let found = Credentials::find(Some(&header), &form).unwrap();
        assert_eq!((&*found.client_id, &*found.secret), ("a:b c", "p%+"));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Credentials::of(&Authorization::read(&header));
            let _ = Credentials::of(&Authorization::read(&[b"Basic ", &header[..]].concat()));
        }
    }
}
