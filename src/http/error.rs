//! The one table from errors to statuses, headers and bodies.
//!
//! 4xx is the caller's fault, 429 the client's limit, 503 ours; 429 and 503 say when to retry. What the table describes is rendered
//! as JSON, for the OAuth endpoints (RFC 6749 section 5.2) and the admin API alike.

use std::borrow::Cow;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use oauth2_actors::error::AskError;
use oauth2_actors::runtime::clock::IdError;
use oauth2_store::StoreError;

use super::error_responses::ErrorBody;
use super::reason::{ErrorReason, RejectReason, ShedReason};
use super::response::append_limit_status;
use crate::protocol::error::{ErrorCode, OAuthError};
use crate::service::error::{Limit, ServiceError, seconds};

/// Why a request did not get what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A service rejected or failed it.
    Service(ServiceError),
    /// The body is larger than the URL takes.
    TooLarge,
    /// The body did not arrive in time.
    SlowBody,
    /// There is nothing at the URL.
    NoSuchUrl,
    /// There is nothing at the URL, but there is at the same path without a slash at its end: this endpoint.
    SlashAtEnd(&'static str),
    /// The management listener does not answer for the host of the request.
    UnknownHost,
    /// The management listener asks for a client certificate, and the connection has none.
    NoClientCertificate,
    /// The URL takes other methods: these.
    MethodNotAllowed(String),
    /// A handler panicked.
    Panicked,
}

/// The reason of an error response, for the middleware that counts it.
#[derive(Debug, Clone, Copy)]
pub struct Reason(pub ErrorReason);

/// A row of the table.
struct Row<'a> {
    status: StatusCode,
    /// `error`.
    error: &'a str,
    /// `error_description`.
    description: Cow<'a, str>,
    reason: ErrorReason,
}

impl<'a> Row<'a> {
    fn rejected(
        status: StatusCode,
        error: &'a str,
        reason: RejectReason,
        description: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self {
            status,
            error,
            description: description.into(),
            reason: ErrorReason::Rejected(reason),
        }
    }

    fn unavailable(reason: ShedReason) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error: "temporarily_unavailable",
            description: "the server cannot answer now; retry".into(),
            reason: ErrorReason::Shed(reason),
        }
    }

    fn internal() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error: "server_error",
            description: "internal server error".into(),
            reason: ErrorReason::Shed(ShedReason::Internal),
        }
    }
}

impl Failure {
    fn row(&self) -> Row<'_> {
        use RejectReason as R;
        use StatusCode as S;
        match self {
            Self::Service(error) => service_row(error),
            Self::TooLarge => Row::rejected(
                S::PAYLOAD_TOO_LARGE,
                "invalid_request",
                R::TooLarge,
                "the body exceeds the size or item limit of this URL",
            ),
            Self::SlowBody => Row::rejected(
                S::REQUEST_TIMEOUT,
                "invalid_request",
                R::SlowBody,
                "the body did not arrive in time",
            ),
            Self::NoSuchUrl => Row::rejected(S::NOT_FOUND, "not_found", R::NotFound, "there is nothing at this URL"),
            Self::SlashAtEnd(path) => Row::rejected(
                S::NOT_FOUND,
                "not_found",
                R::NotFound,
                format!("there is nothing at this URL; without the slash at its end it is {path}"),
            ),
            Self::UnknownHost => Row::rejected(
                S::MISDIRECTED_REQUEST,
                "invalid_request",
                R::UnknownHost,
                "the host of this request is not one of this listener; use its address, or add the name to \
                 OAUTH2_MANAGEMENT_HOSTS",
            ),
            Self::NoClientCertificate => Row::rejected(
                S::FORBIDDEN,
                "access_denied",
                R::NoClientCertificate,
                "this listener needs a client certificate of an authority in OAUTH2_MANAGEMENT_TLS_CLIENT_CA_FILE",
            ),
            Self::MethodNotAllowed(_) => Row::rejected(
                S::METHOD_NOT_ALLOWED,
                "invalid_request",
                R::MethodNotAllowed,
                "this URL takes other methods; see the Allow header",
            ),
            Self::Panicked => Row::internal(),
        }
    }

    /// The error code of the response.
    pub fn code(&self) -> &str {
        self.row().error
    }

    fn append_headers(&self, response: &mut HttpResponseBuilder) {
        match self {
            // Every 401 names a scheme, however the credentials came (RFC 9110 section 15.5.2).
            Self::Service(ServiceError::OAuth(OAuthError {
                code: ErrorCode::InvalidClient,
                ..
            })) => {
                response.insert_header((header::WWW_AUTHENTICATE, r#"Basic realm="oauth2", charset="UTF-8""#));
            }
            Self::Service(ServiceError::InvalidToken) => {
                let challenge = r#"Bearer realm="oauth2", error="invalid_token""#;
                response.insert_header((header::WWW_AUTHENTICATE, challenge));
            }
            Self::Service(ServiceError::InsufficientScope) => {
                let challenge = r#"Bearer realm="oauth2", error="insufficient_scope", scope="oauth2.admin""#;
                response.insert_header((header::WWW_AUTHENTICATE, challenge));
            }
            Self::Service(ServiceError::LimitExceeded(exceeded)) => {
                response.insert_header((header::RETRY_AFTER, seconds(exceeded.retry_after).to_string()));
            }
            Self::MethodNotAllowed(allowed) => {
                response.insert_header((header::ALLOW, allowed.as_str()));
            }
            // The rest of the body is not worth reading.
            Self::TooLarge | Self::SlowBody => {
                response.force_close();
            }
            _ => {}
        }
    }
}

fn service_row(error: &ServiceError) -> Row<'_> {
    use RejectReason as R;
    use StatusCode as S;
    match error {
        ServiceError::OAuth(error) => {
            let status = match error.code {
                ErrorCode::InvalidClient => S::UNAUTHORIZED,
                _ => S::BAD_REQUEST,
            };
            Row::rejected(status, error.code.as_str(), error.code.into(), error.description)
        }
        ServiceError::InvalidToken => {
            Row::rejected(S::UNAUTHORIZED, "invalid_token", R::Unauthorized, error.to_string())
        }
        ServiceError::InsufficientScope => {
            Row::rejected(S::FORBIDDEN, "insufficient_scope", R::Forbidden, error.to_string())
        }
        ServiceError::InvalidMetadata(_) => Row::rejected(
            S::BAD_REQUEST,
            "invalid_client_metadata",
            R::InvalidClientMetadata,
            error.to_string(),
        ),
        ServiceError::InvalidParameter { .. } | ServiceError::InvalidRequest(_) => {
            Row::rejected(S::BAD_REQUEST, "invalid_request", R::InvalidRequest, error.to_string())
        }
        ServiceError::NotFound(_) => Row::rejected(S::NOT_FOUND, "not_found", R::NotFound, error.to_string()),
        ServiceError::Conflict(_) => Row::rejected(S::CONFLICT, "conflict", R::Conflict, error.to_string()),
        ServiceError::PreconditionFailed(_) => Row::rejected(
            S::PRECONDITION_FAILED,
            "precondition_failed",
            R::Conflict,
            error.to_string(),
        ),
        ServiceError::LimitExceeded(exceeded) => {
            let reason = match exceeded.limit {
                Limit::Rate => R::RateLimited,
                Limit::Quota => R::QuotaExceeded,
                Limit::GroupRate => R::GroupRateLimited,
                Limit::GroupQuota => R::GroupQuotaExceeded,
                Limit::AuthFailures => R::AuthFailures,
            };
            Row::rejected(S::TOO_MANY_REQUESTS, "too_many_requests", reason, error.to_string())
        }
        ServiceError::Store(error) => match store_reason(error) {
            Some(reason) => Row::unavailable(reason),
            None => Row::internal(),
        },
        ServiceError::Ask(error) => Row::unavailable(ask_reason(*error)),
        ServiceError::Stale => Row::unavailable(ShedReason::Stale),
        ServiceError::FallbackUnavailable => Row::unavailable(ShedReason::FallbackUnavailable),
        ServiceError::NoSigningKey(_) => Row::unavailable(ShedReason::NoKeys),
        ServiceError::QuotaUnknown => Row::unavailable(ShedReason::QuotaUnknown),
        ServiceError::Id(IdError::Randomness(_)) | ServiceError::Randomness(_) => {
            Row::unavailable(ShedReason::Internal)
        }
        ServiceError::Key(_) | ServiceError::File(_) | ServiceError::Internal(_) => Row::internal(),
    }
}

fn store_reason(error: &StoreError) -> Option<ShedReason> {
    match error {
        StoreError::Unavailable(_) => Some(ShedReason::StoreUnavailable),
        StoreError::Timeout => Some(ShedReason::StoreTimeout),
        StoreError::NotWritable(_) | StoreError::Denied(_) => Some(ShedReason::StoreNotWritable),
        StoreError::Corrupt(_) => Some(ShedReason::StoreCorrupt),
        // Services turn these into errors of their own.
        StoreError::Conflict(_) | StoreError::InvalidValue(_) => None,
    }
}

fn ask_reason(error: AskError) -> ShedReason {
    match error {
        AskError::Full => ShedReason::Full,
        AskError::Deadline => ShedReason::Deadline,
        AskError::Crashed => ShedReason::Crashed,
        AskError::Stopped => ShedReason::Stopped,
    }
}

/// Logs an internal failure for the operator; the response has no details.
fn log(error: &ServiceError) {
    match error {
        ServiceError::Store(StoreError::Corrupt(why)) => tracing::error!(why, "the store is unusable"),
        ServiceError::Store(error) => tracing::debug!(%error, "the store failed"),
        ServiceError::Key(_) | ServiceError::File(_) | ServiceError::Internal(_) => {
            tracing::error!(%error, "a request failed");
        }
        _ => {}
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.row().description)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        self.row().status
    }

    fn error_response(&self) -> HttpResponse {
        let row = self.row();
        let mut response = HttpResponse::build(row.status);
        response
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::PRAGMA, "no-cache"));
        if row.status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, "1"));
        }
        self.append_headers(&mut response);
        response.extensions_mut().insert(Reason(row.reason));
        let mut response = response.json(ErrorBody {
            error: row.error,
            error_description: &row.description,
        });
        if let Self::Service(ServiceError::LimitExceeded(exceeded)) = self {
            append_limit_status(&exceeded.status, response.headers_mut());
        }
        response
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        log(&error);
        Self::Service(error)
    }
}

impl From<OAuthError> for Failure {
    fn from(error: OAuthError) -> Self {
        Self::Service(error.into())
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Self::Service(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_503_says_when_to_retry() {
        let asks = [AskError::Full, AskError::Deadline, AskError::Crashed, AskError::Stopped].map(ServiceError::from);
        let stores = [
            StoreError::Unavailable(String::new()),
            StoreError::Timeout,
            StoreError::NotWritable(String::new()),
            StoreError::Denied(String::new()),
            StoreError::Corrupt(String::new()),
        ]
        .map(ServiceError::from);
        let others = [
            ServiceError::Stale,
            ServiceError::FallbackUnavailable,
            ServiceError::NoSigningKey("ES256"),
            ServiceError::QuotaUnknown,
        ];
        for error in asks.into_iter().chain(stores).chain(others) {
            let response = Failure::from(error.clone()).error_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{error:?}");
            assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), "1", "{error:?}");
        }
    }

    #[test]
    fn a_4xx_is_rejected_and_a_5xx_is_shed() {
        let failures = [
            Failure::TooLarge,
            Failure::SlowBody,
            Failure::NoSuchUrl,
            Failure::SlashAtEnd("/health"),
            Failure::UnknownHost,
            Failure::NoClientCertificate,
            Failure::MethodNotAllowed(String::new()),
            Failure::Panicked,
            OAuthError::INVALID_CLIENT.into(),
            ServiceError::InvalidToken.into(),
            ServiceError::Conflict(String::new()).into(),
            ServiceError::Internal("x").into(),
        ];
        for failure in failures {
            let row = failure.row();
            let rejected = matches!(row.reason, ErrorReason::Rejected(_));
            assert_eq!(row.status.is_client_error(), rejected, "{failure:?}");
        }
    }
}
