//! The admin API under `/admin/v1` on the management listener: JSON, for operators.
//!
//! Every request carries a bearer token: the static admin token, or an active access token for this issuer with the scope
//! `oauth2.admin`. Without one the response is 401, whether or not the URL exists.

use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::{Data, Payload};
use actix_web::{Error, HttpMessage, HttpRequest, ResponseError};
use oauth2_actors::error::AskError;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::admin_deadline;
use super::conditions::is_ignored;
use super::endpoint::endpoints;
use super::error::Failure;
use super::extract::{BODY_LIMIT, By, bearer, body, path_parameter};
use super::oauth::admission::Admission;
use crate::service::error::ServiceError;
use crate::service::members;
use crate::service::operator::Operator;
use crate::service::operators::Operators;
use crate::service::rejections::{RejectedChange, RequestOrigin};

pub mod audit;
pub mod client_import;
pub mod client_usage;
pub mod clients;
pub mod cutoffs;
pub mod groups;
pub mod idempotency;
pub mod keys;
pub mod token_issue;
pub mod tokens;

endpoints! {
    surface: Api, scope: "/admin/v1", group: Admin,
    Management: GET "/admin/v1/clients" => clients::list, takes: Query;
    Management: POST "/admin/v1/clients" => clients::create, takes: Body;
    Management: POST "/admin/v1/clients:import" => client_import::post, takes: QueryAndBody;
    Management: GET "/admin/v1/clients:top" => client_usage::top, takes: Query;
    Management: GET "/admin/v1/clients/{client_id}" => clients::show;
    Management: PUT "/admin/v1/clients/{client_id}" => clients::put, takes: Body;
    Management: PATCH "/admin/v1/clients/{client_id}" => clients::update, takes: Body;
    Management: DELETE "/admin/v1/clients/{client_id}" => clients::delete;
    Management: POST "/admin/v1/clients/{client_id}/disable" => clients::disable;
    Management: POST "/admin/v1/clients/{client_id}/enable" => clients::enable;
    Management: POST "/admin/v1/clients/{client_id}/rotate-secret" => clients::rotate_secret, takes: Body;
    Management: GET "/admin/v1/clients/{client_id}/usage" => client_usage::show;
    Management: GET "/admin/v1/clients/{client_id}/tokens" => tokens::list, takes: Query;
    Management: POST "/admin/v1/clients/{client_id}/tokens:revoke-all" => tokens::revoke_all_of_client;
    Management: POST "/admin/v1/tokens:issue" => token_issue::post, takes: Body;
    Management: POST "/admin/v1/tokens:revoke-all" => tokens::revoke_all;
    Management: GET "/admin/v1/tokens/{jti}" => tokens::show;
    Management: POST "/admin/v1/tokens/{jti}/revoke" => tokens::revoke;
    Management: GET "/admin/v1/cutoffs" => cutoffs::list, takes: Query;
    Management: POST "/admin/v1/cutoffs/{id}/correct" => cutoffs::correct;
    Management: GET "/admin/v1/groups" => groups::list;
    Management: GET "/admin/v1/groups:usage" => groups::usage, takes: Query;
    Management: GET "/admin/v1/groups:top" => groups::top, takes: Query;
    Management: GET "/admin/v1/groups/{group}" => groups::show;
    Management: PUT "/admin/v1/groups/{group}" => groups::set, takes: Body;
    Management: DELETE "/admin/v1/groups/{group}" => groups::delete;
    Management: GET "/admin/v1/keys" => keys::list;
    Management: POST "/admin/v1/keys/rotate" => keys::rotate, takes: Body;
    Management: GET "/admin/v1/keys/verifiers" => keys::verifiers;
    Management: POST "/admin/v1/keys/verify-only" => keys::import_verify_only, takes: Body;
    Management: POST "/admin/v1/keys/{kid}/revoke" => keys::revoke;
    Management: GET "/admin/v1/audit" => audit::list, takes: Query;
}

/// Requests of operators at a time. Those that wait for the store hold a connection each: fewer than the listener has, so that probes and
/// scrapers find one.
const MAX_IN_FLIGHT: usize = 48;

static IN_FLIGHT: Semaphore = Semaphore::const_new(MAX_IN_FLIGHT);

/// The middleware that sheds requests beyond [`MAX_IN_FLIGHT`].
pub async fn bound(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let Ok(_in_flight) = IN_FLIGHT.try_acquire() else {
        let full = Failure::Service(ServiceError::Ask(AskError::Full));
        return Ok(request.into_response(full.error_response()).map_into_right_body());
    };
    Ok(next.call(request).await?.map_into_left_body())
}

/// The middleware that authenticates operators, and records rejected changes.
pub async fn authenticate(
    operators: Data<Operators>,
    admission: Data<Admission>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    // The clone must be dropped before the request goes on: actix requires to be its only owner.
    let found = {
        let request = request.request().clone();
        operator(&operators, &admission, &request, admin_deadline()).await
    };
    match found {
        Ok(operator) => {
            request.extensions_mut().insert(By(operator.clone()));
            let response = next.call(request).await?;
            if !response.request().method().is_safe() {
                let error = response.response().error().and_then(|error| error.as_error());
                if let Some(failure) = error.filter(|failure| is_rejection(failure)) {
                    record(&operators, &admission, &operator, response.request(), failure);
                }
            }
            Ok(response.map_into_left_body())
        }
        Err(failure) => Ok(request.into_response(failure.error_response()).map_into_right_body()),
    }
}

/// The middleware that rejects query parameters, bodies and conditions of requests to endpoints without any: a caller that narrows a request by a
/// parameter that does not exist must not get the whole effect.
pub async fn reject_unknown_input(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    match unknown_input(&mut request).await {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(failure) => Ok(request.error_response(failure).map_into_right_body()),
    }
}

async fn unknown_input(request: &mut ServiceRequest) -> Result<(), Failure> {
    let method = match request.method().as_str() {
        "HEAD" => "GET",
        other => other,
    };
    let path = request.match_info().as_str();
    let endpoint = ENDPOINTS
        .iter()
        .find(|endpoint| endpoint.method == method && endpoint.matches(path));
    let Some(endpoint) = endpoint else {
        return Ok(());
    };
    let takes_no = |what: &str| {
        let problem = format!("{} {} takes no {what}", endpoint.method, endpoint.path);
        Failure::from(ServiceError::InvalidRequest(problem))
    };
    if is_ignored(endpoint, request.headers()) {
        return Err(takes_no("condition (If-Match, If-None-Match)"));
    }
    if !endpoint.takes.query() && !request.query_string().is_empty() {
        return Err(takes_no("query parameters"));
    }
    if endpoint.takes.body() {
        return Ok(());
    }
    let payload = request.extract::<Payload>().await;
    let payload = payload.map_err(|_| takes_no("body"))?;
    let body = body(request.headers(), payload, BODY_LIMIT).await?;
    // Some clients send `null` for no body.
    let is_empty = matches!(body.trim_ascii(), b"" | b"null") || members::read_text(&body).is_ok_and(|Nothing {}| true);
    if is_empty { Ok(()) } else { Err(takes_no("body")) }
}

/// A body without members.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The operator of a request.
pub async fn operator(
    operators: &Operators,
    admission: &Admission,
    request: &HttpRequest,
    deadline: Instant,
) -> Result<Operator, Failure> {
    let origin = || RequestOrigin {
        address: admission.address(request),
        request: pattern(request),
    };
    Ok(operators.authenticate(bearer(request), origin, deadline).await?)
}

/// The method and the pattern of the URL, such as `PATCH /admin/v1/clients/{client_id}`.
fn pattern(request: &HttpRequest) -> String {
    let pattern = request.match_pattern();
    format!("{} {}", request.method(), pattern.as_deref().unwrap_or("another URL"))
}

/// Whether a request failed by its caller's fault.
fn is_rejection(failure: &Failure) -> bool {
    failure.status_code().is_client_error()
}

fn record(operators: &Operators, admission: &Admission, operator: &Operator, request: &HttpRequest, failure: &Failure) {
    let named = [
        ("client_id", "client"),
        ("group", "group"),
        ("kid", "key"),
        ("jti", "token"),
    ];
    let target = named
        .into_iter()
        .find(|(parameter, _)| request.match_info().get(parameter).is_some());
    // Decoded, as the log is searched by it.
    let id = target.map(|_| path_parameter(request)).unwrap_or_default();
    let change = RejectedChange {
        request: &pattern(request),
        target: target.map_or(("issuer", ""), |(_, kind)| (kind, &*id)),
        error: failure.code(),
        description: &failure.to_string(),
    };
    operators.change_rejected(operator, change, admission.address(request));
}
