//! `GET /health`: the process answers. `GET /ready`: it should be sent requests.

use actix_web::HttpResponse;
use actix_web::http::header;
use serde_json::{Map, Value, json};

use super::App;

/// `GET /health`.
pub async fn get_health() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({"status": "ok"}))
}

/// `GET /ready`: `200` when every check holds, else `503`; the body says which does not.
pub async fn get_ready(state: App) -> HttpResponse {
    let checks = state.checks();
    let ready = checks.iter().all(|(_, holds)| *holds);
    let mut response = if ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    let named: Map<String, Value> = checks
        .iter()
        .map(|(name, holds)| ((*name).to_owned(), Value::Bool(*holds)))
        .collect();
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({"status": if ready { "ready" } else { "not_ready" }, "checks": named}))
}
