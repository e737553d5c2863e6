//! What every request goes through: its id, its count and duration, the headers every answer has, and what becomes of a
//! handler that panics.

use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use base64::Engine;
use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tracing::Instrument;

use super::State;
use super::error::{AUTH_FAILURES, Failure, Refused};
use super::routes;
use crate::tokens::BASE64URL;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Tells the requests of one process from those of another.
static PROCESS: LazyLock<[u8; PROCESS_ID]> = LazyLock::new(|| {
    let (mut bytes, mut id) = ([0; PROCESS_ID / 4 * 3], [b'-'; PROCESS_ID]);
    // Ids need not be secret: without randomness they are merely alike.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    let _ = BASE64URL.encode_slice(bytes, &mut id);
    id
});

/// Characters that tell one process from another.
const PROCESS_ID: usize = 8;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// How long the answer to one failed authentication too many is held back. Whoever fails on and on mostly does so as fast as it is
/// answered, on some number of connections: so it takes next to nothing of what others need.
const HOLD: Duration = Duration::from_millis(150);

/// Answers that are held back at a time, of a few KiB each. Beyond them there is no waiting.
const MOST_HELD: usize = 10_000;

static HELD: Semaphore = Semaphore::const_new(MOST_HELD);

/// The middleware.
pub async fn edge(
    state: web::Data<State>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    // The path as it is matched: percent-encoding aside.
    let path = state.metadata.counted_as(request.match_info().unprocessed());
    let endpoint = routes::endpoint(request.method(), path);
    let id = request_id(request.headers());
    let span = tracing::debug_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        endpoint = routes::ENDPOINTS[endpoint].1
    );

    let answered = AssertUnwindSafe(next.call(request))
        .catch_unwind()
        .instrument(span)
        .await;
    let Ok(answered) = answered else {
        state.instruments.shed(endpoint, "internal");
        state.instruments.record_http(endpoint, 5, started.elapsed());
        tracing::error!(
            id = id.to_str().unwrap_or_default(),
            endpoint = routes::ENDPOINTS[endpoint].1,
            "a handler panicked"
        );
        return Err(Failure::Internal("panic").into());
    };
    let mut response = answered?;

    let status = response.status();
    let mut refused = None;
    if !status.is_success() {
        refused = response.response().extensions().get::<Refused>().copied();
        if let Some(Refused(reason)) = refused {
            if status.is_server_error() {
                state.instruments.shed(endpoint, reason);
                // Not louder: there may be many of them, the metric counts them, and what causes them is logged once.
                tracing::debug!(
                    id = id.to_str().unwrap_or_default(),
                    endpoint = routes::ENDPOINTS[endpoint].1,
                    reason,
                    "turned away"
                );
            } else {
                state.instruments.reject(endpoint, reason);
            }
        }
    }
    let elapsed = started.elapsed();
    tracing::debug!(
        id = id.to_str().unwrap_or_default(),
        endpoint = routes::ENDPOINTS[endpoint].1,
        status = status.as_u16(),
        us = elapsed.as_micros() as u64,
        "answered"
    );
    state
        .instruments
        .record_http(endpoint, usize::from(status.as_u16() / 100), elapsed);
    add_headers(response.headers_mut(), id);
    if matches!(refused, Some(Refused(AUTH_FAILURES))) {
        hold().await;
    }
    Ok(response)
}

async fn hold() {
    if let Ok(_held) = HELD.try_acquire() {
        tokio::time::sleep(HOLD).await;
    }
}

/// The caller's own id for the request if it is harmless, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let harmless = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=64).contains(&bytes.len()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    headers
        .get(&REQUEST_ID)
        .filter(harmless)
        .cloned()
        .unwrap_or_else(new_id)
}

/// `<process>-<count in base 32>`, written without the formatter, since every request has one.
fn new_id() -> HeaderValue {
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
    HeaderValue::from_bytes(&id[at..]).unwrap_or(HeaderValue::from_static("-"))
}

fn add_headers(headers: &mut HeaderMap, id: HeaderValue) {
    headers.insert(REQUEST_ID.clone(), id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
