//! Discovery: the authorization server metadata (RFC 8414) and the public keys.
//!
//! Documents are printed once, when what they say changes, and answered with an `ETag` so that a client that has one is
//! told so in a few bytes.

use std::time::Duration;

use actix_web::dev::Url;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use oauth2_actors::freshness::STALENESS_BUDGET;
use oauth2_actors::model::StoredKey;
use serde::Serialize;
use serde_json::json;
use utoipa::{IntoResponses, ToSchema};

use super::App;
use super::error::Failure;
use super::refusals::OfAnybody;
use super::shapes::{Jwks, PasetoKeys};
use crate::tokens::BASE64URL;
use crate::tokens::keyring::Keyring;

/// Still what `If-None-Match` names.
#[derive(Debug, IntoResponses)]
#[response(status = 304)]
pub struct StillTheSame;

/// A JSON document with its entity tag.
#[derive(Debug, Clone)]
pub struct Document {
    body: Bytes,
    etag: String,
}

impl Document {
    /// Prints a document.
    pub fn new(json: &serde_json::Value) -> Self {
        let body = json.to_string();
        let etag = format!(
            "\"{}\"",
            BASE64URL.encode(&digest(&SHA256, body.as_bytes()).as_ref()[..15])
        );
        Self {
            body: body.into(),
            etag,
        }
    }

    /// `max_age`: for how long it may be kept.
    pub fn respond(&self, headers: &HeaderMap, max_age: Duration) -> HttpResponse {
        let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let matches = known.is_some_and(|tags| tags.split(',').any(|tag| matches_tag(tag.trim(), &self.etag)));
        let mut response = if matches {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        response
            .insert_header((header::ETAG, self.etag.as_str()))
            .insert_header((header::CACHE_CONTROL, format!("public, max-age={}", max_age.as_secs())));
        if matches {
            return response.finish();
        }
        response
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .body(self.body.clone())
    }
}

/// Weak comparison (RFC 9110 section 8.8.3.2).
fn matches_tag(given: &str, ours: &str) -> bool {
    given == "*" || given.strip_prefix("W/").unwrap_or(given) == ours
}

/// The keys of this moment, and the documents that publish them.
#[derive(Debug)]
pub struct PublishedKeys {
    /// The keys.
    pub keyring: Keyring,
    /// Their names, algorithms and times; of the private halves nothing.
    pub stored: Vec<StoredKey>,
    jwks: Document,
    paseto: Document,
}

impl PublishedKeys {
    /// Prints the documents of a keyring.
    pub fn new(keyring: Keyring, stored: &[StoredKey]) -> Self {
        let without_private = |key: &StoredKey| StoredKey {
            sealed_private_key: String::new(),
            ..key.clone()
        };
        Self {
            jwks: Document::new(&keyring.jwks()),
            paseto: Document::new(&keyring.paseto_keys()),
            stored: stored.iter().map(without_private).collect(),
            keyring,
        }
    }

    /// No keys, before they are loaded.
    pub fn none() -> Self {
        Self::new(Keyring::default(), &[])
    }
}

/// Where the metadata is, whatever the issuer.
const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

/// The authorization server metadata (RFC 8414 section 2), with the place of the PASETO keys added.
#[derive(Serialize, ToSchema)]
#[schema(as = Metadata)]
struct MetadataDocument<'a> {
    /// The issuer, as tokens name it.
    issuer: &'a str,
    token_endpoint: String,
    token_endpoint_auth_methods_supported: &'a [&'a str],
    grant_types_supported: &'a [&'a str],
    response_types_supported: &'a [&'a str],
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: &'a [&'a str],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: &'a [&'a str],
    jwks_uri: String,
    /// Not in RFC 8414.
    paseto_keys_uri: String,
}

/// The metadata, printed.
#[derive(Debug)]
pub struct Metadata {
    document: Document,
    /// Where clients look for it when the issuer has a path (RFC 8414 section 3.1): the path, as requests are matched.
    by_path: Option<String>,
}

impl Metadata {
    /// The metadata of this issuer.
    pub fn new(issuer: &str) -> Self {
        let base = issuer.trim_end_matches('/');
        let auth_methods = &["client_secret_basic", "client_secret_post"];
        let document = Document::new(&json!(MetadataDocument {
            issuer,
            token_endpoint: format!("{base}/oauth/token"),
            token_endpoint_auth_methods_supported: auth_methods,
            grant_types_supported: &["client_credentials"],
            response_types_supported: &[],
            introspection_endpoint: format!("{base}/oauth/introspect"),
            introspection_endpoint_auth_methods_supported: auth_methods,
            revocation_endpoint: format!("{base}/oauth/revoke"),
            revocation_endpoint_auth_methods_supported: auth_methods,
            jwks_uri: format!("{base}/.well-known/jwks.json"),
            paseto_keys_uri: format!("{base}/.well-known/paseto-keys.json"),
        }));
        let by_path = base
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'))
            .and_then(|(_, path)| format!("{METADATA_PATH}/{path}").parse().ok())
            .map(|uri| Url::new(uri).path().to_owned());
        Self { document, by_path }
    }

    /// The path that a request for `path` is counted under: the metadata is one endpoint, wherever it is asked for.
    pub fn counted_as<'a>(&self, path: &'a str) -> &'a str {
        if self.by_path.as_deref() == Some(path) {
            METADATA_PATH
        } else {
            path
        }
    }
}

/// Tells what the authorization server offers (RFC 8414).
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", operation_id = "getMetadata", tag = "Discovery",
    responses(
        (status = 200, description = "The metadata.", body = MetadataDocument),
        StillTheSame,
    ),
)]
pub async fn get_metadata(state: App, request: HttpRequest) -> HttpResponse {
    state.metadata.document.respond(request.headers(), state.timing.max_age)
}

/// The same at `/.well-known/oauth-authorization-server` with the issuer's path after it; any other path is nothing.
pub async fn get_metadata_by_path(state: App, request: HttpRequest) -> Result<HttpResponse, Failure> {
    if state.metadata.by_path.as_deref() != Some(request.match_info().as_str()) {
        return Err(Failure::NotFound);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Failure::MethodNotAllowed("GET, HEAD"));
    }
    Ok(state.metadata.document.respond(request.headers(), state.timing.max_age))
}

/// How long the keys may be kept. A new key is published for longer than that before it signs; a node that has not heard of the
/// store for longer than nodes may be behind might lack one, so what it tells is not to be kept.
fn max_age(state: &App) -> Duration {
    let recent = state
        .directory
        .freshness()
        .is_within(state.timing.skew.max(STALENESS_BUDGET));
    if recent { state.timing.max_age } else { Duration::ZERO }
}

/// Publishes the keys of JWT (RFC 7517 section 5).
///
/// `max-age` says how long they may be kept: no key signs before everybody has had time to read it, but the first of its kind.
/// Whoever meets a `kid` that it does not know should read them again.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", operation_id = "getJwks", tag = "Discovery",
    responses(
        (status = 200, description = "The keys.", body = Jwks),
        StillTheSame,
        OfAnybody,
    ),
)]
pub async fn get_jwks(state: App, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let keys = state.keys.load();
    // Before the keys are loaded, an empty set would be a lie that verifiers keep.
    if keys.keyring.is_complete() {
        Ok(keys.jwks.respond(request.headers(), max_age(&state)))
    } else {
        Err(Failure::Unavailable("no_keys"))
    }
}

/// Publishes the keys of PASETO as PASERK.
#[utoipa::path(
    get, path = "/.well-known/paseto-keys.json", operation_id = "getPasetoKeys", tag = "Discovery",
    responses(
        (status = 200, description = "The keys.", body = PasetoKeys),
        StillTheSame,
        OfAnybody,
    ),
)]
pub async fn get_paseto_keys(state: App, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let keys = state.keys.load();
    if keys.keyring.is_complete() {
        Ok(keys.paseto.respond(request.headers(), max_age(&state)))
    } else {
        Err(Failure::Unavailable("no_keys"))
    }
}
