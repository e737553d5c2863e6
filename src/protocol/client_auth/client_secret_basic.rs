//! `client_secret_basic` (RFC 6749 section 2.3.1): client id and secret, each form-encoded, in the `Authorization` header.
//!
//! Many clients do not encode them, as RFC 7617 has it, and neither does `curl -u`. So a pair that reads differently without the encoding
//! is tried that way too.

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

/// A client id and a secret, in each way in which the header can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented<'a> {
    /// As RFC 6749 has it; if it cannot be decoded, as sent.
    pub first: ClientSecret<'a>,
    /// As sent, where that differs: split at the first colon, and at the last one for an id that contains colons.
    pub others: Vec<ClientSecret<'a>>,
}

/// The form in which the header should have a client id (RFC 6749 section 2.3.1), if that differs from the id where it matters:
/// an id without these characters reads the same either way.
pub fn encoded_id(client_id: &str) -> Option<String> {
    client_id
        .contains([':', '%', '+'])
        .then(|| url::form_urlencoded::byte_serialize(client_id.as_bytes()).collect())
}

/// Reads the client id and the secret. `invalid_client` if they are malformed or the id is empty.
pub(super) fn read(authorization: &Authorization) -> Result<Presented<'_>, OAuthError> {
    let basic = authorization.basic.as_deref().ok_or(OAuthError::INVALID_CLIENT)?;
    let (id, secret) = basic.split_once(':').ok_or(OAuthError::INVALID_CLIENT)?;
    let decoded = decode(id).zip(decode(secret));
    let decoded = decoded.map(|(client_id, secret)| ClientSecret::new(client_id, secret));
    let as_sent = [Some((id, secret)), basic.rsplit_once(':')];
    let mut readings: Vec<ClientSecret<'_>> = Vec::new();
    let is_plain = decoded.is_some() && !basic.contains(['%', '+']) && !secret.contains(':');
    if !is_plain {
        for (id, secret) in as_sent.into_iter().flatten() {
            let reading = ClientSecret::new(id.into(), secret.into());
            if Some(&reading) != decoded.as_ref() && !readings.contains(&reading) {
                readings.push(reading);
            }
        }
    }
    let first = match decoded {
        Some(decoded) => decoded,
        None if readings.is_empty() => return Err(OAuthError::INVALID_CLIENT),
        None => readings.remove(0),
    };
    if first.client_id.is_empty() {
        return Err(OAuthError::INVALID_CLIENT);
    }
    Ok(Presented {
        first,
        others: readings,
    })
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
        assert_eq!((&*found.first.client_id, found.first.expose()), ("a:b c", "p%+"));
    }

    #[test]
    fn encoded_ids_read_as_the_id() {
        assert_eq!(encoded_id("c_plain-1.~ @/"), None);
        for id in ["team:ci", "100%", "a+b c", "https://app.example/"] {
            let encoded = encoded_id(id).unwrap();
            assert!(!encoded.contains(':'));
            let header = Authorization::parse(&basic(&encoded, "a_secret"));
            let found = read(&header).unwrap();
            assert_eq!((&*found.first.client_id, found.first.expose()), (id, "a_secret"));
        }
    }

    #[test]
    fn pairs_that_are_not_encoded_are_read_as_sent_too() {
        for (id, secret, first, others) in [
            ("ci", "plain_secret", ("ci", "plain_secret"), vec![]),
            ("ci", "a+b", ("ci", "a b"), vec![("ci", "a+b")]),
            ("ci", "100%", ("ci", "100%"), vec![]),
            ("team:ci", "s3cret", ("team", "ci:s3cret"), vec![("team:ci", "s3cret")]),
        ] {
            let header = Authorization::parse(&basic(id, secret));
            let found = read(&header).unwrap();
            assert_eq!((&*found.first.client_id, found.first.expose()), first);
            let found: Vec<_> = found
                .others
                .iter()
                .map(|other| (&*other.client_id, other.expose()))
                .collect();
            assert_eq!(found, others, "{id} {secret}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(header in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&Authorization::parse(&header));
            let _ = read(&Authorization::parse(&[b"Basic ", &header[..]].concat()));
        }
    }
}
