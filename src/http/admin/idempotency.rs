//! `Idempotency-Key` on requests that change something by POST (draft-ietf-httpapi-idempotency-key-header).

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::web::{self, Bytes, Data};
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError};

use crate::http::admin_deadline;
use crate::http::error::Failure;
use crate::http::extract::{self, BODY_LIMIT, By};
use crate::service::error::ServiceError;
use crate::service::idempotency::{Begun, Idempotency, Outcome, RepeatableResponse};

/// The header of the key.
pub const HEADER: &str = "Idempotency-Key";

/// The header of a response that is repeated.
const REPEATED: &str = "Idempotency-Replayed";

/// Runs a request that has a key once. After [`authenticate`](super::authenticate).
pub async fn once(
    idempotency: Data<Idempotency>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let key = request
        .headers()
        .get(HEADER)
        .filter(|_| *request.method() == Method::POST)
        .cloned();
    let Some(key) = key else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let begun = begin(&idempotency, &mut request, key.to_str().unwrap_or_default()).await;
    let ticket = match begun {
        Ok(Begun::First(ticket)) => ticket,
        Ok(Begun::Repeated(response)) => return Ok(request.into_response(repeat(response))),
        Err(failure) => return Ok(request.into_response(failure.error_response())),
    };
    let (request, response) = next.call(request).await?.into_parts();
    let status = response.status();
    let (response, body) = response.into_parts();
    let body = to_bytes(body).await.unwrap_or_default();
    let outcome = if status.is_success() {
        Outcome::Done(RepeatableResponse {
            status: status.as_u16(),
            headers: content_headers(&response),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    } else if status.is_client_error() {
        Outcome::Rejected
    } else {
        Outcome::Unknown
    };
    idempotency.finish(ticket, outcome, admin_deadline()).await;
    Ok(ServiceResponse::new(request, response.set_body(body)).map_into_boxed_body())
}

async fn begin(idempotency: &Idempotency, request: &mut ServiceRequest, key: &str) -> Result<Begun, Failure> {
    if request.path().ends_with(":import") {
        let problem = "an import takes no Idempotency-Key: it can be repeated, and skips clients that exist";
        return Err(ServiceError::InvalidRequest(problem.to_owned()).into());
    }
    let operator = request.extensions().get::<By>().map(|By(operator)| operator.clone());
    let operator = operator.ok_or(ServiceError::InvalidToken)?;
    let payload = request.extract::<web::Payload>().await;
    let payload = payload.map_err(|_| ServiceError::InvalidRequest("the body cannot be read".to_owned()))?;
    let body = extract::body(request.headers(), payload, BODY_LIMIT).await?;
    request.set_payload(to_payload(body.clone()));
    let line = format!("{} {}", request.method(), request.uri());
    Ok(idempotency
        .begin(&operator, &line, key, &body, admin_deadline())
        .await?)
}

/// A body that was read, for the handler to read again.
fn to_payload(body: Bytes) -> Payload {
    let (_, mut payload) = actix_http::h1::Payload::create(true);
    payload.unread_data(body);
    Payload::from(payload)
}

/// Headers that are repeated with the body.
fn content_headers(response: &HttpResponse<()>) -> Vec<(String, String)> {
    let names = [
        header::CONTENT_TYPE,
        header::LOCATION,
        header::ETAG,
        header::CACHE_CONTROL,
    ];
    let values = names.iter().filter_map(|name| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    values.collect()
}

fn repeat(response: RepeatableResponse) -> HttpResponse {
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::OK);
    let mut builder = HttpResponse::build(status);
    for (name, value) in response.headers {
        builder.insert_header((name, value));
    }
    builder.insert_header((REPEATED, "true")).body(response.body)
}
