//! Responds with a published JSON document: cacheable, with an `ETag`.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{self, EntityTag, Header, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse};
use ipnet::IpNet;
use oauth2_actors::freshness::STALENESS_BUDGET;
use oauth2_actors::key_fetches::{Fetch, KeyFetches};
use oauth2_actors::runtime::clock::{Clock, StoreClock};
use oauth2_store::model::KeyDocument;
use utoipa::IntoResponses;

use crate::http::client_address;
use crate::http::compression::accepts_gzip;
use crate::http::error::Failure;
use crate::keys::lifecycle::KeyTiming;
use crate::keys::verifiers::is_own_command;
use crate::service::document::JsonDocument;
use crate::service::error::ServiceError;
use crate::service::published_keys::KeysHandle;
use crate::service::views::Views;

/// `304 Not Modified`: the document is still the one that `If-None-Match` names.
#[derive(Debug, IntoResponses)]
#[response(status = 304)]
pub struct NotModified;

/// Responds with a document. `max_age`: how long it may be cached.
pub fn respond(document: &JsonDocument, request: &HttpRequest, max_age: Duration) -> HttpResponse {
    let gzip = document.gzip.as_ref().filter(|_| accepts_gzip(request.headers()));
    let plain = EntityTag::new_strong(document.digest.clone());
    // The two representations have different tags (RFC 9110 section 8.8.3); both name this document.
    let compressed = EntityTag::new_strong(format!("{}-gzip", document.digest));
    let etag = if gzip.is_some() { &compressed } else { &plain };
    // A header that cannot be parsed counts as absent.
    let not_modified = match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(known)) => known
            .iter()
            .any(|known| known.weak_eq(&plain) || known.weak_eq(&compressed)),
        Err(_) => false,
    };
    let mut response = if not_modified {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((header::VARY, "Accept-Encoding"))
        .insert_header((header::ETAG, etag.to_string()))
        .insert_header((header::CACHE_CONTROL, format!("public, max-age={}", max_age.as_secs())));
    if not_modified {
        return response.finish();
    }
    response.insert_header((header::CONTENT_TYPE, "application/json"));
    match gzip {
        Some(gzip) => response
            .insert_header((header::CONTENT_ENCODING, "gzip"))
            .body(gzip.clone()),
        None => response.body(document.body.clone()),
    }
}

/// The key sets as this node publishes them.
#[derive(Debug)]
pub struct KeyDocuments {
    /// The keys.
    pub keys: KeysHandle,
    /// How long they may be cached.
    pub timing: KeyTiming,
    /// Whether this node has heard from the store recently.
    pub views: Views,
    /// Records the verifiers.
    pub fetches: Arc<KeyFetches>,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// Proxies whose `X-Forwarded-For` and `Forwarded` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl KeyDocuments {
    /// Responds with one of the key sets.
    pub fn respond(&self, request: &HttpRequest, which: KeyDocument) -> Result<HttpResponse, Failure> {
        let keys = self.keys.load();
        // Before the keys are loaded, verifiers would cache an empty set.
        if !keys.keyring.is_complete() {
            return Err(ServiceError::NoSigningKey("the published key sets").into());
        }
        let (document, generation) = keys.document(which);
        let user_agent = request.headers().get(header::USER_AGENT);
        let user_agent = user_agent.and_then(|agent| agent.to_str().ok());
        if has_after(request) && !user_agent.is_some_and(is_own_command) {
            self.fetches.record(Fetch {
                document: which,
                address: client_address::of(request, &self.trusted_proxies).0,
                user_agent,
                generation,
                now: (self.clock.unix_ms() / 1000) as i64,
            });
        }
        Ok(respond(document, request, self.max_age()))
    }

    /// A new key is published for longer than this before it signs. A node that has not heard from the store for longer than nodes
    /// may lag might lack one, so its key set must not be cached.
    fn max_age(&self) -> Duration {
        let recent = self
            .views
            .directory
            .freshness()
            .is_within(self.timing.skew.max(STALENESS_BUDGET));
        if recent { self.timing.max_age } else { Duration::ZERO }
    }
}

/// Whether the caller has the document after this request: it gets it, or names it as its copy. With `If-None-Match: *`, it may
/// have any.
fn has_after(request: &HttpRequest) -> bool {
    *request.method() == Method::GET && !matches!(IfNoneMatch::parse(request), Ok(IfNoneMatch::Any))
}
