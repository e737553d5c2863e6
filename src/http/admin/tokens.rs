//! `/admin/v1/tokens`: what the ledger holds, and revocation of one token, a client's, or all.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use oauth2_actors::model::token::{latest_expiry, uuid_v7_ms};
use oauth2_actors::model::{Revocation, RevocationTarget, StoredToken};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    App, ClientId, Failure, NO_SUCH_CLIENT, Operator, State, answer, answer_page, bad_request, deadline, page_size,
    place, query,
};
use crate::http::refusals::{OfNames, OfOperators, OfQuestions};
use crate::http::resolve::Resolved;
use crate::oauth::cursor;
use crate::oauth::view::{ListView, TokenView, tokens_of};

/// The token that the path names.
#[derive(IntoParams)]
#[into_params(names("jti"), parameter_in = Path)]
pub struct Jti(
    /// Its id, a UUID of version 7.
    #[param(pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$")]
    Uuid,
);

impl FromRequest for Jti {
    type Error = Failure;
    type Future = std::future::Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let named = request
            .match_info()
            .get("jti")
            .and_then(|jti| Uuid::try_parse(jti).ok());
        let named = named.filter(|jti| jti.get_version_num() == 7);
        std::future::ready(
            named
                .map(Self)
                .ok_or_else(|| bad_request("a token id is a UUID of version 7")),
        )
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Query {
    /// Tokens of a page, 100 where nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists a client's recorded tokens, newest first.
#[utoipa::path(
    get, path = "/admin/v1/clients/{client_id}/tokens", operation_id = "listTokens", tag = "Tokens",
    params(ClientId, Query),
    responses((status = 200, description = "A page of tokens.", body = ListView<Shown>), OfOperators, OfQuestions, OfNames),
    security(("operator" = [])),
)]
pub async fn list(state: App, request: HttpRequest, ClientId(client_id): ClientId) -> Result<HttpResponse, Failure> {
    let Query { limit, cursor } = query(&request, "limit (a number) and cursor")?;
    let limit = page_size(limit)?;
    let now = state.now();
    let list = tokens_of(&client_id);
    let cursor = cursor.map(|cursor| place(&list, &cursor)).transpose()?;
    let cursor = cursor.and_then(|jti| Uuid::try_parse(&jti).ok());
    if state.directory.client(&client_id).is_none() {
        return Err(NO_SUCH_CLIENT);
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
#[utoipa::path(
    get, path = "/admin/v1/tokens/{jti}", operation_id = "getToken", tag = "Tokens",
    params(Jti),
    responses((status = 200, description = "The token.", body = Shown), OfOperators, OfQuestions, OfNames),
    security(("operator" = [])),
)]
pub async fn show(state: App, Jti(jti): Jti) -> Result<HttpResponse, Failure> {
    let found = state
        .tokens
        .call(deadline(), move |store| async move { store.token(jti, None).await })
        .await?;
    let token = found.ok_or(Failure::NoSuch("there is no record of this token"))?;
    Ok(answer(&view(&state, &token)))
}

/// A recorded token and whether it holds.
#[derive(Serialize, ToSchema)]
#[schema(as = RecordedToken)]
struct Shown<'a> {
    #[serde(flatten)]
    token: TokenView<'a>,
    /// It is in its time, its client may act, and nothing has revoked it.
    active: bool,
}

fn view<'a>(state: &State, token: &'a StoredToken) -> Shown<'a> {
    let resolved = Resolved::Recorded(Box::new(state.claims_of(token.clone())));
    Shown {
        token: TokenView::new(token),
        active: state.is_active(&resolved),
    }
}

/// A token that is revoked.
#[derive(Serialize, ToSchema)]
struct RevokedToken {
    /// Its id.
    revoked: Uuid,
}

/// What was cut off.
#[derive(Serialize, ToSchema)]
#[schema(as = CutOff)]
struct Cut {
    /// Tokens that were issued before this moment do not hold any more, Unix milliseconds.
    revoked_before_ms: u64,
}

/// Revokes one token by its id, recorded or not.
#[utoipa::path(
    post, path = "/admin/v1/tokens/{jti}/revoke", operation_id = "revokeTokenById", tag = "Tokens",
    params(Jti),
    responses((status = 200, description = "It does not hold any more.", body = RevokedToken), OfOperators, OfQuestions),
    security(("operator" = [])),
)]
pub async fn revoke(state: App, operator: Operator, Jti(jti): Jti) -> Result<HttpResponse, Failure> {
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
    Ok(answer(&RevokedToken { revoked: jti }))
}

/// Revokes every token that a client has now.
#[utoipa::path(
    post, path = "/admin/v1/clients/{client_id}/revoke-tokens", operation_id = "revokeTokensOfClient", tag = "Tokens",
    params(ClientId),
    responses((status = 200, description = "They do not hold any more.", body = Cut), OfOperators, OfNames),
    security(("operator" = [])),
)]
pub async fn revoke_of_client(
    state: App,
    operator: Operator,
    ClientId(client_id): ClientId,
) -> Result<HttpResponse, Failure> {
    if state.directory.client(&client_id).is_none() {
        return Err(NO_SUCH_CLIENT);
    }
    cut_off(&state, &operator, RevocationTarget::Client(client_id)).await
}

/// Revokes every token that this issuer has made so far.
#[utoipa::path(
    post, path = "/admin/v1/tokens/revoke-all", operation_id = "revokeAllTokens", tag = "Tokens",
    responses((status = 200, description = "None of them holds any more.", body = Cut), OfOperators),
    security(("operator" = [])),
)]
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
    Ok(answer(&Cut {
        revoked_before_ms: cutoff_ms,
    }))
}
