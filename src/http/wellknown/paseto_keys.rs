//! `GET /.well-known/paseto-keys.json`.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use oauth2_store::model::KeyDocument;

use super::document::{KeyDocuments, NotModified};
use crate::http::error::Failure;
use crate::http::error_responses::PublicErrors;
use crate::keys::key_sets::PasetoKeySet;

/// Publishes the keys of PASETO as PASERK.
#[utoipa::path(
    get, path = "/.well-known/paseto-keys.json", operation_id = "getPasetoKeys", tag = "Discovery",
    responses(
        (status = 200, description = "The keys.", body = PasetoKeySet),
        NotModified,
        PublicErrors,
    ),
)]
pub async fn get(keys: Data<KeyDocuments>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    keys.respond(&request, KeyDocument::Paseto)
}
