//! `GET /metrics`, on the management listener: the Prometheus text format.

use std::time::Instant;

use actix_web::HttpResponse;
use actix_web::http::header;
use oauth2_actors::metrics::Scrape;

use super::error::Failure;
use super::refusals::OfAnybody;
use super::{ADMIN_DEADLINE, App};

/// Tells every metric, in the Prometheus text format.
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "Operations",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain"), OfAnybody),
)]
pub async fn get(state: App) -> Result<HttpResponse, Failure> {
    let text = state.metrics.ask(Scrape, Instant::now() + ADMIN_DEADLINE)?.await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text))
}
