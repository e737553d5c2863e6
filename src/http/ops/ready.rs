//! `GET /ready`: whether the process should get requests.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

use crate::service::readiness::{ClockNotice, Readiness};

/// Whether the process should get requests.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Readiness)]
pub struct ReadinessView {
    /// `ready` or `not_ready`.
    status: &'static str,
    /// Every check, and whether it passes.
    checks: BTreeMap<&'static str, bool>,
    /// How the clock is wrong, or was; absent if it is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<ClockNotice>,
}

/// Reports whether the process should get requests, and which checks fail.
#[utoipa::path(
    get, path = "/ready", operation_id = "getReadiness", tag = "Operations",
    responses(
        (status = 200, description = "Every check passes.", body = ReadinessView),
        (status = 503, description = "A check fails.", body = ReadinessView),
    ),
)]
pub async fn get(readiness: Data<Readiness>) -> HttpResponse {
    let checks = BTreeMap::from(readiness.checks());
    let ready = checks.values().all(|passes| *passes);
    let mut response = if ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(ReadinessView {
            status: if ready { "ready" } else { "not_ready" },
            checks,
            clock: readiness.clock_notice(),
        })
}
