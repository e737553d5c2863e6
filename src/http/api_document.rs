//! The `OpenAPI` 3.1 document of every endpoint.
//!
//! Each operation is described at its handler, by `#[utoipa::path]`. Here the surfaces are joined, and what many operations have in
//! common is added. The document is the same for every server; `docs/openapi.json` is a copy of it.

use serde_json::{Value, json};
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::server::{ServerBuilder, ServerVariableBuilder};
use utoipa::openapi::{Content, Object, Ref, RefOr, Required, Schema, Server, Type};
use utoipa::{Modify, OpenApi, openapi};

use super::admin::idempotency;
use super::endpoint::Listener;
use super::error_responses::{self, ErrorBody};
use super::routes::ENDPOINTS;
use super::{admin, oauth, ops, wellknown};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "oauth2_server",
        description = "An OAuth 2.0 authorization server for high-volume API token issuance.",
    ),
    components(schemas(ErrorBody)),
    tags(
        (name = "OAuth 2.0", description = "For clients and resource servers."),
        (name = "Discovery", description = "For clients and verifiers."),
        (name = "Operations", description = "For monitoring."),
        (name = "Clients", description = "For operators: registered clients."),
        (name = "Tokens", description = "For operators: records, issuance and revocation."),
        (name = "Keys", description = "For operators: signing keys."),
        (name = "Audit", description = "For operators: the audit log."),
    ),
)]
struct Frame;

/// The authentication schemes.
struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let scheme = |scheme, description| {
            SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(description)).build())
        };
        components.add_security_scheme(
            "client_secret_basic",
            scheme(
                HttpAuthScheme::Basic,
                "The client's id and secret, each form-encoded (RFC 6749 section 2.3.1). Alternatively, both are sent in the form, \
                 as `client_id` and `client_secret`.",
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

/// The error responses, and the headers with the state of a client's limits.
struct Errors;

impl Modify for Errors {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (name, response) in error_responses::all() {
            components.responses.insert(name.to_owned(), response.into());
        }
        for (path, item) in &mut document.paths.paths {
            let limited = path.starts_with("/oauth/").then_some(item.post.as_mut()).flatten();
            let response = limited.and_then(|operation| operation.responses.responses.get_mut("200"));
            if let Some(RefOr::T(response)) = response {
                for (name, meaning) in error_responses::RATE_LIMIT {
                    let header = error_responses::header(meaning);
                    response.headers.insert(name.to_owned(), header.into());
                }
            }
        }
    }
}

/// The listener of each path.
struct Servers;

impl Modify for Servers {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let (public, management) = (server(&PUBLIC), server(&MANAGEMENT));
        document.servers = Some(vec![public.clone(), management.clone()]);
        for (path, item) in &mut document.paths.paths {
            let endpoint = ENDPOINTS.iter().find(|endpoint| endpoint.path == path);
            item.servers = match endpoint.map(|endpoint| endpoint.listener) {
                Some(Listener::Public) => Some(vec![public.clone()]),
                Some(Listener::Management) => Some(vec![management.clone()]),
                // Every server of the document.
                Some(Listener::Both) | None => None,
            };
        }
    }
}

/// Variable, default and description of a server.
type ServerRow = (&'static str, &'static str, &'static str);

const PUBLIC: ServerRow = (
    "issuer",
    "http://localhost:8080",
    "The public listener, at the issuer's URL.",
);
const MANAGEMENT: ServerRow = ("management", "http://localhost:8081", "The management listener.");

fn server((name, default, description): &ServerRow) -> Server {
    let variable = ServerVariableBuilder::new().default_value(*default);
    ServerBuilder::new()
        .url(format!("{{{name}}}"))
        .description(Some(*description))
        .parameter(*name, variable)
        .build()
}

/// The body of an administrative request that may be `{}` is optional.
struct OptionalBodies;

impl Modify for OptionalBodies {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let schemas = &document.components.get_or_insert_default().schemas;
        let may_be_empty = |content| {
            let schema = schema_name(content).and_then(|name| schemas.get(name));
            matches!(schema, Some(RefOr::T(Schema::Object(object))) if object.required.is_empty())
        };
        for item in document.paths.paths.values_mut() {
            for operation in [&mut item.post, &mut item.put, &mut item.patch].into_iter().flatten() {
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

/// Requests of operators that can be repeated.
struct Repeatable;

impl Modify for Repeatable {
    fn modify(&self, document: &mut openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let is_repeatable = path.starts_with("/admin/") && !path.ends_with(":import");
            if let Some(operation) = item.post.as_mut().filter(|_| is_repeatable) {
                let key = ParameterBuilder::new()
                    .name(idempotency::HEADER)
                    .parameter_in(ParameterIn::Header)
                    .description(Some(
                        "Of requests with the same key one runs; the others get its response for a day.",
                    ))
                    .schema(Some(Object::with_type(Type::String)))
                    .build();
                operation.parameters.get_or_insert_default().push(key.into());
                // Errors caused by a key, or by the body that is read for it.
                for (status, name) in [
                    ("400", "BadRequest"),
                    ("408", "SlowBody"),
                    ("409", "Conflict"),
                    ("413", "TooLarge"),
                ] {
                    let documented = operation.responses.responses.entry(status.to_owned());
                    documented.or_insert_with(|| Ref::from_response_name(name).into());
                }
            }
        }
    }
}

/// Pages refer to the schema of their items; the derived schema repeats it.
struct Pages;

impl Modify for Pages {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let schemas = &mut document.components.get_or_insert_default().schemas;
        for (name, schema) in schemas {
            if let (Some(item), RefOr::T(Schema::Object(page))) = (name.strip_prefix("Page_"), schema)
                && let Some(RefOr::T(Schema::Array(items))) = page.properties.get_mut("items")
            {
                items.items = Ref::from_schema_name(item).into();
            }
        }
    }
}

/// The document.
pub fn document() -> Value {
    let mut document = Frame::openapi();
    for surface in [
        oauth::Api::openapi(),
        wellknown::Api::openapi(),
        ops::Api::openapi(),
        admin::Api::openapi(),
    ] {
        document.merge(surface);
    }
    let modifiers: [&dyn Modify; 6] = [&Security, &Errors, &Servers, &OptionalBodies, &Repeatable, &Pages];
    for modifier in modifiers {
        modifier.modify(&mut document);
    }
    json!(document)
}

/// The document as `docs/openapi.json` has it.
pub fn text() -> String {
    format!("{:#}", document())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::{BTreeSet, HashSet};

    use super::*;
    use crate::http::conditions::is_conditional;

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
        let routed = ENDPOINTS.iter().filter(|endpoint| endpoint.path.starts_with('/'));
        let routed = routed.map(|endpoint| (endpoint.method.to_owned(), endpoint.path.to_owned()));
        assert_eq!(described, routed.collect());
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    }

    #[test]
    fn admin_endpoints_take_what_the_document_describes() {
        let document = document();
        for endpoint in admin::ENDPOINTS {
            let (method, path) = (endpoint.method.to_lowercase(), endpoint.path);
            let operation = &document["paths"][path][&method];
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let has_condition = parameters.clone().any(|parameter| parameter["name"] == "If-Match");
            assert_eq!(is_conditional(endpoint), has_condition, "{method} {path}");
            let has_query = parameters
                .map(|parameter| &parameter["in"])
                .any(|place| place == "query");
            let has_body = operation["requestBody"].is_object();
            let taken = (endpoint.takes.query(), endpoint.takes.body());
            assert_eq!(taken, (has_query, has_body), "{method} {path}");
        }
    }

    #[test]
    fn operation_ids_are_unique_and_summaries_are_sentences() {
        let (document, mut names) = (document(), HashSet::new());
        for (method, path, operation) in operations(&document) {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            assert!(names.insert(name), "{method} {path}");
            assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{method} {path}");
        }
    }

    #[test]
    fn every_reference_resolves() {
        let document = document();
        let mut unvisited = vec![&document];
        while let Some(value) = unvisited.pop() {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                assert!(
                    document.pointer(reference.trim_start_matches('#')).is_some(),
                    "{reference}"
                );
            }
            unvisited.extend(value.as_array().into_iter().flatten());
            unvisited.extend(value.as_object().into_iter().flat_map(|members| members.values()));
        }
    }
}
