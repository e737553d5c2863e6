//! The span of a request: the caller's trace context (W3C Trace Context), and attributes by the semantic conventions for HTTP.
//!
//! No attribute is text that the caller wrote, but the request id, which has no characters of secrets: no path, query, header or body.

use actix_web::dev::ServiceRequest;
use actix_web::http::header::HeaderMap;
use actix_web::http::{Method, StatusCode, Version};
use oauth2_actors::runtime::request_id::RequestId;
use oauth2_actors::runtime::spans::{self, Span};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::endpoint::Endpoint;
use super::reason::ErrorReason;

/// Not traced: these are asked every few seconds, for ever.
const PROBES: [&str; 3] = ["/health", "/ready", "/metrics"];

/// Starts the span of a request, if the request is sampled.
pub fn start(request: &ServiceRequest, endpoint: &'static Endpoint, id: &RequestId) -> Option<Span> {
    if !spans::is_enabled() || PROBES.contains(&endpoint.path) {
        return None;
    }
    let method = known_method(request.method());
    let is_matched = endpoint.path.starts_with('/');
    let name = || match (is_matched, method) {
        (true, _) => format!("{} {}", endpoint.method, endpoint.path).into(),
        (false, "_OTHER") => "HTTP".into(),
        (false, method) => method.into(),
    };
    let attributes = || {
        let version = match request.version() {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        };
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("url.scheme", "http"),
            KeyValue::new("network.protocol.version", version),
            KeyValue::new("oauth2.request_id", id.as_str().to_owned()),
        ];
        if is_matched {
            attributes.push(KeyValue::new("http.route", endpoint.path));
        }
        attributes
    };
    spans::server(caller(request.headers()).as_ref(), name, attributes)
}

/// Records the response.
pub fn finish(span: &mut Span, status: StatusCode, reason: Option<ErrorReason>) {
    span.set("http.response.status_code", i64::from(status.as_u16()));
    match reason {
        // The fault of the caller: by the conventions, not a failure of a server's span.
        Some(ErrorReason::Rejected(reason)) => span.set("error.type", <&'static str>::from(reason)),
        Some(ErrorReason::Shed(reason)) => span.fail(reason.into()),
        None if status.is_server_error() => span.fail("internal"),
        None => {}
    }
}

/// The caller's span.
fn caller(headers: &HeaderMap) -> Option<SpanContext> {
    let mut parents = headers.get_all("traceparent");
    // Of two, neither can be trusted.
    let (Some(_), None) = (parents.next(), parents.next()) else {
        return None;
    };
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    let span = context.span();
    let caller = span.span_context();
    // Without the caller's `tracestate`: it is arbitrary text, and would be exported with every span.
    Some(SpanContext::new(
        caller.trace_id(),
        caller.span_id(),
        caller.trace_flags(),
        true,
        TraceState::NONE,
    ))
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(actix_web::http::header::HeaderName::as_str).collect()
    }
}

fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE",
    ];
    KNOWN
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("_OTHER")
}
