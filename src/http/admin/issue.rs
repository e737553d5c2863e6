//! `POST /admin/v1/tokens`: tokens for provisioning, up to a thousand a request.
//!
//! They are recorded as those of the token endpoint are, in the recorder's groups. All of them are handed out, or none: when
//! one cannot be recorded, those that were have rows that stand for nothing.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use oauth2_actors::model::{Ledger, TokenFormat};
use oauth2_actors::recorder::{Record, Recorders};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::form_urlencoded;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{App, Failure, NO_SUCH_CLIENT, Operator, answer, bad_request, deadline, read};
use crate::http::refusals::{OfBodies, OfNames, OfOperators};
use crate::http::token::{record, recorded};
use crate::oauth::form::Form;
use crate::oauth::grants::client_credentials;
use crate::tokens::{opaque, secret};

/// The most tokens of a request.
const MOST: u32 = 1000;

/// After this many signatures other requests of the worker get their turn.
const TURN: usize = 8;

/// Tokens to issue.
#[derive(Deserialize, ToSchema)]
#[schema(as = TokenOrder)]
#[serde(deny_unknown_fields)]
struct Issue {
    /// For whom.
    client_id: String,
    /// How many.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1000)]
    count: u32,
    /// Scopes separated by spaces; without it all that the client may have.
    scope: Option<String>,
    /// Whom they are for; without it the client's first audience, or the issuer.
    audience: Option<String>,
}

fn one() -> u32 {
    1
}

/// A token that was issued.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedToken)]
struct Issued {
    /// The token.
    access_token: String,
    /// Its id.
    jti: Uuid,
    /// When it expires, Unix seconds.
    expires_at: i64,
}

/// Tokens that were issued.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedTokens)]
struct Batch {
    /// As many as were asked for.
    tokens: Vec<Issued>,
}

/// Issues tokens for a client, in its name.
///
/// They count as used of its quotas, which refuse none of them; its rate limit they do not touch.
#[utoipa::path(
    post, path = "/admin/v1/tokens", operation_id = "issueTokens", tag = "Tokens",
    request_body = Issue,
    responses((status = 200, description = "The tokens.", body = Batch), OfOperators, OfNames, OfBodies),
    security(("operator" = [])),
)]
pub async fn post(
    state: App,
    operator: Operator,
    recorders: Data<Recorders>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let asked: Issue = read(&request, payload).await?;
    if !(1..=MOST).contains(&asked.count) {
        return Err(bad_request(format!("count must be from 1 to {MOST}")));
    }
    let deadline = deadline();
    let client = state
        .directory
        .client(&asked.client_id)
        .filter(|client| !client.disabled)
        .ok_or(NO_SUCH_CLIENT)?;
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(asked.scope.iter().map(|scope| ("scope", scope)));
    form.extend_pairs(asked.audience.iter().map(|audience| ("audience", audience)));
    let form = form.finish();
    let form = Form::parse(form.as_bytes())?;
    let recorder = recorders.mailboxes().next().ok_or(Failure::Unavailable("stopped"))?;

    let (mut issued, mut records) = (Vec::new(), Vec::new());
    for turn in 0..asked.count as usize {
        if turn % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
        let grant = client_credentials::decide(&client, &form, &state.defaults, state.ids.new_id()?)?;
        let claims = &grant.claims;
        let (token, secret_hash) = if grant.format == TokenFormat::Opaque {
            let secret = secret::random_bytes().map_err(|_| Failure::Unavailable("internal"))?;
            (
                opaque::format(claims.jti, claims.exp, &secret),
                Some(secret::hash(secret)),
            )
        } else {
            (state.sign(&grant, deadline).await?, None)
        };
        if grant.ledger == Ledger::Durable {
            records.push(record(&grant, secret_hash));
        }
        issued.push((
            grant.format,
            Issued {
                access_token: token,
                jti: claims.jti,
                expires_at: claims.exp,
            },
        ));
    }
    let audit = operator.audit(
        "token.issue",
        json!({"client_id": asked.client_id, "count": asked.count}),
    );
    let (target, now) = (asked.client_id, state.now());
    // Told before they are: whenever this ends, no token is without its row.
    state
        .tokens
        .call(deadline, move |store| async move {
            store.note(&audit, "client", &target, now).await
        })
        .await?;
    let mut pending = Vec::new();
    for (turn, record) in records.into_iter().enumerate() {
        if turn % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
        pending.push(recorder.ask(Record(record), deadline)?);
    }
    for record in pending {
        recorded(record).await?;
    }
    state.fresh(deadline)?;
    for (format, token) in &issued {
        state.instruments.token_issued(*format);
        state.counters.issued(&client.client_id, token.expires_at, now);
    }
    if state.quotas_of(&client).is_some() {
        state.counters.add(&client.client_id, issued.len() as u64, now);
    }
    let tokens = issued.into_iter().map(|(_, issued)| issued).collect();
    Ok(answer(&Batch { tokens }))
}
