//! Reads requests: bodies bounded in size and time, queries, path parameters, the operator.

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::web::{self, Bytes, BytesMut, Payload};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use uuid::Uuid;

use super::error::Failure;
use crate::protocol::client_auth::client_secret_basic::Authorization;
use crate::protocol::error::OAuthError;
use crate::service::clients::checks::is_client_id;
use crate::service::error::{NotFound, ServiceError};
use crate::service::members;
use crate::service::operator::Operator;
use crate::service::token_ref::TokenRef;

/// The largest body, bytes, where an endpoint does not say otherwise.
pub const BODY_LIMIT: usize = 16 * 1024;

/// How long a body may take to arrive after its head was read.
const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// Rows of a page where the request does not say, and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// The body of a form request.
pub async fn form_body(headers: &HeaderMap, payload: Payload) -> Result<Bytes, Failure> {
    expect_type(
        headers,
        "application/x-www-form-urlencoded",
        "the body must be application/x-www-form-urlencoded",
    )?;
    body(headers, payload, BODY_LIMIT).await
}

/// The body of a JSON request.
pub async fn json_body(headers: &HeaderMap, payload: Payload, limit: usize) -> Result<Bytes, Failure> {
    expect_type(headers, "application/json", "the body must be application/json")?;
    body(headers, payload, limit).await
}

/// Parses a JSON object. (By itself, `serde` would take an array of a struct's fields for the struct.)
pub fn json_object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, serde_json::Error> {
    if body.trim_ascii_start().first() == Some(&b'{') {
        serde_json::from_slice(body)
    } else {
        Err(serde::de::Error::custom("expected a JSON object"))
    }
}

/// The JSON body of an administrative request; an empty one counts as `{}`.
pub async fn admin_body<T: DeserializeOwned>(request: &HttpRequest, payload: Payload) -> Result<T, Failure> {
    let body = body(request.headers(), payload, BODY_LIMIT).await?;
    let body = if body.is_empty() {
        Bytes::from_static(b"{}")
    } else {
        body
    };
    members::read_text(&body)
        .map_err(|problem| invalid_request(format!("the body is not valid for this URL: {problem}")))
}

/// A body of any type.
pub async fn body(headers: &HeaderMap, payload: Payload, limit: usize) -> Result<Bytes, Failure> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(Failure::TooLarge);
    }
    tokio::time::timeout(BODY_DEADLINE, collect(payload, limit))
        .await
        .unwrap_or(Err(Failure::SlowBody))
}

async fn collect(mut payload: Payload, limit: usize) -> Result<Bytes, Failure> {
    const CUT_SHORT: OAuthError = OAuthError::invalid_request("the body ended early or is malformed");
    let mut body = Bytes::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| CUT_SHORT)?;
        if body.len() + chunk.len() > limit {
            return Err(Failure::TooLarge);
        }
        // Nearly every body is one chunk, which is used as it is.
        body = if body.is_empty() {
            chunk
        } else {
            let mut joined = BytesMut::from(body);
            joined.extend_from_slice(&chunk);
            joined.freeze()
        };
    }
    Ok(body)
}

fn expect_type(headers: &HeaderMap, expected: &str, otherwise: &'static str) -> Result<(), Failure> {
    let given = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if given == Some(expected.as_bytes()) {
        return Ok(());
    }
    let given = given.and_then(|value| str::from_utf8(value).ok()).unwrap_or_default();
    let essence = given.split_once(';').map_or(given, |(essence, _)| essence).trim();
    if essence.eq_ignore_ascii_case(expected) {
        Ok(())
    } else {
        Err(OAuthError::invalid_request(otherwise).into())
    }
}

/// The `Authorization` header, for client authentication. Two of them are two authentication methods.
pub fn authorization(request: &HttpRequest) -> Result<Option<Authorization>, OAuthError> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let first = values.next().map(|value| Authorization::parse(value.as_bytes()));
    if values.next().is_some() {
        return Err(OAuthError::invalid_request("the Authorization header is repeated"));
    }
    Ok(first)
}

/// The bearer token of a request (RFC 6750 section 2.1).
pub fn bearer(request: &HttpRequest) -> Option<&str> {
    let header = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// The query of a URL. `parameters`: what it takes, for the error.
pub fn query<T: DeserializeOwned>(request: &HttpRequest, parameters: &str) -> Result<T, Failure> {
    web::Query::from_query(request.query_string())
        .map(web::Query::into_inner)
        .map_err(|_| invalid_request(format!("the query takes {parameters}")))
}

/// Rows of a page.
pub fn page_size(requested: Option<usize>) -> Result<usize, Failure> {
    let limit = requested.unwrap_or(PAGE);
    if (1..=MAX_PAGE).contains(&limit) {
        Ok(limit)
    } else {
        Err(ServiceError::parameter("limit", format!("must be from 1 to {MAX_PAGE}")).into())
    }
}

/// A request that is not acceptable as a whole.
pub fn invalid_request(why: impl Into<String>) -> Failure {
    ServiceError::InvalidRequest(why.into()).into()
}

/// The operator, as the middleware of the admin API found out.
#[derive(Debug, Clone)]
pub struct By(pub Operator);

impl FromRequest for By {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
        let found = request.extensions().get::<Self>().cloned();
        ready(found.ok_or_else(|| ServiceError::InvalidToken.into()))
    }
}

/// The client in the path, percent-decoded. An id that no client can have is not looked up: Postgres rejects text with a NUL.
#[derive(Debug, IntoParams)]
#[into_params(names("client_id"), parameter_in = Path)]
pub struct ClientId(pub String);

impl FromRequest for ClientId {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
        let id = path_parameter(request);
        ready(if is_client_id(&id) {
            Ok(Self(id))
        } else {
            Err(ServiceError::NotFound(NotFound::Client(id)).into())
        })
    }
}

/// The one parameter of a path. The router compares paths with `%2F`, `%25` and `%2B` still encoded; here they are decoded too.
pub fn path_parameter(request: &HttpRequest) -> String {
    request.match_info().load().unwrap_or_default()
}

/// The query of a list without filters.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Items per page, 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next_cursor` of the previous page.
    pub cursor: Option<String>,
}

/// The token id in the path.
#[derive(Debug, IntoParams)]
#[into_params(names("jti"), parameter_in = Path)]
pub struct TokenId(
    /// Token id, a UUID of version 7.
    #[param(value_type = Uuid, pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$")]
    pub TokenRef,
);

impl FromRequest for TokenId {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
        let jti = request.match_info().get("jti");
        let found = jti.and_then(|jti| TokenRef::of_id(Uuid::try_parse(jti).ok()?));
        ready(
            found
                .map(Self)
                .ok_or_else(|| ServiceError::parameter("jti", "must be a UUID of version 7").into()),
        )
    }
}
