//! `POST /oauth/introspect/batch`: up to 1 000 tokens in one request, answered in order.
//!
//! The body is `{"tokens":["…"]}`, the answer a JSON array of RFC 7662 answers. The caller authenticates by its header. The
//! rows of all opaque tokens are read at once.

use std::borrow::Cow;
use std::time::Instant;

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use oauth2_actors::model::Endpoint;
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::no_store;
use super::error::Failure;
use super::refusals::OfClients;
use super::shapes::Introspection;
use super::{App, DEADLINE, authenticate, body, introspect, limits};
use crate::oauth::error::Error;

/// The most tokens a request may hold.
const MOST_TOKENS: usize = 1000;

/// After this many tokens other requests of the worker get their turn: a signature check takes up to 60 us.
const TURN: usize = 8;

/// Tokens to introspect at once.
#[derive(Deserialize, ToSchema)]
#[schema(as = IntrospectionBatch)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    /// Of any format.
    #[serde(borrow)]
    #[schema(value_type = Vec<String>, max_items = 1000)]
    tokens: Vec<Cow<'a, str>>,
}

/// Tells what up to 1 000 tokens stand for, in their order.
///
/// Each counts as one introspection of the client's rate.
#[utoipa::path(
    post, path = "/oauth/introspect/batch", operation_id = "introspectTokens", tag = "OAuth 2.0",
    request_body = Batch,
    responses((status = 200, description = "What each stands for.", body = [Introspection]), OfClients),
    security(("client_secret_basic" = [])),
)]
pub async fn post(state: App, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    // The header says who asks, so a stranger's body of up to 1 MiB is not waited for.
    let caller = authenticate::by_header(&state, &request)?;
    let body = body::json(request.headers(), payload, body::BATCH_LIMIT).await?;
    let deadline = Instant::now() + DEADLINE;
    let batch: Batch<'_> = body::object(&body)
        .map_err(|_| Error::invalid_request("the body must be a JSON object with an array of strings named tokens"))?;
    if batch.tokens.len() > MOST_TOKENS {
        return Err(Failure::TooLarge);
    }
    let standings = state.spend(&caller, Endpoint::Introspection, batch.tokens.len() as u32)?;
    let recorded = state.recorded(&batch.tokens, deadline).await?;
    let mut answer = Vec::with_capacity(2 + batch.tokens.len() * 400);
    answer.push(b'[');
    for (index, token) in batch.tokens.iter().enumerate() {
        if index > 0 {
            answer.push(b',');
        }
        if index % TURN == TURN - 1 {
            if Instant::now() > deadline {
                return Err(Failure::Unavailable("deadline"));
            }
            tokio::task::yield_now().await;
        }
        let resolved = state.resolve_among(token, &recorded);
        introspect::describe(&state, &caller, resolved, &mut answer);
    }
    answer.push(b']');
    state.fresh(deadline)?;
    let mut answer = no_store(answer);
    limits::tell(&standings, answer.headers_mut());
    Ok(answer)
}
