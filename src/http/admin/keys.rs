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
use crate::keys::import::{self, ImportOptions};
use crate::service::error::ServiceError;
use crate::service::keys::verifiers::VerifierView;
use crate::service::keys::verify_only::VerifyOnlyImport;
use crate::service::keys::view::KeyView;
use crate::service::keys::{Rotation, SigningKeys};
use crate::service::page::PageView;
use crate::service::schema;
use crate::tokens::unique_json::Unique;

/// The deadline of a rotation that waits for verifiers, seconds: a week.
const DEFAULT_DEADLINE: u64 = 604_800;

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
struct RotationRequest {
    /// Those of one algorithm; of each algorithm that has keys, if absent.
    #[schema(value_type = Option<schema::KeyAlgorithm>)]
    algorithm: Option<String>,
    /// Sign with the new keys as soon as every verifier of the key sets that was seen in the last week has fetched them.
    #[serde(default)]
    when_seen: bool,
    /// With `when_seen`: when the new keys sign at the latest; in 7 days, if absent.
    deadline_seconds: Option<u64>,
}

/// Publishes a new key, of one algorithm or of each that has keys; it signs when no verifier can be without it.
#[utoipa::path(
    post, path = "/admin/v1/keys/rotate", operation_id = "rotateKeys", tag = "Keys",
    request_body = RotationRequest,
    responses((status = 200, description = "The new keys.", body = PageView<KeyView>), AdminErrors, BodyErrors, ConflictError),
    security(("operator" = [])),
)]
pub async fn rotate(
    keys: Data<SigningKeys>,
    By(operator): By,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let given: RotationRequest = admin_body(&request, payload).await?;
    let algorithm = given.algorithm.as_deref().map(str::parse).transpose();
    if !given.when_seen && given.deadline_seconds.is_some() {
        return Err(ServiceError::parameter("deadline_seconds", "requires when_seen").into());
    }
    let rotation = Rotation {
        algorithm: algorithm.map_err(|reason: String| ServiceError::parameter("algorithm", reason))?,
        when_seen: given
            .when_seen
            .then(|| given.deadline_seconds.unwrap_or(DEFAULT_DEADLINE)),
    };
    let deadline = admin_deadline();
    let new = keys.rotate(&operator, rotation, deadline).await?;
    let found = keys.list(deadline).await?;
    let mut views = KeyView::all(&found, &keys.timing);
    views.retain(|view| new.iter().any(|kid| kid == view.kid));
    Ok(json(&PageView::only(views)))
}

/// Lists the verifiers of the published key sets that were seen in the last week, and which keys they have not fetched.
///
/// The last seen comes first. There are at most 1 000: the list is one page.
#[utoipa::path(
    get, path = "/admin/v1/keys/verifiers", operation_id = "listKeyVerifiers", tag = "Keys",
    responses((status = 200, description = "The verifiers.", body = PageView<VerifierView>), AdminErrors),
    security(("operator" = [])),
)]
pub async fn verifiers(keys: Data<SigningKeys>) -> Result<HttpResponse, Failure> {
    let found = keys.verifiers(admin_deadline()).await?;
    Ok(json(&PageView::only(found.views(&keys.timing))))
}

/// Keys that verify tokens and never sign. Exactly one of `jwks` and `pem` is required.
#[derive(Deserialize, ToSchema)]
#[schema(as = VerifyOnlyKeys)]
#[serde(deny_unknown_fields)]
struct VerifyOnly {
    /// A JWK set (RFC 7517 section 5), or one JWK. Each `kid` is kept. Keys for encryption are left out.
    #[schema(value_type = Option<Object>)]
    jwks: Option<Unique>,
    /// A public key or an X.509 certificate.
    pem: Option<String>,
    /// Which keys of the set; every key, if absent. Or the id of the key in `pem`.
    #[serde(default)]
    kids: Vec<String>,
    /// The algorithm of keys that do not name theirs.
    #[schema(value_type = Option<schema::KeyAlgorithm>)]
    algorithm: Option<String>,
    /// The `iss` of the tokens that the keys verify; that of this server, if absent.
    issuer: Option<String>,
    /// When the keys stop verifying and are removed, RFC 3339; in 30 days, if absent.
    until: Option<String>,
    /// Whether the keys are published in the JWK set; if absent, they are if their issuer is this server.
    published: Option<bool>,
}

/// Imports keys that verify tokens of the issuer that this server replaces, all of them or none. They never sign.
///
/// Importing the same keys again changes only `until` and `published`, where given.
#[utoipa::path(
    post, path = "/admin/v1/keys/verify-only", operation_id = "importVerifyOnlyKeys", tag = "Keys",
    request_body = VerifyOnly,
    responses((status = 200, description = "The keys.", body = PageView<KeyView>), AdminErrors, BodyErrors, ConflictError),
    security(("operator" = [])),
)]
pub async fn import_verify_only(
    keys: Data<SigningKeys>,
    By(operator): By,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let given: VerifyOnly = admin_body(&request, payload).await?;
    let (name, text) = match (given.jwks, given.pem) {
        (Some(Unique(jwks)), None) => ("jwks", jwks.to_string()),
        (None, Some(pem)) => ("pem", pem),
        _ => return Err(ServiceError::InvalidRequest("exactly one of jwks and pem is required".to_owned()).into()),
    };
    let algorithm = given.algorithm.as_deref().map(str::parse).transpose();
    let options = ImportOptions {
        algorithm: algorithm.map_err(|reason: String| ServiceError::parameter("algorithm", reason))?,
        ..ImportOptions::default()
    };
    let found = import::read_public(&text, options, &given.kids)
        .map_err(|error| ServiceError::parameter(name, error.to_string()))?;
    let import = VerifyOnlyImport {
        keys: &found.keys,
        issuer: given.issuer.as_deref(),
        until: given.until.as_deref(),
        published: given.published,
    };
    let deadline = admin_deadline();
    let imported = keys.import_verify_only(&operator, import, deadline).await?;
    let stored = keys.list(deadline).await?;
    let mut views = KeyView::all(&stored, &keys.timing);
    views.retain(|view| view.issuer.is_some() && imported.iter().any(|kid| kid == view.kid));
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
