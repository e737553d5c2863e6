//! `GET /openapi.json`: the API document.

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use crate::http::error_responses::HostErrors;
use crate::http::wellknown::document::{NotModified, respond};
use crate::service::document::JsonDocument;

/// How long the document may be cached: it changes with the server's version only.
const MAX_AGE: Duration = Duration::from_mins(5);

/// The API document.
#[derive(Debug)]
pub struct ApiDocument(JsonDocument);

impl ApiDocument {
    /// The document to respond with.
    pub fn new(document: &Value) -> Self {
        Self(JsonDocument::new(document))
    }
}

/// Returns this document.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "getApiDocument", tag = "Operations",
    responses(
        (status = 200, description = "The document (OpenAPI 3.1).", body = Object),
        NotModified,
        HostErrors,
    ),
)]
pub async fn get(document: Data<ApiDocument>, request: HttpRequest) -> HttpResponse {
    respond(&document.0, &request, MAX_AGE)
}
