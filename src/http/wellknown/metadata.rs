//! `GET /.well-known/oauth-authorization-server`: the authorization server metadata (RFC 8414).

use std::time::Duration;

use actix_web::dev::Url;
use actix_web::http::Method;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use oauth2_store::model::GrantType;
use serde::Serialize;
use utoipa::ToSchema;

use super::document::{NotModified, respond};
use crate::http::error::Failure;
use crate::protocol::client_auth::METHODS;
use crate::service::document::JsonDocument;

/// Where the metadata is, whatever the issuer.
const PATH: &str = "/.well-known/oauth-authorization-server";

/// Where clients of an issuer with a path look for it (RFC 8414 section 3.1).
pub const PATH_WITH_ISSUER: &str = "/.well-known/oauth-authorization-server/{issuer_path:.+}";

/// The authorization server metadata (RFC 8414 section 2), and where the PASETO keys are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Metadata)]
pub struct MetadataDocument<'a> {
    /// Issuer, as tokens name it.
    issuer: &'a str,
    token_endpoint: String,
    token_endpoint_auth_methods_supported: &'a [&'a str],
    grant_types_supported: Vec<&'a str>,
    response_types_supported: &'a [&'a str],
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: &'a [&'a str],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: &'a [&'a str],
    jwks_uri: String,
    /// Not in RFC 8414.
    paseto_keys_uri: String,
}

/// The metadata of this issuer.
#[derive(Debug)]
pub struct Metadata {
    document: JsonDocument,
    max_age: Duration,
    /// [`PATH_WITH_ISSUER`] for this issuer, as requests are matched; `None` for an issuer without a path.
    path_with_issuer: Option<String>,
}

impl Metadata {
    /// The metadata of an issuer. `max_age`: how long it may be cached.
    pub fn new(issuer: &str, max_age: Duration) -> Self {
        let base = issuer.trim_end_matches('/');
        let document = JsonDocument::new(&MetadataDocument {
            issuer,
            token_endpoint: format!("{base}/oauth/token"),
            token_endpoint_auth_methods_supported: METHODS,
            grant_types_supported: GrantType::ALL.iter().map(|grant| grant.as_str()).collect(),
            response_types_supported: &[],
            introspection_endpoint: format!("{base}/oauth/introspect"),
            introspection_endpoint_auth_methods_supported: METHODS,
            revocation_endpoint: format!("{base}/oauth/revoke"),
            revocation_endpoint_auth_methods_supported: METHODS,
            jwks_uri: format!("{base}/.well-known/jwks.json"),
            paseto_keys_uri: format!("{base}/.well-known/paseto-keys.json"),
        });
        let path_with_issuer = base
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'))
            .and_then(|(_, path)| format!("{PATH}/{path}").parse().ok())
            .map(|uri| Url::new(uri).path().to_owned());
        Self {
            document,
            max_age,
            path_with_issuer,
        }
    }

    /// The path that a request is counted under: the metadata is one endpoint at both of its paths.
    pub fn canonical_path<'a>(&self, path: &'a str) -> &'a str {
        if self.path_with_issuer.as_deref() == Some(path) {
            PATH
        } else {
            path
        }
    }
}

/// Publishes the authorization server metadata (RFC 8414).
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", operation_id = "getMetadata", tag = "Discovery",
    responses(
        (status = 200, description = "The metadata.", body = MetadataDocument),
        NotModified,
    ),
)]
pub async fn get(metadata: Data<Metadata>, request: HttpRequest) -> HttpResponse {
    respond(&metadata.document, &request, metadata.max_age)
}

/// The same at [`PATH_WITH_ISSUER`]; there is nothing for any other issuer.
pub async fn get_with_issuer_path(metadata: Data<Metadata>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    if metadata.path_with_issuer.as_deref() != Some(request.match_info().as_str()) {
        return Err(Failure::NoSuchUrl);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Failure::MethodNotAllowed("GET, HEAD".to_owned()));
    }
    Ok(respond(&metadata.document, &request, metadata.max_age))
}
