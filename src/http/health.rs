//! `GET /health`: the process answers. `GET /ready`: it should be sent requests.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::header;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;

/// The process answers.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok`
    status: &'static str,
}

/// Whether the process should be sent requests.
#[derive(Serialize, ToSchema)]
struct Readiness {
    /// `ready` or `not_ready`
    status: &'static str,
    /// Every check, and whether it holds.
    checks: BTreeMap<&'static str, bool>,
}

/// Says that the process answers.
#[utoipa::path(
    get, path = "/health", operation_id = "getHealth", tag = "Operations",
    responses((status = 200, description = "It does.", body = Health)),
)]
pub async fn get_health() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(Health { status: "ok" })
}

/// Says whether the process should be sent requests, and which check does not hold.
#[utoipa::path(
    get, path = "/ready", operation_id = "getReadiness", tag = "Operations",
    responses(
        (status = 200, description = "Every check holds.", body = Readiness),
        (status = 503, description = "One does not.", body = Readiness),
    ),
)]
pub async fn get_ready(state: App) -> HttpResponse {
    let checks = BTreeMap::from(state.checks());
    let ready = checks.values().all(|holds| *holds);
    let mut response = if ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(Readiness {
            status: if ready { "ready" } else { "not_ready" },
            checks,
        })
}
