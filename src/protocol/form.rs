//! Strict parser of `application/x-www-form-urlencoded` request parameters (RFC 6749 sections 3.1, 3.2 and appendix B).
//!
//! A parameter without a value counts as absent. A repeated parameter, except `resource` (RFC 8707), and invalid
//! percent-encoded UTF-8 are errors.

use std::borrow::Cow;

use super::error::OAuthError;

/// Maximum number of parameters per request. The error description repeats it.
const MAX_PARAMETERS: usize = 32;

/// The only parameter that may be repeated.
const REPEATABLE: &str = "resource";

/// The parameters of one request.
#[derive(Debug, Default)]
pub struct Form<'a> {
    parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Form<'a> {
    /// Parses a request body. `invalid_request` if it is malformed, repeats a parameter or has more than 32.
    pub fn parse(body: &'a [u8]) -> Result<Self, OAuthError> {
        const MALFORMED: OAuthError =
            OAuthError::invalid_request("the body is not valid application/x-www-form-urlencoded");
        let body = str::from_utf8(body).map_err(|_| MALFORMED)?;
        let mut parameters: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(8);
        for pair in body.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or(MALFORMED)?;
            let value = decode(value).ok_or(MALFORMED)?;
            if name != REPEATABLE && parameters.iter().any(|(known, _)| *known == name) {
                return Err(OAuthError::invalid_request("a parameter is repeated"));
            }
            if parameters.len() == MAX_PARAMETERS {
                return Err(OAuthError::invalid_request(
                    "too many parameters; at most 32 are allowed",
                ));
            }
            parameters.push((name, value));
        }
        Ok(Self { parameters })
    }

    /// The value of a parameter. `None` if it is absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let parameter = self.parameters.iter().find(|(known, _)| known == name);
        parameter.map(|(_, value)| &**value).filter(|value| !value.is_empty())
    }

    /// All non-empty values of a parameter.
    pub fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b str> {
        self.parameters
            .iter()
            .filter(move |(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| &**value)
    }

    /// The value of a required parameter. `invalid_request` with the description `missing` if it is absent or empty.
    pub fn required(&self, name: &str, missing: &'static str) -> Result<&str, OAuthError> {
        self.get(name).ok_or(OAuthError::invalid_request(missing))
    }
}

/// Decodes form encoding: `+` is a space, `%XX` a byte. `None` if two hexadecimal digits do not follow a `%`, or the bytes are
/// not UTF-8.
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr2(b'%', b'+', text.as_bytes()).is_none() {
        return Some(Cow::Borrowed(text));
    }
    let digit = |byte: u8| (byte as char).to_digit(16);
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => (digit(bytes.next()?)? * 16 + digit(bytes.next()?)?) as u8,
            other => other,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn repeated_parameter_is_rejected_even_if_unknown_or_empty() {
        for body in ["scope=a&scope=b", "x=1&y=2&x=1", "scope=&scope=", "sc%6Fpe=a&scope=b"] {
            assert!(Form::parse(body.as_bytes()).is_err(), "{body}");
        }
        let form = Form::parse(b"resource=a&resource=b").unwrap();
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn empty_value_counts_as_absent() {
        let form = Form::parse(b"scope=&grant_type&state=1").unwrap();
        assert_eq!(
            (form.get("scope"), form.get("grant_type"), form.get("state")),
            (None, None, Some("1"))
        );
    }

    #[test]
    fn malformed_encoding_is_rejected() {
        for body in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=1"] {
            assert!(Form::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Form::parse(b"a=\xff").is_err());
    }

    proptest! {
        #[test]
        fn decode_inverts_encoding(value in any::<String>()) {
            let encoded: String = value.bytes().map(|b| if b == b' ' { "+".into() } else { format!("%{b:02x}") }).collect();
            prop_assert_eq!(decode(&encoded).unwrap(), value);
        }

        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Form::parse(&body);
        }
    }
}
