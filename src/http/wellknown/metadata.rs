//! The authorization server metadata: `GET /.well-known/oauth-authorization-server` (RFC 8414), and
//! `GET /.well-known/openid-configuration` for the many clients and verifiers that look only there.

use std::time::Duration;

use actix_web::dev::Url;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use oauth2_store::model::{GrantType, SigningAlg};
use serde::Serialize;
use utoipa::ToSchema;

use super::document::{NotModified, respond};
use crate::http::error::Failure;
use crate::protocol::client_auth::METHODS;
use crate::service::document::JsonDocument;

/// Where the metadata is, whatever the issuer.
const PATH: &str = "/.well-known/oauth-authorization-server";

/// Where clients of `OpenID` Connect Discovery look, whatever the issuer.
const OPENID_PATH: &str = "/.well-known/openid-configuration";

/// Where clients look for the documents of an issuer with a path: after the well-known path (RFC 8414 section 3.1) or before it
/// (`OpenID` Connect Discovery 1.0 section 4). Both are served for both documents, since clients confuse them.
pub const PATHS_WITH_ISSUER: [&str; 4] = [
    "/.well-known/oauth-authorization-server/{issuer_path:.+}",
    "/.well-known/openid-configuration/{issuer_path:.+}",
    "/{issuer_path:.+}/.well-known/oauth-authorization-server",
    "/{issuer_path:.+}/.well-known/openid-configuration",
];

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

/// The metadata, with the members that clients of `OpenID` Connect Discovery 1.0 require. It has no authorization endpoint: this server
/// issues no ID tokens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenIdMetadata)]
pub struct OpenIdDocument<'a> {
    #[serde(flatten)]
    metadata: MetadataDocument<'a>,
    /// Always `public`.
    subject_types_supported: &'a [&'a str],
    /// The algorithms of JWT access tokens that the published keys verify.
    id_token_signing_alg_values_supported: Vec<&'a str>,
}

/// The metadata of this issuer.
#[derive(Debug)]
pub struct Metadata {
    document: JsonDocument,
    openid: JsonDocument,
    max_age: Duration,
    /// [`PATHS_WITH_ISSUER`] for this issuer, as requests are matched, each with the path of its document; none for an issuer
    /// without a path.
    paths_with_issuer: Vec<(String, &'static str)>,
}

impl Metadata {
    /// The metadata of an issuer. `base`: the URL below which clients reach the endpoints. `max_age`: how long it may be cached.
    pub fn new(issuer: &str, base: &str, max_age: Duration) -> Self {
        let metadata = MetadataDocument {
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
        };
        let document = JsonDocument::new(&metadata);
        let is_published = |alg: &&SigningAlg| **alg != SigningAlg::Hs256;
        let openid = JsonDocument::new(&OpenIdDocument {
            metadata,
            subject_types_supported: &["public"],
            id_token_signing_alg_values_supported: SigningAlg::ALL
                .iter()
                .filter(is_published)
                .map(|alg| alg.as_str())
                .collect(),
        });
        let issuer_path = issuer
            .trim_end_matches('/')
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'))
            .map(|(_, path)| path);
        let routed = |path: String| path.parse().ok().map(|uri| Url::new(uri).path().to_owned());
        let paths = issuer_path.into_iter().flat_map(|path| {
            [PATH, OPENID_PATH].into_iter().flat_map(move |document| {
                let (inserted, appended) = (format!("{document}/{path}"), format!("/{path}{document}"));
                [inserted, appended].map(|path| (path, document))
            })
        });
        Self {
            document,
            openid,
            max_age,
            paths_with_issuer: paths
                .filter_map(|(path, document)| Some((routed(path)?, document)))
                .collect(),
        }
    }

    /// The path that a request is counted under: each document is one endpoint at both of its paths.
    pub fn canonical_path<'a>(&self, path: &'a str) -> &'a str {
        let known = self.paths_with_issuer.iter().find(|(known, _)| known == path);
        known.map_or(path, |(_, document)| document)
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

/// Publishes the metadata where clients of `OpenID` Connect look for it.
#[utoipa::path(
    get, path = "/.well-known/openid-configuration", operation_id = "getOpenIdMetadata", tag = "Discovery",
    responses(
        (status = 200, description = "The metadata.", body = OpenIdDocument),
        NotModified,
    ),
)]
pub async fn get_openid(metadata: Data<Metadata>, request: HttpRequest) -> HttpResponse {
    respond(&metadata.openid, &request, metadata.max_age)
}

/// The documents at [`PATHS_WITH_ISSUER`]; there is nothing for any other issuer.
pub async fn get_with_issuer_path(metadata: Data<Metadata>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let path = request.match_info().as_str();
    let document = match metadata.canonical_path(path) {
        PATH => &metadata.document,
        OPENID_PATH => &metadata.openid,
        _ => return Err(Failure::NoSuchUrl),
    };
    Ok(respond(document, &request, metadata.max_age))
}
