//! The JSON API under `/admin/v1` on the management listener.
//!
//! Every request carries a bearer token: the static admin token, or an access token of this issuer, for this issuer, with
//! the scope `oauth2.admin`. Without one the answer is `401`, whether or not the URL exists.

use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::web::{self, Bytes, Payload};
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use oauth2_actors::model::{AuditEntry, Page};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::IntoParams;

use super::error::Failure;
use super::{ADMIN_DEADLINE, App, State, body};
use crate::oauth::registration::is_client_id;
use crate::oauth::view::ListView;
use crate::tokens::secret;

pub mod audit;
pub mod clients;
pub mod import;
pub mod issue;
pub mod keys;
pub mod tokens;
pub mod usage;

/// The scope that an access token needs here.
const SCOPE: &str = "oauth2.admin";

/// Rows of a list when the request does not say, and at the most.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

const NO_SUCH_CLIENT: Failure = Failure::NoSuch("there is no such client");

/// Any other URL below `/admin`.
pub async fn not_found(state: App, request: HttpRequest) -> Result<HttpResponse, Failure> {
    // Below `/v1` the caller has shown its token already; elsewhere it has to, before it learns what is not there.
    if request.extensions().get::<Operator>().is_none() {
        operator(&state, &request, Instant::now() + ADMIN_DEADLINE).await?;
    }
    Err(Failure::NotFound)
}

/// Who makes the request, as the audit log names it.
#[derive(Debug, Clone)]
pub struct Operator(String);

impl Operator {
    /// An audit entry in the operator's name.
    pub fn audit(&self, action: &'static str, detail: Value) -> AuditEntry {
        AuditEntry {
            actor: self.0.clone(),
            action,
            detail,
        }
    }
}

impl FromRequest for Operator {
    type Error = Failure;
    type Future = std::future::Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
        std::future::ready(request.extensions().get::<Self>().cloned().ok_or(Failure::Unauthorized))
    }
}

/// The client that the path names. A name that no client may have names nobody, so the store is not asked: Postgres
/// refuses text with a NUL.
#[derive(Debug, IntoParams)]
#[into_params(names("client_id"), parameter_in = Path)]
pub struct ClientId(String);

impl FromRequest for ClientId {
    type Error = Failure;
    type Future = std::future::Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
        let named = request.match_info().get("client_id").filter(|id| is_client_id(id));
        std::future::ready(named.map(|id| Self(id.to_owned())).ok_or(NO_SUCH_CLIENT))
    }
}

/// The middleware that finds out who asks.
pub async fn bearer(
    state: App,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let deadline = Instant::now() + ADMIN_DEADLINE;
    // The clone must be gone before the request goes on: actix wants to be its only owner.
    let found = {
        let request = request.request().clone();
        operator(&state, &request, deadline).await
    };
    match found {
        Ok(operator) => {
            request.extensions_mut().insert(operator);
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(failure) => Ok(request.into_response(failure.error_response()).map_into_right_body()),
    }
}

async fn operator(state: &State, request: &HttpRequest, deadline: Instant) -> Result<Operator, Failure> {
    let header = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let (scheme, token) = header
        .and_then(|value| value.split_once(' '))
        .ok_or(Failure::Unauthorized)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Failure::Unauthorized);
    }
    let presented = secret::hash(token);
    if state
        .admin_token
        .is_some_and(|hash| verify_slices_are_equal(&hash, &presented).is_ok())
    {
        return Ok(Operator("admin".to_owned()));
    }
    let resolved = state.resolve(token, deadline).await?.ok_or(Failure::Unauthorized)?;
    // Verifiers that share a secret could make themselves operators with it.
    if resolved.claims().aud != state.defaults.issuer || resolved.is_by_shared_secret() || !state.is_active(&resolved) {
        return Err(Failure::Unauthorized);
    }
    state.fresh(deadline)?;
    let claims = resolved.claims();
    if !claims.scope.split(' ').any(|scope| scope == SCOPE) {
        return Err(Failure::Forbidden);
    }
    Ok(Operator(format!("client:{}", claims.client_id)))
}

/// Reads a JSON body; an empty one counts as `{}`.
async fn read<T: DeserializeOwned>(request: &HttpRequest, payload: Payload) -> Result<T, Failure> {
    let body = body::read(request.headers(), payload, body::LIMIT).await?;
    let body = if body.is_empty() {
        Bytes::from_static(b"{}")
    } else {
        body
    };
    body::object(&body).map_err(|error| bad_request(format!("the body is not what this URL takes: {error}")))
}

fn bad_request(why: impl Into<String>) -> Failure {
    Failure::BadRequest("invalid_request", why.into())
}

/// The place in a list that a cursor names.
fn place(list: &str, cursor: &str) -> Result<String, Failure> {
    crate::oauth::cursor::decode(list, cursor).map_err(|why| bad_request(format!("the cursor {why}")))
}

/// The query of a URL; `takes`: what it may name.
fn query<T: DeserializeOwned>(request: &HttpRequest, takes: &str) -> Result<T, Failure> {
    web::Query::from_query(request.query_string())
        .map(web::Query::into_inner)
        .map_err(|_| bad_request(format!("the query takes {takes}")))
}

/// How many items a page has.
fn page_size(asked: Option<usize>) -> Result<usize, Failure> {
    let limit = asked.unwrap_or(PAGE);
    if (1..=LARGEST_PAGE).contains(&limit) {
        Ok(limit)
    } else {
        Err(bad_request(format!("limit must be from 1 to {LARGEST_PAGE}")))
    }
}

fn answer_page<'a, T, V: Serialize>(page: &'a Page<T>, view: impl FnMut(&'a T) -> V) -> HttpResponse {
    answer(&ListView {
        items: page.items.iter().map(view).collect(),
        next_cursor: page.next.clone(),
    })
}

fn answer(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(body)
}

fn deadline() -> Instant {
    Instant::now() + ADMIN_DEADLINE
}
