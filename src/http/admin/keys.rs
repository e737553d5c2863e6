//! `/admin/v1/keys`: the public side of the signing keys, rotation, and the end of a key.

use std::time::Duration;

use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use oauth2_actors::model::{KeyAlgorithm, KeyRevocation, Page};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{App, Failure, Operator, State, answer, answer_page, bad_request, deadline, read};
use crate::http::refusals::{OfBodies, OfChanges, OfNames, OfOperators};
use crate::oauth::view::{KeyView, ListView};
use crate::tokens::lifecycle::standings;

const NO_SUCH_KEY: Failure = Failure::NoSuch("there is no such key");

/// Lists the keys in the order in which they sign.
///
/// There are few: the list is one page.
#[utoipa::path(
    get, path = "/admin/v1/keys", operation_id = "listKeys", tag = "Keys",
    responses((status = 200, description = "The keys.", body = ListView<KeyView>), OfOperators),
    security(("operator" = [])),
)]
pub async fn list(state: App) -> Result<HttpResponse, Failure> {
    let keys = stored(&state).await?;
    let items = standings(&keys, state.now_ms() as i64, &state.timing);
    Ok(answer_page(&Page { items, next: None }, KeyView::new))
}

/// Which keys are to be followed by new ones.
#[derive(Deserialize, ToSchema)]
#[schema(as = KeyRotation)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// Those of one algorithm; without it, of each that has keys.
    #[schema(value_type = Option<KeyAlgorithm>)]
    algorithm: Option<String>,
}

/// Publishes a new key, for one algorithm or for each that has keys; it signs once no verifier can be without it.
#[utoipa::path(
    post, path = "/admin/v1/keys/rotate", operation_id = "rotateKeys", tag = "Keys",
    request_body = Rotation,
    responses((status = 200, description = "The new keys.", body = ListView<KeyView>), OfOperators, OfBodies, OfChanges),
    security(("operator" = [])),
)]
pub async fn rotate(
    state: App,
    operator: Operator,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let rotation: Rotation = read(&request, payload).await?;
    let known = stored(&state).await?;
    let asked = rotation.algorithm.as_deref().map(str::parse).transpose();
    let asked = asked.map_err(|why: String| bad_request(format!("algorithm {why}")))?;
    let mut made = Vec::new();
    for (algorithm, wait) in state.timing.rotation_of(asked, &known) {
        let key = state.make_key(algorithm, wait).await?;
        let audit = operator.audit(
            "key.rotate",
            json!({"algorithm": algorithm, "signs_from_ms": key.signs_from_ms}),
        );
        made.push((key, audit));
    }
    let kids: Vec<String> = made.iter().map(|(key, _)| key.kid.clone()).collect();
    state
        .tokens
        .change(deadline(), move |store| async move { store.add_keys(&made).await })
        .await?;
    let keys = stored(&state).await?;
    let standings = standings(&keys, state.now_ms() as i64, &state.timing);
    let items = standings
        .into_iter()
        .filter(|standing| kids.contains(&standing.key.kid))
        .collect();
    Ok(answer_page(&Page { items, next: None }, KeyView::new))
}

/// A key that is gone, with all that it signed.
#[derive(Serialize, ToSchema)]
struct RevokedKey {
    /// Its id.
    revoked: String,
}

/// Takes a key away at once, and with it every token that it has signed. Another one signs from now on.
#[utoipa::path(
    post, path = "/admin/v1/keys/{kid}/revoke", operation_id = "revokeKey", tag = "Keys",
    params(("kid" = String, Path, description = "Its id.")),
    responses((status = 200, description = "It is gone.", body = RevokedKey), OfOperators, OfNames, OfChanges),
    security(("operator" = [])),
)]
pub async fn revoke(state: App, operator: Operator, kid: Path<String>) -> Result<HttpResponse, Failure> {
    let kid = kid.into_inner();
    let known = stored(&state).await?;
    let key = known.iter().find(|key| key.kid == kid).ok_or(NO_SUCH_KEY)?;
    let replacement = state.make_key(key.algorithm, Duration::ZERO).await?;
    let audit = operator.audit("key.revoke", json!({"algorithm": key.algorithm}));
    let revocation = KeyRevocation {
        kid: kid.clone(),
        now_ms: state.now_ms(),
        replacement,
    };
    let found = state
        .tokens
        .change(deadline(), move |store| async move {
            store.revoke_key(&revocation, &audit).await
        })
        .await?;
    if !found {
        return Err(NO_SUCH_KEY);
    }
    state
        .instruments
        .token_revoked(&oauth2_actors::model::RevocationTarget::Key(kid.clone()));
    Ok(answer(&RevokedKey { revoked: kid }))
}

async fn stored(state: &State) -> Result<Vec<oauth2_actors::model::StoredKey>, Failure> {
    Ok(state
        .tokens
        .call(deadline(), |store| async move { store.keys().await })
        .await?)
}
