//! `/admin/v1/clients/{client_id}/usage` and `/admin/v1/clients:top`: what clients have used, and who does not keep its tokens.

use actix_web::{HttpRequest, HttpResponse};
use oauth2_actors::model::{Client, Mode, Quotas};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, ClientId, Failure, NO_SUCH_CLIENT, State, answer, page_size, query};
use crate::http::refusals::{OfNames, OfOperators, OfQuestions};
use crate::oauth::registration::quota_below;
use crate::oauth::view::{ListView, QuotaView};

/// What a client has used.
#[derive(Serialize, ToSchema)]
#[schema(as = Usage)]
struct UsageView {
    /// The client.
    client_id: String,
    /// Whether its quotas refuse or are only counted.
    quota_mode: Mode,
    /// Each window of its quotas.
    quotas: Vec<QuotaView>,
    /// How many of its tokens have not expired.
    still_valid_tokens: u64,
}

/// Shows what a client has used of its quotas, by all nodes' count as of a quarter of a second ago and this node's of now.
#[utoipa::path(
    get, path = "/admin/v1/clients/{client_id}/usage", operation_id = "getClientUsage", tag = "Clients",
    params(ClientId),
    responses((status = 200, description = "What it has used.", body = UsageView), OfOperators, OfNames),
    security(("operator" = [])),
)]
pub async fn show(state: App, ClientId(client_id): ClientId) -> Result<HttpResponse, Failure> {
    let client = state.directory.client(&client_id).ok_or(NO_SUCH_CLIENT)?;
    let now = state.now();
    let (quotas, mode) = state
        .quotas_of(&client)
        .unwrap_or((Quotas::default(), state.quota_rules.mode));
    let levels = state.counters.levels(&client_id, now);
    let view = |level: &oauth2_actors::quota_keeper::Level| {
        QuotaView::new(level.window, level.window.of(&quotas), level.used, level.ends_at)
    };
    Ok(answer(&UsageView {
        quota_mode: mode,
        quotas: levels.iter().map(view).collect(),
        still_valid_tokens: state.counters.still_valid(&client_id, now),
        client_id,
    }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Top {
    /// How many, 20 where nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A client and how many of its tokens are still valid.
#[derive(Serialize, ToSchema)]
struct Holder {
    /// The client.
    client_id: String,
    /// How many of its tokens have not expired.
    still_valid_tokens: u64,
}

/// Lists the clients with the most tokens that are still valid, as this node knows them.
#[utoipa::path(
    get, path = "/admin/v1/clients:top", operation_id = "topClients", tag = "Clients",
    params(Top),
    responses((status = 200, description = "The clients, the one with the most first.", body = ListView<Holder>), OfOperators, OfQuestions),
    security(("operator" = [])),
)]
pub async fn top(state: App, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let query: Top = query(&request, "limit (a number)")?;
    let limit = page_size(query.limit.or(Some(20)))?;
    let top = state.counters.top(limit, state.now()).into_iter();
    let items = top
        .map(|(client_id, still_valid_tokens)| Holder {
            client_id: client_id.to_string(),
            still_valid_tokens,
        })
        .collect();
    Ok(answer(&ListView {
        items,
        next_cursor: None,
    }))
}

/// Refuses a quota that is lower than what is used of it already.
pub fn check(state: &State, current: &Client, changed: &Client) -> Result<(), Failure> {
    match below(state, current, changed) {
        None => Ok(()),
        Some(why) => Err(Failure::BadRequest("invalid_client_metadata", why)),
    }
}

/// Which quota is lower than what is used of it already.
pub fn below(state: &State, current: &Client, changed: &Client) -> Option<String> {
    let enforced = |client| state.quotas_of(client).filter(|(_, mode)| *mode == Mode::Enforce);
    let (quotas, _) = enforced(changed)?;
    let before = enforced(current).map(|(quotas, _)| quotas);
    let levels = state.counters.levels(&changed.client_id, state.now());
    quota_below(
        before.as_ref(),
        &quotas,
        levels.iter().map(|level| (level.window, level.used)),
    )
}
