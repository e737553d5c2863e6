//! `GET /metrics`: the Prometheus text format.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;
use oauth2_actors::metrics::{Metrics, Scrape};
use oauth2_actors::runtime::mailbox::Mailbox;

use crate::http::admin_deadline;
use crate::http::error::Failure;
use crate::http::error_responses::{HostErrors, PublicErrors};

/// Exports every metric in the Prometheus text format.
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "Operations",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain"), HostErrors, PublicErrors),
)]
pub async fn get(metrics: Data<Mailbox<Metrics>>) -> Result<HttpResponse, Failure> {
    let text = metrics.ask(Scrape, admin_deadline())?.await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text))
}
