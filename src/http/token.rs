//! `POST /oauth/token` (RFC 6749 section 3.2).
//!
//! The token is fixed, then queued to be recorded, and signed while the commit is in flight. The answer waits for the commit.

use std::time::Instant;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use oauth2_actors::error::StoreError;
use oauth2_actors::model::{Endpoint, Ledger, TokenFormat, TokenRecord};
use oauth2_actors::recorder::{Record, Recorder};
use oauth2_actors::runtime::mailbox::{Mailbox, Pending};

use super::answer::no_store;
use super::error::Failure;
use super::refusals::OfClients;
use super::shapes::{TokenAnswer, TokenRequest};
use super::{App, DEADLINE, State, authenticate, body, limits, reuse};
use crate::oauth::error::{Code, Error};
use crate::oauth::form::Form;
use crate::oauth::grants::{Grant, client_credentials};
use crate::tokens::json::Object;
use crate::tokens::{opaque, secret};

/// Issues an access token.
///
/// It is recorded before it is answered, unless the client's `token_ledger` is `stateless`.
#[utoipa::path(
    post, path = "/oauth/token", operation_id = "issueToken", tag = "OAuth 2.0",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The token.", body = TokenAnswer), OfClients),
    security(("client_secret_basic" = []), ()),
)]
pub async fn post(
    state: App,
    recorder: Data<Mailbox<Recorder>>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let body = body::form(request.headers(), payload).await?;
    let deadline = Instant::now() + DEADLINE;
    let form = Form::parse(&body)?;
    let client = authenticate::by_form(&state, &request, &form)?;
    let mut standings = state.spend(&client, Endpoint::Token, 1)?;
    let grant_type = form.required("grant_type", "grant_type is missing")?;
    if grant_type != "client_credentials" {
        return Err(Error::new(Code::UnsupportedGrantType, "this server has no such grant").into());
    }
    let jti = state.ids.new_id()?;
    let grant = client_credentials::decide(&client, &form, &state.defaults, jti)?;
    let reuse = reuse::asked(&state, &client, &grant);
    if let Some((token, lifetime)) = reuse.as_ref().and_then(|asked| asked.find(&state)) {
        state.fresh(deadline)?;
        state.instruments.token_reused();
        let mut answer = answer(&token, &Grant { lifetime, ..grant });
        limits::tell(&standings, answer.headers_mut());
        return Ok(answer);
    }
    let reserved = state.reserve(&client, &mut standings)?;
    let token = mint(&state, &recorder, &grant, deadline).await?;
    state.fresh(deadline)?;
    if let Some(reserved) = reserved {
        reserved.keep();
    }
    state.instruments.token_issued(grant.format);
    state
        .counters
        .issued(&client.client_id, grant.claims.exp, grant.claims.iat);
    if let Some(asked) = reuse {
        asked.keep(&state, &token, &grant);
    }
    let mut answer = answer(&token, &grant);
    limits::tell(&standings, answer.headers_mut());
    Ok(answer)
}

/// Signs the token and, where it is recorded, has the record committed.
async fn mint(
    state: &State,
    recorder: &Mailbox<Recorder>,
    grant: &Grant,
    deadline: Instant,
) -> Result<String, Failure> {
    if grant.format == TokenFormat::Opaque {
        let secret = secret::random_bytes().map_err(|_| Failure::Unavailable("internal"))?;
        let pending = recorder.ask(Record(record(grant, Some(secret::hash(secret)))), deadline)?;
        recorded(pending).await?;
        return Ok(opaque::format(grant.claims.jti, grant.claims.exp, &secret));
    }
    let pending = match grant.ledger {
        Ledger::Durable => Some(recorder.ask(Record(record(grant, None)), deadline)?),
        Ledger::Stateless => None,
    };
    let token = state.sign(grant, deadline).await?;
    state.issued.insert(&state.fingerprints.of(&token));
    if let Some(pending) = pending {
        recorded(pending).await?;
    }
    Ok(token)
}

/// Waits for the commit. That the store refuses a row is no fault of the client's.
pub async fn recorded(pending: Pending<Result<(), StoreError>>) -> Result<(), Failure> {
    match pending.await? {
        Err(StoreError::Conflict(why)) => Err(StoreError::Corrupt(why).into()),
        outcome => Ok(outcome?),
    }
}

/// The row of a token.
pub fn record(grant: &Grant, secret_hash: Option<[u8; 32]>) -> TokenRecord {
    let claims = &grant.claims;
    TokenRecord {
        jti: claims.jti,
        expires_at: claims.exp,
        client_id: claims.client_id.clone(),
        scope: claims.scope.clone(),
        audience: claims.aud.clone(),
        format: grant.format,
        secret_hash,
    }
}

/// RFC 6749 section 5.1.
fn answer(token: &str, grant: &Grant) -> HttpResponse {
    let scope = &*grant.claims.scope;
    let mut body = Vec::with_capacity(token.len() + scope.len() + 96);
    let answer = Object::begin(&mut body)
        .plain("access_token", token)
        .plain("token_type", "Bearer")
        .number("expires_in", grant.lifetime.into());
    let answer = if scope.is_empty() {
        answer
    } else {
        answer.text("scope", scope)
    };
    answer.end();
    no_store(body)
}
