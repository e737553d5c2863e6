//! `GET /.well-known/jwks.json` (RFC 7517 section 5).

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use oauth2_store::model::KeyDocument;

use super::document::{KeyDocuments, NotModified};
use crate::http::error::Failure;
use crate::http::error_responses::PublicErrors;
use crate::keys::key_sets::JwkSet;

/// Publishes the keys of JWT (RFC 7517 section 5).
///
/// `max-age` says how long the set may be cached: a new key is published for longer than that before it signs, except the first of
/// its algorithm. A verifier that meets an unknown `kid` should fetch the set again.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", operation_id = "getJwks", tag = "Discovery",
    responses(
        (status = 200, description = "The keys.", body = JwkSet),
        NotModified,
        PublicErrors,
    ),
)]
pub async fn get(keys: Data<KeyDocuments>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    keys.respond(&request, KeyDocument::Jwks)
}
