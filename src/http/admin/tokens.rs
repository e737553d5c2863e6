//! `/admin/v1/tokens`: what the ledger holds, and revocation of one token, a client's, or all.

use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use oauth2_actors::model::token::{latest_expiry, uuid_v7_ms};
use oauth2_actors::model::{Revocation, RevocationTarget, StoredToken};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{App, Failure, Operator, State, answer, answer_page, bad_request, deadline, page_size, place, query};
use crate::http::resolve::Resolved;
use crate::oauth::cursor;
use crate::oauth::view::{TokenView, tokens_of};

fn parse_jti(text: &str) -> Result<Uuid, Failure> {
    Uuid::try_parse(text)
        .ok()
        .filter(|jti| jti.get_version_num() == 7)
        .ok_or_else(|| bad_request("a token id is a UUID of version 7"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Lists a client's recorded tokens, newest first.
pub async fn list(state: App, request: HttpRequest, client_id: Path<String>) -> Result<HttpResponse, Failure> {
    let Query { limit, cursor } = query(&request, "limit (a number) and cursor")?;
    let limit = page_size(limit)?;
    let (client_id, now) = (client_id.into_inner(), state.now());
    let list = tokens_of(&client_id);
    let cursor = cursor.map(|cursor| place(&list, &cursor)).transpose()?;
    let cursor = cursor.and_then(|jti| Uuid::try_parse(&jti).ok());
    if state.directory.client(&client_id).is_none() {
        return Err(Failure::NoSuch("there is no such client"));
    }
    let mut page = state
        .tokens
        .call(deadline(), move |store| async move {
            store.list_tokens(&client_id, now, cursor, limit).await
        })
        .await?;
    page.next = page.next.map(|next| cursor::encode(&list, &next));
    Ok(answer_page(&page, |token| view(&state, token)))
}

/// Shows a recorded token.
pub async fn show(state: App, jti: Path<String>) -> Result<HttpResponse, Failure> {
    let jti = parse_jti(&jti)?;
    let found = state
        .tokens
        .call(deadline(), move |store| async move { store.token(jti, None).await })
        .await?;
    let token = found.ok_or(Failure::NoSuch("there is no record of this token"))?;
    Ok(answer(&view(&state, &token)))
}

/// A recorded token and whether it holds.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    token: TokenView<'a>,
    active: bool,
}

fn view<'a>(state: &State, token: &'a StoredToken) -> Shown<'a> {
    let resolved = Resolved::Recorded(Box::new(state.claims_of(token.clone())));
    Shown {
        token: TokenView::new(token),
        active: state.is_active(&resolved),
    }
}

/// Revokes one token by its id, recorded or not.
pub async fn revoke(state: App, operator: Operator, jti: Path<String>) -> Result<HttpResponse, Failure> {
    let jti = parse_jti(&jti)?;
    let found = state
        .tokens
        .call(deadline(), move |store| async move { store.token(jti, None).await })
        .await?;
    // Of a token that was not recorded only the id is known: it is remembered as long as any token may live.
    let expires_at = found.map_or_else(|| latest_expiry(&jti, state.now()), |token| token.record.expires_at);
    let audit = operator.audit("token.revoke", json!({}));
    let revocation = Revocation {
        target: RevocationTarget::Token { jti, expires_at },
        cutoff_ms: state.now_ms(),
    };
    state.revoke(revocation, audit, deadline()).await?;
    Ok(answer(&json!({"revoked": jti})))
}

/// Revokes every token that a client has now.
pub async fn revoke_of_client(
    state: App,
    operator: Operator,
    client_id: Path<String>,
) -> Result<HttpResponse, Failure> {
    let client_id = client_id.into_inner();
    if state.directory.client(&client_id).is_none() {
        return Err(Failure::NoSuch("there is no such client"));
    }
    cut_off(&state, &operator, RevocationTarget::Client(client_id)).await
}

/// Revokes every token that this issuer has made so far.
pub async fn revoke_all(state: App, operator: Operator) -> Result<HttpResponse, Failure> {
    cut_off(&state, &operator, RevocationTarget::Issuer).await
}

async fn cut_off(state: &State, operator: &Operator, target: RevocationTarget) -> Result<HttpResponse, Failure> {
    // The stamp of a fresh id: no earlier than any token minted here, even if the clock was set back.
    let now = state.ids.new_id()?;
    let cutoff_ms = uuid_v7_ms(&now);
    let audit = operator.audit("revocation.cutoff", json!({"cutoff_ms": cutoff_ms}));
    state
        .revoke(Revocation { target, cutoff_ms }, audit, deadline())
        .await?;
    Ok(answer(&json!({"revoked_before_ms": cutoff_ms})))
}
