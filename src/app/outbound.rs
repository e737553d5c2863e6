//! Requests to other servers: HTTP/1.1, with TLS for `https`. Each has a connection of its own, a deadline and a bounded response, and
//! redirects are not followed.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT,
    WWW_AUTHENTICATE,
};
use hyper::{Method, Uri};
use opentelemetry_http::Bytes;

use super::connect::Connector;
use crate::failure::Failure;
use crate::service::migration::http::{Http, Request, Response};

/// The deadline of a request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The most of a response that is read.
const MAX_RESPONSE: usize = 1024 * 1024;

/// Sends requests.
pub struct Outbound {
    connector: Connector,
}

impl Outbound {
    /// A sender to `http` and, with the authorities of `certificate` or of the system, to `https`. `setting`: the name of `certificate` in
    /// an error.
    pub fn new(uses_tls: bool, certificate: Option<&Path>, setting: &str) -> Result<Self, Failure> {
        let connector = Connector::new(uses_tls, certificate, setting, b"http/1.1")?;
        Ok(Self { connector })
    }

    async fn exchange(&self, request: Request) -> Result<Response, Box<dyn std::error::Error>> {
        let url: Uri = request.url.parse()?;
        let authority = url.authority().ok_or("the URL has no host")?.to_string();
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let mut built = hyper::Request::builder()
            .uri(path)
            .header(HOST, authority)
            .header(USER_AGENT, concat!("oauth2_server/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json")
            .header(CONNECTION, "close");
        if let Some(authorization) = &request.authorization {
            let mut value = HeaderValue::from_str(authorization)?;
            value.set_sensitive(true);
            built = built.header(AUTHORIZATION, value);
        }
        let built = match request.form {
            None => built.method(Method::GET).body(Full::new(Bytes::new()))?,
            Some(form) => built
                .method(Method::POST)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Full::new(Bytes::from(form)))?,
        };
        let stream = self.connector.connect(&url).await?;
        let (mut sender, connection) = http1::handshake(stream).await?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(built).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_RESPONSE)
            .collect()
            .await
            .map_err(|error| error.to_string())?;
        connection.abort();
        let header = |name: HeaderName| {
            let value = parts.headers.get(name)?.to_str().ok()?;
            Some(value.to_ascii_lowercase())
        };
        let media_type = header(CONTENT_TYPE).unwrap_or_default();
        Ok(Response {
            status: parts.status.as_u16(),
            media_type: media_type.split(';').next().unwrap_or_default().trim().to_owned(),
            has_challenge: parts.headers.contains_key(WWW_AUTHENTICATE),
            is_uncached: header(CACHE_CONTROL).is_some_and(|value| value.contains("no-store")),
            body: serde_json::from_slice(&body.to_bytes()).ok(),
        })
    }
}

impl Http for Outbound {
    async fn send(&self, request: Request) -> Result<Response, String> {
        let url = request.url.clone();
        match tokio::time::timeout(TIMEOUT, self.exchange(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(format!("{url} cannot be asked: {error}")),
            Err(_) => Err(format!("{url} did not answer within {} s", TIMEOUT.as_secs())),
        }
    }
}
