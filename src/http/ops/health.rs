//! `GET /health`: the process responds.

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::response::json;

/// The process responds.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// Reports that the process responds.
#[utoipa::path(
    get, path = "/health", operation_id = "getHealth", tag = "Operations",
    responses((status = 200, description = "It does.", body = Health)),
)]
pub async fn get() -> HttpResponse {
    json(&Health { status: "ok" })
}
