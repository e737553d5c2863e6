//! The one table from failures to statuses, headers and bodies.
//!
//! 4xx is the caller's, 429 the client's own limit, 503 is ours; both say when to ask again. No answer repeats anything of the request.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use oauth2_actors::error::{AskError, ServiceError, StoreError};
use oauth2_actors::runtime::clock::NoId;

use super::limits::{self, Refusal};
use super::refusals::ErrorBody;
use crate::oauth::error::{Code, Error};
use crate::tokens::MintError;

/// Why a request was not answered with what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Refused by the protocol's rules.
    OAuth(Error),
    /// The body is larger than the endpoint takes.
    TooLarge,
    /// The body did not arrive in time.
    SlowBody,
    /// No such URL.
    NotFound,
    /// Another method than the URL takes; the ones it does.
    MethodNotAllowed(&'static str),
    /// An administrative request without a valid bearer token (RFC 6750 section 3.1).
    Unauthorized,
    /// An administrative request with a token that lacks the scope.
    Forbidden,
    /// What an administrative request names is not there.
    NoSuch(&'static str),
    /// What an administrative request asks for collides with what is.
    Conflict(String),
    /// An administrative request that makes no sense: code and sentence.
    BadRequest(&'static str, String),
    /// The client's limit is reached: 429.
    Limited(Box<Refusal>),
    /// Ours, for now: the reason is for the metric only.
    Unavailable(&'static str),
    /// Ours, a defect.
    Internal(&'static str),
}

/// Every value of the label `reason` of refused requests.
pub const REASONS: &[&str] = &[
    "invalid_request",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "invalid_client_metadata",
    "too_large",
    "slow_body",
    "not_found",
    "method_not_allowed",
    "unauthorized",
    "forbidden",
    "conflict",
    "rate_limited",
    AUTH_FAILURES,
    "quota_exceeded",
];

/// The reason of a failed authentication too many.
pub const AUTH_FAILURES: &str = "auth_failures";

/// Every value of the label `reason` of requests that were turned away because of the server.
pub const SHED_REASONS: &[&str] = &[
    "full",
    "deadline",
    "crashed",
    "stopped",
    "store_unavailable",
    "store_timeout",
    "store_corrupt",
    "stale",
    "no_keys",
    "quota_unknown",
    "clock",
    "internal",
];

impl Failure {
    /// The label under which the failure is counted.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OAuth(error) => error.code.as_str(),
            Self::TooLarge => "too_large",
            Self::SlowBody => "slow_body",
            Self::NotFound | Self::NoSuch(_) => "not_found",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Conflict(_) => "conflict",
            Self::BadRequest(code, _) => code,
            Self::Limited(refusal) => refusal.reason,
            Self::Unavailable(reason) => reason,
            Self::Internal(_) => "internal",
        }
    }

    /// Status, `error` and `error_description`.
    fn parts(&self) -> (StatusCode, &str, &str) {
        match self {
            Self::OAuth(Error {
                code: Code::InvalidClient,
                description,
                ..
            }) => (StatusCode::UNAUTHORIZED, Code::InvalidClient.as_str(), description),
            Self::OAuth(error) => (StatusCode::BAD_REQUEST, error.code.as_str(), error.description),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "invalid_request",
                "the body is larger, or lists more, than this URL takes",
            ),
            Self::SlowBody => (
                StatusCode::REQUEST_TIMEOUT,
                "invalid_request",
                "the body did not arrive in time",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "there is nothing at this URL"),
            Self::MethodNotAllowed(_) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "invalid_request",
                "this URL takes another method",
            ),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "invalid_token",
                "a valid bearer token is needed",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "the token lacks the scope oauth2.admin",
            ),
            Self::NoSuch(what) => (StatusCode::NOT_FOUND, "not_found", what),
            Self::Conflict(why) => (StatusCode::CONFLICT, "conflict", why),
            Self::BadRequest(code, why) => (StatusCode::BAD_REQUEST, code, why),
            Self::Limited(refusal) => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests", refusal.description),
            Self::Unavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "ask again in a moment",
            ),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the server failed"),
        }
    }

    fn add_headers(&self, response: &mut HttpResponseBuilder) {
        match self {
            // However the credentials came: every 401 names a scheme (RFC 9110 section 15.5.2).
            Self::OAuth(Error {
                code: Code::InvalidClient,
                ..
            }) => {
                response.insert_header((header::WWW_AUTHENTICATE, r#"Basic realm="oauth2", charset="UTF-8""#));
            }
            Self::Unauthorized => {
                response.insert_header((
                    header::WWW_AUTHENTICATE,
                    r#"Bearer realm="oauth2", error="invalid_token""#,
                ));
            }
            Self::Forbidden => {
                response.insert_header((
                    header::WWW_AUTHENTICATE,
                    r#"Bearer realm="oauth2", error="insufficient_scope", scope="oauth2.admin""#,
                ));
            }
            Self::MethodNotAllowed(allowed) => {
                response.insert_header((header::ALLOW, *allowed));
            }
            Self::Unavailable(_) => {
                response.insert_header((header::RETRY_AFTER, "1"));
            }
            Self::Limited(refusal) => {
                let seconds = refusal.retry_after.as_millis().div_ceil(1000).max(1);
                response.insert_header((header::RETRY_AFTER, seconds.to_string()));
            }
            // The rest of the body is not worth reading.
            Self::TooLarge | Self::SlowBody => {
                response.force_close();
            }
            _ => {}
        }
    }
}

/// What the edge finds in a response to count it by.
#[derive(Debug, Clone, Copy)]
pub struct Refused(pub &'static str);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        self.parts().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, error, description) = self.parts();
        let mut response = HttpResponse::build(status);
        response
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::PRAGMA, "no-cache"));
        self.add_headers(&mut response);
        response.extensions_mut().insert(Refused(self.reason()));
        let mut response = response.json(ErrorBody {
            error,
            error_description: description,
        });
        if let Self::Limited(refusal) = self {
            limits::tell(&refusal.standings, response.headers_mut());
        }
        response
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::OAuth(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => {
                tracing::debug!(why, "store unavailable");
                Self::Unavailable("store_unavailable")
            }
            StoreError::Timeout => Self::Unavailable("store_timeout"),
            StoreError::Conflict(why) => Self::Conflict(why),
            StoreError::Corrupt(why) => {
                tracing::error!(why, "the store is unusable");
                Self::Unavailable("store_corrupt")
            }
        }
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Self::Unavailable(match error {
            AskError::Full => "full",
            AskError::Deadline => "deadline",
            AskError::Crashed => "crashed",
            AskError::Stopped => "stopped",
        })
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Ask(error) => error.into(),
            ServiceError::Store(error) => error.into(),
        }
    }
}

impl From<NoId> for Failure {
    fn from(error: NoId) -> Self {
        Self::Unavailable(match error {
            NoId::ClockBehind => "clock",
            NoId::Randomness(_) => "internal",
        })
    }
}

impl From<MintError> for Failure {
    fn from(error: MintError) -> Self {
        match error {
            MintError::NoKey(_) => Self::Unavailable("no_keys"),
            MintError::Crypto => Self::Internal("signing failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_declared() {
        let failures = [
            Failure::OAuth(Error::invalid_request("")),
            Failure::TooLarge,
            Failure::SlowBody,
            Failure::NotFound,
            Failure::MethodNotAllowed(""),
            Failure::Unauthorized,
            Failure::Forbidden,
            Failure::NoSuch(""),
            Failure::Conflict(String::new()),
        ];
        for failure in failures {
            assert!(REASONS.contains(&failure.reason()), "{failure:?}");
            assert!(failure.status_code().is_client_error());
        }
        for ask in [AskError::Full, AskError::Deadline, AskError::Crashed, AskError::Stopped] {
            assert!(SHED_REASONS.contains(&Failure::from(ask).reason()));
        }
        for store in [
            StoreError::Unavailable(String::new()),
            StoreError::Timeout,
            StoreError::Corrupt(String::new()),
        ] {
            let failure = Failure::from(store);
            assert!(SHED_REASONS.contains(&failure.reason()));
            assert_eq!(
                failure.error_response().headers().get(header::RETRY_AFTER).unwrap(),
                "1"
            );
        }
    }
}
