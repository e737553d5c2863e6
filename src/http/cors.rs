//! Cross-origin requests of scripts (the CORS protocol of the Fetch standard).
//!
//! Published documents may be read by scripts of any origin, the token endpoint by those of configured origins. Scripts of other
//! origins read nothing else, in particular nothing of the management listener. Cookies are not used, so no response allows
//! credentials.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};

use super::endpoint::{Endpoint, Origins};

/// Request headers that scripts may set on token requests.
const TOKEN_HEADERS: &str = "authorization, content-type, x-request-id";

/// Response headers that scripts may read of the token endpoint.
const EXPOSED: &str = "RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id";

/// Seconds that a browser may remember the answer to a preflight request; browsers cap it at 600 to 86 400.
const MAX_AGE: &str = "600";

/// The origins that may request tokens.
#[derive(Debug, Clone, Default)]
pub struct Cors(Vec<HeaderValue>);

impl Cors {
    /// Scripts of exactly these origins may request tokens.
    pub fn new(origins: &[String]) -> Self {
        let values = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
        Self(values.collect())
    }

    /// Which origin may read a response of `endpoint` to a request with these headers.
    pub fn allowed_origin(&self, endpoint: &Endpoint, request: &HeaderMap) -> Option<HeaderValue> {
        match endpoint.origins {
            Origins::None => None,
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::Configured => {
                let origin = request.get(header::ORIGIN)?;
                self.0.iter().find(|allowed| *allowed == origin).cloned()
            }
        }
    }

    /// Appends what a script of `origin` needs to read a response of `endpoint`.
    pub fn append_headers(&self, endpoint: &Endpoint, origin: Option<HeaderValue>, headers: &mut HeaderMap) {
        let configured = endpoint.origins == Origins::Configured;
        if configured && !self.0.is_empty() {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            if configured {
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
            }
        }
    }

    /// Answers a preflight request for `endpoint`; `None` if this is none, or its origin is not allowed.
    pub fn preflight(&self, endpoint: &Endpoint, request: &HttpRequest) -> Option<HttpResponse> {
        let headers = request.headers();
        let is_preflight = *request.method() == Method::OPTIONS
            && headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight {
            return None;
        }
        let origin = self.allowed_origin(endpoint, headers)?;
        let mut response = HttpResponse::build(StatusCode::NO_CONTENT);
        let request_headers = if endpoint.origins == Origins::Configured {
            response.insert_header((header::VARY, "Origin"));
            TOKEN_HEADERS
        } else {
            "*"
        };
        response
            .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin))
            .insert_header((
                header::ACCESS_CONTROL_ALLOW_METHODS,
                endpoint.allowed_methods().join(", "),
            ))
            .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, request_headers))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE));
        Some(response.finish())
    }
}
