//! `POST /oauth/introspect/batch`: up to 1 000 tokens in one request, answered in order.
//!
//! The body is `{"tokens":["…"]}`, the response a JSON array of RFC 7662 responses. The caller authenticates by its header.

use std::borrow::Cow;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use oauth2_store::model::Endpoint;
use serde::Deserialize;
use utoipa::ToSchema;

use super::admission::Admission;
use super::introspect::{IntrospectionResponse, asker};
use crate::http::deadline;
use crate::http::error::Failure;
use crate::http::error_responses::ClientErrors;
use crate::http::extract::{json_body, json_object};
use crate::http::response::{append_limit_status, no_store};
use crate::protocol::error::OAuthError;
use crate::service::introspect::Introspect;

/// The most tokens of a request.
const MAX_TOKENS: usize = 1000;

/// The largest body, bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// Tokens to introspect.
#[derive(Deserialize, ToSchema)]
#[schema(as = IntrospectionBatch)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    /// Tokens of any format.
    #[serde(borrow)]
    #[schema(value_type = Vec<String>, max_items = 1000)]
    tokens: Vec<Cow<'a, str>>,
}

/// Introspects up to 1 000 tokens, in their order.
///
/// Each token counts as one introspection of the client's rate limit. If the issuer that this server replaces does not answer, the tokens
/// that it was asked about have the member `error`, and the others are answered.
#[utoipa::path(
    post, path = "/oauth/introspect/batch", operation_id = "introspectTokens", tag = "OAuth 2.0",
    request_body = Batch,
    responses((status = 200, description = "The state of each token.", body = [IntrospectionResponse]), ClientErrors),
    security(("client_secret_basic" = [])),
)]
pub async fn post(
    admission: Data<Admission>,
    introspect: Data<Introspect>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    // Authenticated by the header, so that a body of up to 1 MiB is not read for a stranger.
    let caller = admission.header(&request).await?;
    let body = json_body(request.headers(), payload, BODY_LIMIT).await?;
    let deadline = deadline();
    let batch: Batch<'_> = json_object(&body).map_err(|_| {
        OAuthError::invalid_request("the body must be a JSON object with an array of strings named tokens")
    })?;
    if batch.tokens.len() > MAX_TOKENS {
        return Err(Failure::TooLarge);
    }
    let limits = admission
        .rates
        .spend(&caller, Endpoint::Introspection, batch.tokens.len() as u32)
        .await?;
    let introspections = introspect
        .many(&caller, &batch.tokens, asker(&request), deadline)
        .await?;
    let mut text = Vec::with_capacity(2 + introspections.len() * 400);
    text.push(b'[');
    for (index, introspection) in introspections.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        IntrospectionResponse::new(introspection).write(&mut text);
    }
    text.push(b']');
    let mut response = no_store(text);
    append_limit_status(&limits, response.headers_mut());
    Ok(response)
}
