//! `POST /oauth/revoke` (RFC 7009).
//!
//! Only a token's own client revokes it. Whatever else is presented, be it foreign, expired, revoked before or no token at
//! all, is answered `200` and has no effect (section 2.2), if the view it was judged by is fresh. `200` for a token that was
//! active means: committed, and in force on this node.

use std::time::Instant;

use actix_web::http::header;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use oauth2_actors::model::{AuditEntry, Client, Endpoint, Revocation, RevocationTarget};
use serde_json::json;

use super::error::Failure;
use super::refusals::OfClients;
use super::resolve::Resolved;
use super::shapes::PresentedToken;
use super::{App, DEADLINE, State, authenticate, body, limits};
use crate::oauth::form::Form;

/// Revokes a token of the client's own.
///
/// Whatever else is presented has no effect, and is answered the same.
#[utoipa::path(
    post, path = "/oauth/revoke", operation_id = "revokeToken", tag = "OAuth 2.0",
    request_body(content = PresentedToken, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "It does not hold any more."), OfClients),
    security(("client_secret_basic" = []), ()),
)]
pub async fn post(state: App, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let body = body::form(request.headers(), payload).await?;
    let deadline = Instant::now() + DEADLINE;
    let form = Form::parse(&body)?;
    let client = authenticate::by_form(&state, &request, &form)?;
    let standings = state.spend(&client, Endpoint::Revocation, 1)?;
    let token = form.required("token", "token is missing")?;
    let resolved = state.resolve(token, deadline).await?;
    let own = resolved.filter(|token| token.claims().client_id == client.client_id && state.is_active(token));
    let own = match own {
        Some(token) if is_anothers(&state, &client, &token, deadline).await? => None,
        own => own,
    };
    if let Some(token) = own {
        let claims = token.claims();
        let target = RevocationTarget::Token {
            jti: claims.jti,
            expires_at: claims.exp,
        };
        let audit = AuditEntry {
            actor: format!("client:{}", client.client_id),
            action: "token.revoke",
            detail: json!({"client_id": &*claims.client_id}),
        };
        state
            .revoke(
                Revocation {
                    target,
                    cutoff_ms: state.now_ms(),
                },
                audit,
                deadline,
            )
            .await?;
    } else {
        // By an old view a token may seem to be revoked, or its key unknown, that is not.
        state.fresh(deadline)?;
    }
    let mut answer = HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish();
    limits::tell(&standings, answer.headers_mut());
    Ok(answer)
}

/// Whether the record of the token's id is another client's. Who shares a secret can make up a token with any id, and a revocation
/// is of an id.
async fn is_anothers(state: &State, client: &Client, token: &Resolved, deadline: Instant) -> Result<bool, Failure> {
    if !token.is_by_shared_secret() {
        return Ok(false);
    }
    let jti = token.claims().jti;
    let recorded = state
        .tokens
        .call(deadline, move |store| async move { store.token(jti, None).await })
        .await?;
    Ok(recorded.is_some_and(|token| token.record.client_id != client.client_id))
}
