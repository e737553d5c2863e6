//! What every request passes: its id, its span, its metrics, the headers of its surface, and what happens when a handler panics.

use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use base64::Engine;
use futures_util::FutureExt;
use oauth2_actors::runtime::request_id::RequestId;
use oauth2_actors::runtime::spans::{self, Span};
use tokio::sync::Semaphore;

use super::cors::Cors;
use super::endpoint::{Endpoint, Listener};
use super::error::{Failure, Reason};
use super::metrics::HttpMetrics;
use super::reason::{ErrorReason, RejectReason, ShedReason};
use super::request_span;
use super::routes::{self, ENDPOINTS};
use super::wellknown::metadata::Metadata;
use crate::service::readiness::Readiness;
use crate::tokens::BASE64URL;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Distinguishes the request ids of one process from those of another.
static PROCESS: LazyLock<[u8; PROCESS_ID]> = LazyLock::new(|| {
    let (mut bytes, mut id) = ([0; PROCESS_ID / 4 * 3], [b'-'; PROCESS_ID]);
    // Ids need not be secret: without randomness two processes may share a prefix.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    let _ = BASE64URL.encode_slice(bytes, &mut id);
    id
});

/// Characters of that prefix.
const PROCESS_ID: usize = 8;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// How long the response to an authentication failure over its bucket is delayed. A client that keeps failing mostly does so as fast
/// as it is answered, on a fixed number of connections: the delay leaves nearly all capacity to others.
const DELAY: Duration = Duration::from_millis(150);

/// Responses that may be delayed at a time, of a few KiB each. More are answered at once.
const MAX_DELAYED: usize = 10_000;

static DELAYED: Semaphore = Semaphore::const_new(MAX_DELAYED);

/// The middleware of the public listener (`PUBLIC`) or the management listener. Each request runs in the context of its id and, if it
/// is sampled, of its span.
pub async fn observe<const PUBLIC: bool>(
    metrics: web::Data<HttpMetrics>,
    metadata: web::Data<Metadata>,
    cors: web::Data<Cors>,
    readiness: web::Data<Readiness>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    // The path as it is routed: percent-encoding aside.
    let path = metadata.canonical_path(request.match_info().unprocessed());
    let listener = if PUBLIC { Listener::Public } else { Listener::Management };
    let number = routes::endpoint(listener, request.method(), path);
    let endpoint = &ENDPOINTS[number];
    let id = request_id(request.headers());
    let span = request_span::start(&request, endpoint, &id);
    let context = spans::Context::new(id, span.as_ref());
    let answer = answer(&metrics, &cors, (number, endpoint), (started, span), request, next);
    let mut response = context.around(answer).await?;
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID.clone(), id);
    }
    if PUBLIC && !readiness.is_accepting() {
        // The client opens another connection, which the load balancer leads to another node, before this one is cut.
        response
            .response_mut()
            .head_mut()
            .set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

async fn answer<B: MessageBody + 'static>(
    metrics: &HttpMetrics,
    cors: &Cors,
    (number, endpoint): (usize, &'static Endpoint),
    (started, mut span): (Instant, Option<Span>),
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let answered = AssertUnwindSafe(next.call(request)).catch_unwind().await;
    let Ok(answered) = answered else {
        metrics.error(number, ErrorReason::Shed(ShedReason::Internal));
        metrics.response(number, 5, started.elapsed());
        if let Some(span) = &mut span {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            request_span::finish(span, status, Some(ErrorReason::Shed(ShedReason::Internal)));
        }
        tracing::error!(endpoint = endpoint.path, "a handler panicked");
        return Err(Failure::Panicked.into());
    };
    let mut response = answered?;

    let status = response.status();
    let mut reason = None;
    if !status.is_success() {
        reason = response.response().extensions().get::<Reason>().map(|reason| reason.0);
        if let Some(reason) = reason {
            metrics.error(number, reason);
        }
    }
    let elapsed = started.elapsed();
    // Not louder for errors: there may be many, the metrics count them, and their cause is logged once.
    tracing::debug!(
        endpoint = endpoint.path,
        status = status.as_u16(),
        ?reason,
        us = elapsed.as_micros() as u64,
        "responded"
    );
    metrics.response(number, usize::from(status.as_u16() / 100), elapsed);
    if let Some(mut span) = span {
        request_span::finish(&mut span, status, reason);
    }
    let origin = cors.allowed_origin(endpoint, response.request().headers());
    let headers = response.headers_mut();
    cors.append_headers(endpoint, origin, headers);
    endpoint.surface.append_headers(headers);
    if reason == Some(ErrorReason::Rejected(RejectReason::AuthFailures)) {
        delay().await;
    }
    Ok(response)
}

async fn delay() {
    if let Ok(_delayed) = DELAYED.try_acquire() {
        tokio::time::sleep(DELAY).await;
    }
}

/// The caller's request id if it is well-formed, else a new one.
fn request_id(headers: &HeaderMap) -> RequestId {
    headers
        .get(&REQUEST_ID)
        .and_then(|id| RequestId::new(id.as_bytes()))
        .unwrap_or_else(new_id)
}

/// `<process>-<count in base 32>`, written without the formatter, since every request has one.
fn new_id() -> RequestId {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut count = COUNT.fetch_add(1, Ordering::Relaxed);
    // 64 bits are 13 digits.
    let mut id = [0; PROCESS_ID + 1 + 13];
    let mut at = id.len();
    loop {
        at -= 1;
        id[at] = DIGITS[(count & 31) as usize];
        count >>= 5;
        if count == 0 {
            break;
        }
    }
    at -= 1 + PROCESS_ID;
    id[at..at + PROCESS_ID].copy_from_slice(&*PROCESS);
    id[at + PROCESS_ID] = b'-';
    RequestId::new(&id[at..]).unwrap_or_default()
}
