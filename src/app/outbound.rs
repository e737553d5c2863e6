//! Requests to other servers: HTTP/1.1, with TLS for `https`. Each has a connection of its own, a deadline and a bounded response, and
//! redirects are not followed.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use hyper::Uri;
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT, WWW_AUTHENTICATE,
};
use time::OffsetDateTime;

use super::connect::Connector;
use super::http_client::{HttpClient, NoResponse, Question, sensitive};
use crate::failure::Failure;
use crate::service::migration::http::{self, Http, Request, Response};

/// The deadline of a request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The most of a response that is read.
const MAX_RESPONSE: usize = 1024 * 1024;

/// The user agent, which logs of both issuers show. The new one does not record it as a verifier (`is_own_command` in
/// `src/keys/verifiers.rs`).
const NAME: &str = concat!("oauth2_server/", env!("CARGO_PKG_VERSION"), " migrate-check");

/// Sends requests.
pub struct Outbound(HttpClient);

impl Outbound {
    /// A sender to `http` and, with the authorities of `certificate` or of the system, to `https`. `setting`: the name of `certificate` in
    /// an error.
    pub fn new(uses_tls: bool, certificate: Option<&Path>, setting: &str) -> Result<Self, Failure> {
        Ok(Self(HttpClient {
            connector: Connector::new(uses_tls, certificate, setting, b"http/1.1")?,
            timeout: TIMEOUT,
            max_response: MAX_RESPONSE,
            max_idle: 0,
            idle: Mutex::default(),
        }))
    }

    async fn exchange(&self, request: Request) -> Result<Response, NoResponse> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| NoResponse::Failed(error);
        let url: Uri = request.url.parse().map_err(|error| failed(Box::new(error)))?;
        let mut headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(NAME))]);
        if let Some(authorization) = &request.authorization {
            let value = sensitive(authorization).map_err(|error| failed(Box::new(error)))?;
            headers.insert(AUTHORIZATION, value);
        }
        let question = Question {
            headers,
            form: request.form,
        };
        let response = self.0.send(&url, &question).await?;
        let header = |name: HeaderName| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_ascii_lowercase())
        };
        let media_type = header(CONTENT_TYPE).unwrap_or_default();
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenges = challenges.filter_map(|value| value.to_str().ok());
        Ok(Response {
            status: response.status().as_u16(),
            media_type: media_type.split(';').next().unwrap_or_default().trim().to_owned(),
            challenges: challenges.flat_map(http::challenges).collect(),
            received_at: OffsetDateTime::now_utc().unix_timestamp(),
            is_uncached: header(CACHE_CONTROL).is_some_and(|value| value.contains("no-store")),
            body: serde_json::from_slice(response.body()).ok(),
        })
    }
}

impl Http for Outbound {
    async fn send(&self, request: Request) -> Result<Response, String> {
        let url = request.url.clone();
        self.exchange(request).await.map_err(|error| match error {
            NoResponse::Failed(error) => format!("{url} cannot be asked: {error}"),
            NoResponse::Timeout => format!("{url} did not answer within {} s", TIMEOUT.as_secs()),
        })
    }
}
