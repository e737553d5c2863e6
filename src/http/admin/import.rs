//! `POST /admin/v1/clients:import`: clients in numbers, as JSON lines or CSV, all of them or none.

use std::collections::HashSet;

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, web};
use oauth2_actors::model::SigningAlg;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::{App, Failure, Operator, answer, bad_request, deadline, usage};
use crate::http::body;
use crate::http::refusals::{OfBodies, OfChanges, OfOperators};
use crate::oauth::bulk::{Asked, Layout, Lines, Place, Plan, Seen};

/// Bytes of a request.
const LIMIT: usize = 8 * 1024 * 1024;

/// Clients of a request, good or bad: one transaction.
const MOST: usize = 10_000;

/// Refused lines that an answer names.
const SHOWN: usize = 10;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Query {
    /// Judge every line and change nothing.
    #[serde(default)]
    dry_run: bool,
    /// Make up secrets for new clients that bring none, and tell them in the answer.
    #[serde(default)]
    generate_secrets: bool,
}

/// What an import did.
#[derive(Serialize, ToSchema)]
struct Imported<'a> {
    /// Clients that are new.
    created: usize,
    /// Clients that are not as they were.
    updated: usize,
    /// Clients that were so already.
    unchanged: u64,
    /// Secrets that were made up, told this once.
    secrets: Vec<Secret<'a>>,
}

/// A secret that was made up, told this once.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportedSecret)]
struct Secret<'a> {
    /// Whose it is.
    client_id: &'a str,
    /// The secret.
    client_secret: &'a str,
}

/// Imports up to 10 000 clients, a line each, all of them or none.
#[utoipa::path(
    post, path = "/admin/v1/clients:import", operation_id = "importClients", tag = "Clients",
    params(Query),
    request_body(content((String = "application/x-ndjson"), (String = "text/csv"))),
    responses((status = 200, description = "What was done.", body = Imported), OfOperators, OfBodies, OfChanges),
    security(("operator" = [])),
)]
pub async fn post(
    state: App,
    operator: Operator,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let query = web::Query::<Query>::from_query(request.query_string())
        .map_err(|_| bad_request("the query takes dry_run and generate_secrets, true or false"))?;
    let layout = layout(&request)?;
    let text = body::read(request.headers(), payload, LIMIT).await?;
    let asked = read(&text, layout)?;
    let ids: Vec<String> = asked.iter().map(|(_, asked)| asked.client_id().to_owned()).collect();
    let current = state
        .tokens
        .call(deadline(), move |store| async move { store.clients_named(&ids).await })
        .await?;
    let mut plan = Plan::of(
        &asked,
        current,
        &state.registration_defaults(),
        state.now(),
        query.generate_secrets,
    );
    plan.check(|current, changed| usage::below(&state, current, changed));
    if !plan.refused.is_empty() {
        return Err(refused(&plan.refused));
    }
    let secrets: Vec<_> = plan
        .secrets
        .iter()
        .map(|(client_id, client_secret)| Secret {
            client_id,
            client_secret,
        })
        .collect();
    let imported = Imported {
        created: plan.new.len(),
        updated: plan.changed.len(),
        unchanged: plan.unchanged,
        secrets: if query.dry_run { Vec::new() } else { secrets },
    };
    if !query.dry_run && (!plan.new.is_empty() || !plan.changed.is_empty()) {
        let clients = plan.new.iter().chain(&plan.changed);
        let algorithms: HashSet<SigningAlg> = clients.filter_map(|client| client.signing_alg).collect();
        for algorithm in algorithms {
            state.ensure_key(Some(algorithm), &operator, deadline()).await?;
        }
        let (audit, now_ms) = (operator.audit("client.import", json!({})), state.now_ms());
        let (new, changed) = (plan.new, plan.changed);
        state
            .tokens
            .change(deadline(), move |store| async move {
                store.write_clients(&new, &changed, now_ms, &audit).await
            })
            .await?;
    }
    Ok(answer(&imported))
}

fn layout(request: &HttpRequest) -> Result<Layout, Failure> {
    match request
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or("").trim())
    {
        Some("text/csv") => Ok(Layout::Csv),
        Some("application/x-ndjson" | "application/jsonl" | "application/x-jsonlines") => Ok(Layout::Json),
        _ => Err(bad_request(
            "the body must be application/x-ndjson (a JSON object a line) or text/csv",
        )),
    }
}

fn read(text: &[u8], layout: Layout) -> Result<Vec<(Place, Asked)>, Failure> {
    let unreadable = |_| Failure::Internal("a body in memory cannot be read");
    let mut lines = Lines::new(text, layout).map_err(unreadable)?.map_err(bad_request)?;
    let (mut asked, mut bad, mut seen) = (Vec::new(), Vec::new(), Seen::default());
    while let Some(record) = lines.read_next().map_err(unreadable)? {
        match record
            .asked
            .and_then(|asked| seen.insert(asked.client_id(), record.place.first).map(|()| asked))
        {
            Ok(read) => asked.push((record.place, read)),
            Err(why) => bad.push((record.place, why)),
        }
        if asked.len() + bad.len() > MOST {
            return Err(Failure::TooLarge);
        }
    }
    if bad.is_empty() { Ok(asked) } else { Err(refused(&bad)) }
}

fn refused(lines: &[(Place, String)]) -> Failure {
    let shown: Vec<_> = lines
        .iter()
        .take(SHOWN)
        .map(|(place, why)| format!("{place}: {why}"))
        .collect();
    let more = if lines.len() > SHOWN {
        format!("; and {} lines more", lines.len() - SHOWN)
    } else {
        String::new()
    };
    Failure::BadRequest(
        "invalid_client_metadata",
        format!("nothing was imported. {}{more}", shown.join("; ")),
    )
}
