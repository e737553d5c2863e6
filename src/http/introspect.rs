//! `POST /oauth/introspect` (RFC 7662).
//!
//! A client may ask about its own tokens, and as a resource server about tokens for its audiences. Everything else, be it
//! foreign, expired, revoked or no token at all, is `{"active":false}`.

use std::time::Instant;

use actix_web::http::header;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use oauth2_actors::model::Client;
use serde::Serialize;
use uuid::Uuid;

use super::error::Failure;
use super::resolve::Resolved;
use super::{App, DEADLINE, State, authenticate, body};
use crate::oauth::form::Form;
use crate::tokens::claims::Claims;

/// What is said of a token that is not active, or not the caller's to ask about.
pub const INACTIVE: &[u8] = br#"{"active":false}"#;

/// The endpoint.
pub async fn post(state: App, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body = body::form(request.headers(), payload).await?;
    let deadline = Instant::now() + DEADLINE;
    let form = Form::parse(&body)?;
    let caller = authenticate::by_form(&state, &request, &form)?;
    let token = form.required("token", "token is missing")?;
    let mut answer = Vec::with_capacity(512);
    let resolved = state.resolve(token, deadline).await?;
    describe(&state, &caller, resolved, &mut answer);
    state.fresh(deadline)?;
    Ok(respond(answer))
}

/// The answer as JSON that nobody may keep.
pub fn respond(body: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::PRAGMA, "no-cache"))
        .body(body)
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

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names of RFC 7662")]
struct Active<'a> {
    active: bool,
    client_id: &'a str,
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
    scope: &'a str,
    token_type: &'a str,
}

fn write_active(claims: &Claims, out: &mut Vec<u8>) {
    let mut jti = Uuid::encode_buffer();
    let answer = Active {
        active: true,
        client_id: &claims.client_id,
        iss: &claims.iss,
        sub: &claims.sub,
        aud: &claims.aud,
        jti: claims.jti.hyphenated().encode_lower(&mut jti),
        iat: claims.iat,
        nbf: claims.iat,
        exp: claims.exp,
        scope: &claims.scope,
        token_type: "Bearer",
    };
    // Strings and integers into memory: there is nothing that could fail.
    let written = serde_json::to_writer(out, &answer);
    debug_assert!(written.is_ok());
}
