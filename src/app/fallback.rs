//! The client of the fallback introspection: HTTP/1.1 over connections that are kept open.

use std::sync::{Arc, Mutex};

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{StatusCode, Uri};
use oauth2_actors::runtime::clock::StoreClock;
use url::form_urlencoded::{self, byte_serialize};

use super::connect::{Connector, roots};
use super::http_client::{HttpClient, NoResponse, Question, basic};
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

/// The fallback introspection of a configuration, if it has one.
pub(super) fn open(
    options: Option<&FallbackIntrospection>,
    clock: &Arc<StoreClock>,
) -> Result<Option<Arc<Fallback>>, Failure> {
    let Some(options) = options else {
        return Ok(None);
    };
    let client = Arc::new(Client::new(options)?);
    let ask: Ask = Arc::new(move |token| {
        let client = Arc::clone(&client);
        Box::pin(async move { client.ask(&token).await })
    });
    let fingerprints = Fingerprints::new().map_err(Failure::environment)?;
    Ok(Some(Arc::new(Fallback::new(
        ask,
        options.until,
        options.max_in_flight,
        Arc::clone(clock),
        fingerprints,
    ))))
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
    http: HttpClient,
    url: Uri,
    headers: HeaderMap,
}

/// Checks the file with the authorities of an issuer that is reached by `https`.
pub(super) fn authorities(options: &FallbackIntrospection) -> Result<(), String> {
    match &options.ca_file {
        Some(file) if options.url.scheme() == "https" => roots(Some(file), CA_FILE_VARIABLE).map(drop),
        _ => Ok(()),
    }
}

impl Client {
    fn new(options: &FallbackIntrospection) -> Result<Self, Failure> {
        let invalid = || Failure::Invalid("OAUTH2_FALLBACK_INTROSPECTION_URL cannot be used".to_owned());
        let is_tls = options.url.scheme() == "https";
        // RFC 6749 section 2.3.1: both are encoded as in a form.
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let (id, secret) = (encoded(&options.client_id), encoded(options.client_secret.expose()));
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, basic(&id, &secret).map_err(|_| invalid())?);
        headers.insert(HOP_HEADER, HeaderValue::from_static("1"));
        Ok(Self {
            http: HttpClient {
                connector: Connector::new(is_tls, options.ca_file.as_deref(), CA_FILE_VARIABLE, b"http/1.1")?,
                timeout: options.timeout,
                max_response: MAX_RESPONSE,
                max_idle: MAX_IDLE,
                idle: Mutex::default(),
            },
            url: options.url.as_str().parse().map_err(|_| invalid())?,
            headers,
        })
    }

    /// The response. The error says nothing of the token.
    async fn ask(&self, token: &str) -> Result<Response, String> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("token_type_hint", "access_token")
            .finish();
        let question = Question {
            headers: self.headers.clone(),
            form: Some(form),
        };
        let response = self
            .http
            .send(&self.url, &question)
            .await
            .map_err(|error| match error {
                NoResponse::Timeout => "it did not answer in time".to_owned(),
                NoResponse::Failed(error) => format!("it cannot be asked: {error}"),
            })?;
        let hint = match response.status() {
            StatusCode::OK => {
                return Ok(Response {
                    cache_control: cache_control(response.headers()),
                    body: response.into_body().to_vec(),
                });
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ": check OAUTH2_FALLBACK_INTROSPECTION_CLIENT_ID and OAUTH2_FALLBACK_INTROSPECTION_CLIENT_SECRET"
            }
            _ => "",
        };
        Err(format!("it answers with status {}{hint}", response.status().as_u16()))
    }
}

/// The value of every header `Cache-Control`. A value that is no text may forbid to keep the response.
fn cache_control(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::CACHE_CONTROL).iter();
    let values: Vec<_> = values.map(|value| value.to_str().unwrap_or("no-store")).collect();
    (!values.is_empty()).then(|| values.join(","))
}
