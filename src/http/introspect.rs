//! `POST /oauth/introspect` (RFC 7662).
//!
//! A client may ask about its own tokens, and as a resource server about tokens for its audiences. Everything else, be it
//! foreign, expired, revoked or no token at all, is `{"active":false}`.

use std::time::Instant;

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use oauth2_actors::model::{Client, Endpoint};
use uuid::Uuid;

use super::answer::no_store;
use super::error::Failure;
use super::refusals::OfClients;
use super::resolve::Resolved;
use super::shapes::{Introspection, PresentedToken};
use super::{App, DEADLINE, State, authenticate, body, limits};
use crate::oauth::form::Form;
use crate::tokens::claims::Claims;
use crate::tokens::json::Object;

/// What is said of a token that is not active, or not the caller's to ask about.
pub const INACTIVE: &[u8] = br#"{"active":false}"#;

/// Tells what a token stands for.
///
/// A client may ask about its own tokens, and as a resource server about those for its audiences.
#[utoipa::path(
    post, path = "/oauth/introspect", operation_id = "introspectToken", tag = "OAuth 2.0",
    request_body(content = PresentedToken, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "What it stands for.", body = Introspection), OfClients),
    security(("client_secret_basic" = []), ()),
)]
pub async fn post(state: App, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body = body::form(request.headers(), payload).await?;
    let deadline = Instant::now() + DEADLINE;
    let form = Form::parse(&body)?;
    let caller = authenticate::by_form(&state, &request, &form)?;
    let standings = state.spend(&caller, Endpoint::Introspection, 1)?;
    let token = form.required("token", "token is missing")?;
    let mut answer = Vec::with_capacity(512);
    let resolved = state.resolve(token, deadline).await?;
    describe(&state, &caller, resolved, &mut answer);
    state.fresh(deadline)?;
    let mut answer = no_store(answer);
    limits::tell(&standings, answer.headers_mut());
    Ok(answer)
}

/// Appends what `caller` may know of a token. Whether the view that it was judged by is fresh is for the endpoint to ask,
/// afterwards.
pub fn describe(state: &State, caller: &Client, resolved: Option<Resolved>, out: &mut Vec<u8>) {
    let active = resolved.filter(|token| may_ask(caller, token.claims()) && state.is_active(token));
    state.instruments.introspection(active.is_some());
    match active {
        Some(token) => write_active(token.claims(), out),
        None => out.extend_from_slice(INACTIVE),
    }
}

fn may_ask(caller: &Client, claims: &Claims) -> bool {
    caller.client_id == claims.client_id || caller.resource_server.contains(&claims.aud)
}

fn write_active(claims: &Claims, out: &mut Vec<u8>) {
    Object::begin(out)
        .yes("active")
        .text("client_id", &claims.client_id)
        .text("iss", &claims.iss)
        .text("sub", &claims.sub)
        .text("aud", &claims.aud)
        .text("jti", claims.jti.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
        .number("iat", claims.iat)
        .number("nbf", claims.iat)
        .number("exp", claims.exp)
        .text("scope", &claims.scope)
        .text("token_type", "Bearer")
        .members(claims.extra.as_deref())
        .end();
}
