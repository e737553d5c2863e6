//! The port to the network.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;

use serde_json::{Map, Value};

/// A request. Its body and authorization are secret.
#[derive(Clone)]
pub struct Request {
    /// The absolute URL.
    pub url: String,
    /// The value of `Authorization`.
    pub authorization: Option<String>,
    /// The form of a POST; `None`: a GET.
    pub form: Option<String>,
}

// It may hold a secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A GET.
    pub fn get(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            authorization: None,
            form: None,
        }
    }

    /// A POST of a form.
    pub fn post(url: &str, authorization: Option<String>, parameters: &[(&str, &str)]) -> Self {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in parameters {
            form.append_pair(name, value);
        }
        Self {
            url: url.to_owned(),
            authorization,
            form: Some(form.finish()),
        }
    }
}

/// A response.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// `Content-Type` without parameters, lowercase.
    pub media_type: String,
    /// The schemes of `WWW-Authenticate`, lowercase.
    pub challenges: BTreeSet<String>,
    /// Whether `Cache-Control` has `no-store`.
    pub is_uncached: bool,
    /// When it arrived, Unix seconds.
    pub received_at: i64,
    /// The body, if it is a JSON object.
    pub body: Option<Map<String, Value>>,
}

impl Response {
    /// A string member of the body.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.body.as_ref()?.get(member)?.as_str()
    }
}

/// The schemes of a value of `WWW-Authenticate`, lowercase: several challenges, and the parameters of each, are separated by commas.
pub fn challenges(value: &str) -> BTreeSet<String> {
    let mut is_quoted = false;
    let elements = value.split(|c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    let first = elements.filter_map(|element| element.split_whitespace().next());
    let schemes = first.filter(|word| !word.contains('='));
    schemes.map(str::to_ascii_lowercase).collect()
}

/// Sends requests, without following redirects.
pub trait Http {
    /// Sends a request. The error says why there is no response, and repeats nothing of the request but its URL.
    fn send(&self, request: Request) -> impl Future<Output = Result<Response, String>>;
}

#[cfg(test)]
mod tests {
    use super::challenges;

    #[test]
    fn schemes_of_challenges_are_read() {
        for (value, schemes) in [
            ("Basic", &["basic"][..]),
            ("Basic realm=\"a, Bearer b\", charset=\"UTF-8\"", &["basic"]),
            (
                "Basic realm=\"a\", Bearer error=\"invalid_token\", DPoP",
                &["basic", "bearer", "dpop"],
            ),
            ("Negotiate YWJj==", &["negotiate"]),
            ("", &[]),
        ] {
            assert!(challenges(value).iter().eq(schemes), "{value}");
        }
    }
}
