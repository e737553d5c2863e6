//! The HTTP/1.1 client for other servers: a deadline, a bounded response, no redirects, and connections that may be kept open.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderMap, HeaderValue, InvalidHeaderValue};
use hyper::{Method, Request, Response, Uri};

use super::connect::Connector;

/// A request that asks for JSON.
#[derive(Debug, Clone, Default)]
pub(super) struct Question {
    /// Further headers.
    pub(super) headers: HeaderMap,
    /// The encoded form of a `POST`; `None`: a `GET`.
    pub(super) form: Option<String>,
}

/// Sends requests.
pub(super) struct HttpClient {
    /// How servers are reached.
    pub(super) connector: Connector,
    /// How long a request may take.
    pub(super) timeout: Duration,
    /// The most of a response that is read, bytes.
    pub(super) max_response: usize,
    /// The most connections that are kept open.
    pub(super) max_idle: usize,
    /// Connections that are open, each with its authority.
    pub(super) idle: Mutex<Vec<(String, SendRequest<Full<Bytes>>)>>,
}

/// Why there is no response.
pub(super) enum NoResponse {
    /// It did not come in time.
    Timeout,
    /// Another reason.
    Failed(Box<dyn Error + Send + Sync>),
}

/// The header of `client_secret_basic`. `id` and `secret`: as RFC 6749 section 2.3.1 encodes them.
pub(super) fn basic(id: &str, secret: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    sensitive(&format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))))
}

/// A header that is not shown.
pub(super) fn sensitive(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

impl HttpClient {
    /// The response of a server, with any status.
    pub(super) async fn send(&self, url: &Uri, question: &Question) -> Result<Response<Bytes>, NoResponse> {
        let sent = tokio::time::timeout(self.timeout, self.exchange(url, question)).await;
        sent.map_err(|_| NoResponse::Timeout)?.map_err(NoResponse::Failed)
    }

    async fn exchange(&self, url: &Uri, question: &Question) -> Result<Response<Bytes>, Box<dyn Error + Send + Sync>> {
        let authority = url.authority().ok_or("the URL has no host")?.to_string();
        // The other end may have closed an idle connection meanwhile. To ask again does no harm.
        while let Some(sender) = self.take_idle(&authority) {
            if let Ok(response) = self.send_on(sender, url, &authority, question).await {
                return response;
            }
        }
        let stream = self.connector.connect(url).await?;
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        self.send_on(sender, url, &authority, question).await?
    }

    /// The outer error: the connection failed, and was perhaps idle for too long.
    async fn send_on(
        &self,
        mut sender: SendRequest<Full<Bytes>>,
        url: &Uri,
        authority: &str,
        question: &Question,
    ) -> Result<Result<Response<Bytes>, Box<dyn Error + Send + Sync>>, hyper::Error> {
        sender.ready().await?;
        let request = match self.request(url, authority, question) {
            Ok(request) => request,
            Err(error) => return Ok(Err(error.into())),
        };
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = match Limited::new(body, self.max_response).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return Ok(Err("its response is cut off or too long".into())),
        };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.max_idle && !sender.is_closed() {
            idle.push((authority.to_owned(), sender));
        }
        Ok(Ok(Response::from_parts(parts, body)))
    }

    fn request(
        &self,
        url: &Uri,
        authority: &str,
        question: &Question,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder()
            .uri(path)
            .header(header::HOST, authority)
            .header(header::USER_AGENT, concat!("oauth2_server/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "application/json");
        if self.max_idle == 0 {
            request = request.header(header::CONNECTION, "close");
        }
        if let Some(headers) = request.headers_mut() {
            headers.extend(question.headers.clone());
        }
        match question.form.clone() {
            None => request.method(Method::GET).body(Full::default()),
            Some(form) => request
                .method(Method::POST)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Full::new(Bytes::from(form))),
        }
    }

    fn take_idle(&self, authority: &str) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, sender)| !sender.is_closed());
        let at = idle.iter().rposition(|(of, _)| of == authority)?;
        Some(idle.swap_remove(at).1)
    }
}
