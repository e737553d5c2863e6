//! `Idempotency-Key` on requests that change something by POST (draft-ietf-httpapi-idempotency-key-header).

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{self, Bytes, Data};
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError};
use oauth2_actors::error::AskError;

use crate::http::admin_deadline;
use crate::http::error::Failure;
use crate::http::extract::{self, BODY_LIMIT, By};
use crate::service::error::ServiceError;
use crate::service::idempotency::{Begun, Idempotency, Outcome, RepeatableResponse};

/// The header of the key.
pub const HEADER: &str = "Idempotency-Key";

/// The header of a response that is repeated.
const REPEATED: &str = "Idempotency-Replayed";

/// Headers of a connection or of a single response, which are not repeated.
const OF_ONE_RESPONSE: [HeaderName; 4] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::DATE,
    header::TRANSFER_ENCODING,
];

/// Runs a request that has a key once. After [`authenticate`](super::authenticate).
pub async fn once(
    idempotency: Data<Idempotency>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let is_post = *request.method() == Method::POST;
    let key = request.headers().get(HEADER).filter(|_| is_post).cloned();
    let Some(key) = key else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let begun = begin(&idempotency, &mut request, key.to_str().unwrap_or_default()).await;
    let ticket = match begun {
        Ok(Begun::First(ticket)) => ticket,
        Ok(Begun::Repeated(response)) => return Ok(request.into_response(repeat(response))),
        Err(failure) => return Ok(request.error_response(failure)),
    };
    // Also if the caller leaves: its next request must find the outcome.
    let running = next.call(request);
    let run = actix_web::rt::spawn(async move {
        let response = running.await?.map_into_boxed_body();
        let (outcome, response) = read(response).await;
        idempotency.finish(ticket, outcome, admin_deadline()).await;
        Ok(response)
    });
    run.await.unwrap_or_else(|_| Err(Failure::Panicked.into()))
}

async fn begin(idempotency: &Idempotency, request: &mut ServiceRequest, key: &str) -> Result<Begun, Failure> {
    let invalid = |problem: &str| Failure::from(ServiceError::InvalidRequest(problem.to_owned()));
    let spelling = "with an Idempotency-Key the URL must be spelled without percent-encoding where none is needed";
    let pattern = request.match_pattern().ok_or_else(|| invalid(spelling))?;
    if pattern.ends_with(":import") {
        let problem = "an import takes no Idempotency-Key: it can be repeated, and skips clients that exist";
        return Err(invalid(problem));
    }
    let operator = request.extensions().get::<By>().map(|By(operator)| operator.clone());
    let operator = operator.ok_or(ServiceError::InvalidToken)?;
    let payload = request.extract::<web::Payload>().await;
    let payload = payload.map_err(|_| invalid("the body cannot be read"))?;
    let body = extract::body(request.headers(), payload, BODY_LIMIT).await?;
    request.set_payload(to_payload(body.clone()));
    // A URL may be spelled in several ways.
    let parameters: Vec<_> = request.match_info().iter().collect();
    let line = format!(
        "{} {pattern} {parameters:?} {}",
        request.method(),
        request.query_string()
    );
    Ok(idempotency
        .begin(&operator, &line, key, &body, admin_deadline())
        .await?)
}

/// The outcome of a request, and its response again.
async fn read(response: ServiceResponse<BoxBody>) -> (Outcome, ServiceResponse<BoxBody>) {
    let status = response.status();
    if !status.is_success() {
        let error = response.response().error().and_then(|error| error.as_error());
        let is_unchanged = status.is_client_error() || error.is_some_and(never_ran);
        let outcome = if is_unchanged {
            Outcome::Unchanged
        } else {
            Outcome::Unknown
        };
        return (outcome, response);
    }
    let (request, response) = response.into_parts();
    let (response, body) = response.into_parts();
    let headers = repeated_headers(&response);
    let Some((body, text)) = to_bytes(body).await.ok().and_then(|body| {
        let text = String::from_utf8(body.to_vec()).ok()?;
        Some((body, text))
    }) else {
        let failure = Failure::Service(ServiceError::Internal("a response cannot be read"));
        return (
            Outcome::Unknown,
            ServiceResponse::new(request, failure.error_response()),
        );
    };
    let repeatable = RepeatableResponse {
        status: status.as_u16(),
        headers,
        body: text,
    };
    let response = ServiceResponse::new(request, response.set_body(body)).map_into_boxed_body();
    (Outcome::Done(repeatable), response)
}

/// Whether a request failed before it could change anything.
fn never_ran(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Service(ServiceError::Ask(AskError::Full | AskError::Stopped) | ServiceError::Stale)
    )
}

/// A body that was read, for the handler to read again.
fn to_payload(body: Bytes) -> Payload {
    let (_, mut payload) = actix_http::h1::Payload::create(true);
    payload.unread_data(body);
    Payload::from(payload)
}

fn repeated_headers(response: &HttpResponse<()>) -> Vec<(String, String)> {
    let headers = response.headers().iter();
    let repeated = headers.filter(|(name, _)| !OF_ONE_RESPONSE.contains(name));
    let text =
        |(name, value): (&HeaderName, &HeaderValue)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()));
    repeated.filter_map(text).collect()
}

fn repeat(response: RepeatableResponse) -> HttpResponse {
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::OK);
    let mut builder = HttpResponse::build(status);
    for (name, value) in response.headers {
        builder.append_header((name, value));
    }
    builder.insert_header((REPEATED, "true")).body(response.body)
}
