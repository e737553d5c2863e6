//! The port to the network.

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
    /// Whether it has `WWW-Authenticate`.
    pub has_challenge: bool,
    /// Whether `Cache-Control` has `no-store`.
    pub is_uncached: bool,
    /// The body, if it is a JSON object.
    pub body: Option<Map<String, Value>>,
}

impl Response {
    /// A string member of the body.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.body.as_ref()?.get(member)?.as_str()
    }
}

/// Sends requests, without following redirects.
pub trait Http {
    /// Sends a request. The error says why there is no response, and repeats nothing of the request but its URL.
    fn send(&self, request: Request) -> impl Future<Output = Result<Response, String>>;
}
