//! `GET /metrics`, on the management listener: the Prometheus text format.

use std::time::Instant;

use actix_web::HttpResponse;
use actix_web::http::header;
use oauth2_actors::metrics::Scrape;

use super::error::Failure;
use super::{ADMIN_DEADLINE, App};

/// The endpoint.
pub async fn get(state: App) -> Result<HttpResponse, Failure> {
    let text = state.metrics.ask(Scrape, Instant::now() + ADMIN_DEADLINE)?.await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text))
}
