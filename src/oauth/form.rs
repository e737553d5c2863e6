//! Request parameters in `application/x-www-form-urlencoded`, read strictly (RFC 6749 sections 3.1, 3.2 and appendix B).
//!
//! A parameter without a value counts as left out; one that is repeated, `resource` (RFC 8707) apart, refuses the request.
//! What is not valid percent-encoded UTF-8 refuses it too, rather than being guessed at.

use std::borrow::Cow;

use super::error::Error;

/// More parameters than any request has use for.
const MOST_PARAMETERS: usize = 32;

/// The only parameter that may come more than once.
const REPEATABLE: &str = "resource";

/// The parameters of one request.
#[derive(Debug, Default)]
pub struct Form<'a> {
    parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Form<'a> {
    /// Reads a request body.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        const MALFORMED: Error = Error::invalid_request("the body is not valid form encoding");
        let body = str::from_utf8(body).map_err(|_| MALFORMED)?;
        let mut parameters: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(8);
        for pair in body.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or(MALFORMED)?;
            let value = decode(value).ok_or(MALFORMED)?;
            if name != REPEATABLE && parameters.iter().any(|(known, _)| *known == name) {
                return Err(Error::invalid_request("a parameter is repeated"));
            }
            if parameters.len() == MOST_PARAMETERS {
                return Err(Error::invalid_request("too many parameters"));
            }
            parameters.push((name, value));
        }
        Ok(Self { parameters })
    }

    /// The value of a parameter, `None` when it is left out or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let named = self.parameters.iter().find(|(known, _)| known == name);
        named.map(|(_, value)| &**value).filter(|value| !value.is_empty())
    }

    /// Every value of a parameter that may repeat, empty ones left out.
    pub fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b str> {
        self.parameters
            .iter()
            .filter(move |(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| &**value)
    }

    /// The value of a parameter that must be there.
    pub fn required(&self, name: &str, missing: &'static str) -> Result<&str, Error> {
        self.get(name).ok_or(Error::invalid_request(missing))
    }
}

/// Undoes form encoding: `+` is a space, `%XX` a byte. `None` when a `%` lacks its two digits, or the bytes are not UTF-8.
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
    fn a_repeated_parameter_is_refused_even_when_unknown_or_empty() {
        for body in ["scope=a&scope=b", "x=1&y=2&x=1", "scope=&scope=", "sc%6Fpe=a&scope=b"] {
            assert!(Form::parse(body.as_bytes()).is_err(), "{body}");
        }
        let form = Form::parse(b"resource=a&resource=b").unwrap();
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn an_empty_value_counts_as_left_out() {
        let form = Form::parse(b"scope=&grant_type&state=1").unwrap();
        assert_eq!(
            (form.get("scope"), form.get("grant_type"), form.get("state")),
            (None, None, Some("1"))
        );
    }

    #[test]
    fn broken_encoding_is_refused() {
        for body in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=1"] {
            assert!(Form::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Form::parse(b"a=\xff").is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_reads_back(value in any::<String>()) {
            let encoded: String = value.bytes().map(|b| if b == b' ' { "+".into() } else { format!("%{b:02x}") }).collect();
            prop_assert_eq!(decode(&encoded).unwrap(), value);
        }

        #[test]
        fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Form::parse(&body);
        }
    }
}
