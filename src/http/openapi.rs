//! `GET /openapi.json`, on the management listener: the document of every endpoint (`OpenAPI` 3.1), made of the code.
//!
//! Each operation is described where it is done, by `#[utoipa::path]`. Here they are gathered, and what many have in common is
//! added. The document is the same for every server; `docs/openapi.json` is a copy of it.

use std::sync::LazyLock;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::server::{ServerBuilder, ServerVariableBuilder};
use utoipa::openapi::{Content, Ref, RefOr, Required, Schema, Server};
use utoipa::{Modify, OpenApi, openapi};

use super::admin::{audit, clients, import, issue, keys, tokens, usage};
use super::discovery::{Document, StillTheSame};
use super::routes::Listener;
use super::{discovery, health, introspect, introspect_batch, metrics, refusals, revoke, token};

/// How long the document may be kept: it changes with the server's version only.
const MAX_AGE: Duration = Duration::from_mins(5);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "oauth2_server",
        description = "An OAuth 2.0 authorization server for API tokens in volume.",
    ),
    paths(
        token::post, introspect::post, introspect_batch::post, revoke::post,
        discovery::get_metadata, discovery::get_jwks, discovery::get_paseto_keys,
        health::get_health, health::get_ready, metrics::get, get,
        clients::list, clients::create, clients::show, clients::update, clients::delete, clients::disable, clients::enable,
        clients::rotate_secret, import::post, usage::show, usage::top,
        tokens::list, tokens::show, tokens::revoke, tokens::revoke_of_client, tokens::revoke_all, issue::post,
        keys::list, keys::rotate, keys::revoke, audit::list,
    ),
    components(schemas(refusals::ErrorBody)),
    tags(
        (name = "OAuth 2.0", description = "For clients."),
        (name = "Discovery", description = "For clients and verifiers."),
        (name = "Operations", description = "For whatever watches the server."),
        (name = "Clients", description = "For operators: who may ask for tokens."),
        (name = "Tokens", description = "For operators: what was issued."),
        (name = "Keys", description = "For operators: what signs."),
        (name = "Audit", description = "For operators: who changed what."),
    ),
    modifiers(&Security, &Refusals, &Servers, &Bodies, &Pages),
)]
struct Api;

/// How requests are authenticated.
struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let scheme =
            |scheme, says| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(says)).build());
        components.add_security_scheme(
            "client_secret_basic",
            scheme(
                HttpAuthScheme::Basic,
                "The client's id and secret, each form-encoded (RFC 6749 section 2.3.1). Or both in the form, as `client_id` and \
                 `client_secret`.",
            ),
        );
        components.add_security_scheme(
            "operator",
            scheme(
                HttpAuthScheme::Bearer,
                "The admin token, or an access token for this issuer with the scope `oauth2.admin`.",
            ),
        );
    }
}

/// What is refused in the same words everywhere, and the fields by which limited clients are told where they stand.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (name, response) in refusals::all() {
            components.responses.insert(name.to_owned(), response.into());
        }
        for (path, item) in &mut document.paths.paths {
            let limited = path.starts_with("/oauth/").then_some(item.post.as_mut()).flatten();
            let answer = limited.and_then(|operation| operation.responses.responses.get_mut("200"));
            if let Some(RefOr::T(answer)) = answer {
                for (name, holds) in refusals::RATE_LIMIT {
                    answer.headers.insert(name.to_owned(), refusals::text(holds).into());
                }
            }
        }
    }
}

/// Which listener answers what.
struct Servers;

impl Modify for Servers {
    fn modify(&self, document: &mut openapi::OpenApi) {
        document.servers = Some(vec![server(Listener::Public), server(Listener::Management)]);
        for (path, item) in &mut document.paths.paths {
            item.servers = listener(path).map(|listener| vec![server(listener)]);
        }
    }
}

/// `None`: both.
fn listener(path: &str) -> Option<Listener> {
    match path {
        "/health" | "/ready" => None,
        path if path.starts_with("/oauth/") || path.starts_with("/.well-known/") => Some(Listener::Public),
        _ => Some(Listener::Management),
    }
}

fn server(listener: Listener) -> Server {
    let (name, default, description) = match listener {
        Listener::Public => (
            "issuer",
            "http://localhost:8080",
            "The public listener, by the issuer's URL.",
        ),
        Listener::Management => ("management", "http://localhost:8081", "The management listener."),
    };
    let variable = ServerVariableBuilder::new().default_value(default);
    ServerBuilder::new()
        .url(format!("{{{name}}}"))
        .description(Some(description))
        .parameter(name, variable)
        .build()
}

/// The body of an administrative request that may be `{}` may be left out.
struct Bodies;

impl Modify for Bodies {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let schemas = &document.components.get_or_insert_default().schemas;
        let may_be_empty = |content| {
            let schema = schema_name(content).and_then(|name| schemas.get(name));
            matches!(schema, Some(RefOr::T(Schema::Object(object))) if object.required.is_empty())
        };
        for item in document.paths.paths.values_mut() {
            for operation in [&mut item.post, &mut item.patch].into_iter().flatten() {
                if let Some(RefOr::T(body)) = &mut operation.request_body
                    && body.content.get("application/json").is_some_and(may_be_empty)
                {
                    body.required = Some(Required::False);
                }
            }
        }
    }
}

fn schema_name(content: &RefOr<Content>) -> Option<&str> {
    match content {
        RefOr::T(Content {
            schema: Some(RefOr::Ref(reference)),
            ..
        }) => reference.ref_location.rsplit('/').next(),
        _ => None,
    }
}

/// Pages refer to what they hold, where the derived schema describes it once more.
struct Pages;

impl Modify for Pages {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let schemas = &mut document.components.get_or_insert_default().schemas;
        for (name, schema) in schemas {
            if let (Some(held), RefOr::T(Schema::Object(page))) = (name.strip_prefix("Page_"), schema)
                && let Some(RefOr::T(Schema::Array(items))) = page.properties.get_mut("items")
            {
                items.items = Ref::from_schema_name(held).into();
            }
        }
    }
}

/// The document.
pub fn document() -> Value {
    json!(Api::openapi())
}

/// The document as `docs/openapi.json` has it.
pub fn text() -> String {
    format!("{:#}", document())
}

/// Tells this document.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "getApiDocument", tag = "Operations",
    responses(
        (status = 200, description = "The document (OpenAPI 3.1).", body = Object),
        StillTheSame,
    ),
)]
pub async fn get(request: HttpRequest) -> HttpResponse {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::new(&document()));
    DOCUMENT.respond(request.headers(), MAX_AGE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::{BTreeSet, HashSet};

    use super::*;
    use crate::http::routes::{ENDPOINTS, UNMATCHED};

    fn operations(document: &Value) -> impl Iterator<Item = (String, &str, &Value)> {
        let paths = document["paths"].as_object().unwrap().iter();
        paths.flat_map(|(path, item)| {
            let methods = item
                .as_object()
                .unwrap()
                .iter()
                .filter(|(method, _)| *method != "servers");
            methods.map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
        })
    }

    #[test]
    fn every_endpoint_is_described() {
        let document = document();
        let described: BTreeSet<_> = operations(&document)
            .map(|(method, path, _)| (method, path.to_owned()))
            .collect();
        let routed = ENDPOINTS.iter().enumerate().filter(|(number, _)| *number != UNMATCHED);
        let routed = routed.map(|(_, (method, path))| ((*method).to_owned(), (*path).to_owned()));
        assert_eq!(described, routed.collect());
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    }

    #[test]
    fn operations_have_names_of_their_own_and_descriptions() {
        let (document, mut names) = (document(), HashSet::new());
        for (method, path, operation) in operations(&document) {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            assert!(names.insert(name), "{method} {path}");
            assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{method} {path}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut looked_at = vec![&document];
        while let Some(value) = looked_at.pop() {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                assert!(
                    document.pointer(reference.trim_start_matches('#')).is_some(),
                    "{reference}"
                );
            }
            looked_at.extend(value.as_array().into_iter().flatten());
            looked_at.extend(value.as_object().into_iter().flat_map(|members| members.values()));
        }
    }
}
