//! The client of the fallback introspection: HTTP/1.1 over connections that are kept open.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use oauth2_actors::runtime::clock::StoreClock;
use url::form_urlencoded::{self, byte_serialize};

use super::connect::Connector;
use crate::config::FallbackIntrospection;
use crate::config::fallback::CA_FILE_VARIABLE;
use crate::failure::Failure;
use crate::service::fallback::{Ask, Fallback, HOP_HEADER, Response};
use crate::tokens::fingerprint::Fingerprints;
use crate::tokens::foreign::{self, NoIntrospection};

/// The most of a response that is read.
const MAX_RESPONSE: usize = 64 * 1024;

/// Connections that are kept open.
const MAX_IDLE: usize = 16;

/// The fallback introspection of a configuration.
pub(super) fn open(options: &FallbackIntrospection, clock: &Arc<StoreClock>) -> Result<Arc<Fallback>, Failure> {
    let client = Arc::new(Client::new(options)?);
    let ask: Ask = Arc::new(move |token| {
        let client = Arc::clone(&client);
        Box::pin(async move { client.ask(&token).await })
    });
    let fingerprints = Fingerprints::new().map_err(Failure::environment)?;
    Ok(Arc::new(Fallback::new(
        ask,
        options.until,
        options.max_in_flight,
        Arc::clone(clock),
        fingerprints,
    )))
}

/// Asks the endpoint about a token that it cannot know. The error: why it cannot be used.
pub async fn check(options: &FallbackIntrospection) -> Result<(), String> {
    let client = Client::new(options).map_err(|failure| failure.to_string())?;
    let response = client.ask("oauth2_server-doctor").await?;
    match foreign::introspected("oauth2_server-doctor", &response.body) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err("it calls a token active that was never issued".to_owned()),
        Err(NoIntrospection) => Err(NoIntrospection.to_string()),
    }
}

struct Client {
    connector: Connector,
    url: Uri,
    host: HeaderValue,
    authorization: HeaderValue,
    timeout: Duration,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Client {
    fn new(options: &FallbackIntrospection) -> Result<Self, Failure> {
        let invalid = || Failure::Invalid("OAUTH2_FALLBACK_INTROSPECTION_URL cannot be used".to_owned());
        let url: Uri = options.url.as_str().parse().map_err(|_| invalid())?;
        let host = url.authority().map(ToString::to_string).unwrap_or_default();
        let is_tls = options.url.scheme() == "https";
        // RFC 6749 section 2.3.1: both are encoded as in a form.
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let credentials = format!(
            "{}:{}",
            encoded(&options.client_id),
            encoded(options.client_secret.expose())
        );
        let basic = format!("Basic {}", STANDARD.encode(credentials));
        let mut authorization = HeaderValue::from_str(&basic).map_err(|_| invalid())?;
        authorization.set_sensitive(true);
        Ok(Self {
            connector: Connector::new(is_tls, options.ca_file.as_deref(), CA_FILE_VARIABLE, b"http/1.1")?,
            host: HeaderValue::from_str(&host).map_err(|_| invalid())?,
            url,
            authorization,
            timeout: options.timeout,
            idle: Mutex::default(),
        })
    }

    /// The response. The error says nothing of the token.
    async fn ask(&self, token: &str) -> Result<Response, String> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("token_type_hint", "access_token")
            .finish();
        let sent = tokio::time::timeout(self.timeout, self.send(&form)).await;
        sent.map_err(|_| "it did not answer in time".to_owned())?
    }

    async fn send(&self, form: &str) -> Result<Response, String> {
        // The other end may have closed an idle connection meanwhile. To ask again does no harm.
        while let Some(connection) = self.take_idle() {
            if let Ok(response) = self.send_on(connection, form).await {
                return response;
            }
        }
        let stream = self.connector.connect(&self.url).await;
        let stream = stream.map_err(|error| format!("it cannot be reached: {error}"))?;
        let handshake = http1::handshake(stream).await;
        let (sender, connection) = handshake.map_err(|error| format!("it speaks no HTTP: {error}"))?;
        tokio::spawn(connection);
        self.send_on(sender, form)
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
    }

    /// The outer error: the connection failed, and was perhaps idle for too long.
    async fn send_on(
        &self,
        mut sender: SendRequest<Full<Bytes>>,
        form: &str,
    ) -> Result<Result<Response, String>, hyper::Error> {
        sender.ready().await?;
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, self.host.clone())
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(HOP_HEADER, "1")
            .body(Full::new(Bytes::from(form.to_owned())));
        let Ok(request) = request else {
            return Ok(Err("the request cannot be built".to_owned()));
        };
        let response = sender.send_request(request).await?;
        let status = response.status();
        // A header that is no text may forbid to keep the response.
        let cache_control: Vec<_> = response.headers().get_all(header::CACHE_CONTROL).iter().collect();
        let cache_control = (!cache_control.is_empty()).then(|| {
            let values = cache_control.iter().map(|value| value.to_str().unwrap_or("no-store"));
            values.collect::<Vec<_>>().join(",")
        });
        let body = match Limited::new(response.into_body(), MAX_RESPONSE).collect().await {
            Ok(body) => body.to_bytes().to_vec(),
            Err(_) => return Ok(Err("its response is cut off or too long".to_owned())),
        };
        self.keep(sender);
        if status == StatusCode::OK {
            return Ok(Ok(Response { body, cache_control }));
        }
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ": check OAUTH2_FALLBACK_INTROSPECTION_CLIENT_ID and OAUTH2_FALLBACK_INTROSPECTION_CLIENT_SECRET"
            }
            _ => "",
        };
        Ok(Err(format!("it answers with status {}{hint}", status.as_u16())))
    }

    fn take_idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sender) = idle.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE && !sender.is_closed() {
            idle.push(sender);
        }
    }
}
