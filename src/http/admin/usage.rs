//! `/admin/v1/clients/{client_id}/usage` and `/admin/v1/clients:top`: what clients have used, and who does not keep its tokens.

use actix_web::{HttpRequest, HttpResponse};
use oauth2_actors::model::{Client, Mode, Quotas};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{App, ClientId, Failure, NO_SUCH_CLIENT, State, answer, page_size, query};
use crate::oauth::registration::quota_below;
use crate::oauth::view::QuotaView;

/// Shows what a client has used of its quotas, by all nodes' count as of a quarter of a second ago and this node's of now.
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
    let views: Vec<_> = levels.iter().map(view).collect();
    Ok(answer(&json!({
        "client_id": client_id, "quota_mode": mode, "quotas": views, "still_valid_tokens": state.counters.still_valid(&client_id, now),
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Top {
    limit: Option<usize>,
}

/// A client and how many of its tokens are still valid.
#[derive(Serialize)]
struct Holder {
    client_id: String,
    still_valid_tokens: u64,
}

/// Lists the clients with the most tokens that are still valid, as this node knows them.
pub async fn top(state: App, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let query: Top = query(&request, "limit (a number)")?;
    let limit = page_size(query.limit.or(Some(20)))?;
    let top = state.counters.top(limit, state.now()).into_iter();
    let items: Vec<_> = top
        .map(|(client_id, still_valid_tokens)| Holder {
            client_id: client_id.to_string(),
            still_valid_tokens,
        })
        .collect();
    Ok(answer(&json!({ "items": items, "next_cursor": null })))
}

/// Refuses a quota that is lower than what is used of it already: it would stop the client at once, which is what disabling it is
/// for.
pub fn check(state: &State, current: &Client, changed: &Client) -> Result<(), Failure> {
    let Some((quotas, Mode::Enforce)) = state.quotas_of(changed) else {
        return Ok(());
    };
    let before = state
        .quotas_of(current)
        .filter(|(_, mode)| *mode == Mode::Enforce)
        .map(|(quotas, _)| quotas);
    for level in state.counters.levels(&changed.client_id, state.now()) {
        let same = before.is_some_and(|before| level.window.of(&before) == level.window.of(&quotas));
        if let Some(why) = level
            .window
            .of(&quotas)
            .filter(|_| !same)
            .and_then(|quota| quota_below(level.window, quota, level.used))
        {
            return Err(Failure::BadRequest("invalid_client_metadata", why));
        }
    }
    Ok(())
}
