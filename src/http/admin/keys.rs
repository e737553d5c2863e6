//! `/admin/v1/keys`: the signing keys, without their private keys.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::admin_deadline;
use crate::http::error::Failure;
use crate::http::error_responses::{AdminErrors, BodyErrors, ConflictError, NotFoundError};
use crate::http::extract::{By, admin_body};
use crate::http::response::json;
use crate::service::error::ServiceError;
use crate::service::keys::SigningKeys;
use crate::service::keys::view::KeyView;
use crate::service::page::PageView;
use crate::service::schema;

/// Lists the keys in the order in which they sign.
///
/// There are few: the list is one page.
#[utoipa::path(
    get, path = "/admin/v1/keys", operation_id = "listKeys", tag = "Keys",
    responses((status = 200, description = "The keys.", body = PageView<KeyView>), AdminErrors),
    security(("operator" = [])),
)]
pub async fn list(keys: Data<SigningKeys>) -> Result<HttpResponse, Failure> {
    let found = keys.list(admin_deadline()).await?;
    Ok(json(&PageView::only(KeyView::all(&found, &keys.timing))))
}

/// Which keys are rotated.
#[derive(Deserialize, ToSchema)]
#[schema(as = KeyRotation)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// Those of one algorithm; of each algorithm that has keys, if absent.
    #[schema(value_type = Option<schema::KeyAlgorithm>)]
    algorithm: Option<String>,
}

/// Publishes a new key, of one algorithm or of each that has keys; it signs when no verifier can be without it.
#[utoipa::path(
    post, path = "/admin/v1/keys/rotate", operation_id = "rotateKeys", tag = "Keys",
    request_body = Rotation,
    responses((status = 200, description = "The new keys.", body = PageView<KeyView>), AdminErrors, BodyErrors, ConflictError),
    security(("operator" = [])),
)]
pub async fn rotate(
    keys: Data<SigningKeys>,
    By(operator): By,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let rotation: Rotation = admin_body(&request, payload).await?;
    let algorithm = rotation.algorithm.as_deref().map(str::parse).transpose();
    let algorithm = algorithm.map_err(|reason: String| ServiceError::parameter("algorithm", reason))?;
    let deadline = admin_deadline();
    let new = keys.rotate(&operator, algorithm, deadline).await?;
    let found = keys.list(deadline).await?;
    let mut views = KeyView::all(&found, &keys.timing);
    views.retain(|view| new.iter().any(|kid| kid == view.kid));
    Ok(json(&PageView::only(views)))
}

/// A revoked key.
#[derive(Serialize, ToSchema)]
struct RevokedKey {
    /// Key id.
    revoked: String,
}

/// Removes a key at once and revokes every token it signed. Another key signs from now on.
#[utoipa::path(
    post, path = "/admin/v1/keys/{kid}/revoke", operation_id = "revokeKey", tag = "Keys",
    params(("kid" = String, Path, description = "Key id.")),
    responses((status = 200, description = "The key is revoked.", body = RevokedKey), AdminErrors, NotFoundError, ConflictError),
    security(("operator" = [])),
)]
pub async fn revoke(
    keys: Data<SigningKeys>,
    By(operator): By,
    kid: Result<Path<String>, actix_web::Error>,
) -> Result<HttpResponse, Failure> {
    let kid = kid.map_err(|_| ServiceError::parameter("kid", "must be percent-encoded UTF-8"))?;
    let kid = kid.into_inner();
    keys.revoke(&operator, &kid, admin_deadline()).await?;
    Ok(json(&RevokedKey { revoked: kid }))
}
