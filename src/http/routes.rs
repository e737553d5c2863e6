//! Every URL on one screen.

use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Resource, ResponseError, Route, guard};

use super::admin::{audit, clients, import, issue, keys, tokens, usage};
use super::error::Failure;
use super::{admin, discovery, health, introspect, introspect_batch, metrics, openapi, revoke, token};

/// Which listener a URL is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// For clients and verifiers.
    Public,
    /// For operators.
    Management,
}

/// Method and path of every endpoint, as they are counted. The position is the endpoint's number.
pub const ENDPOINTS: &[(&str, &str)] = &[
    ("other", "unmatched"),
    ("POST", "/oauth/token"),
    ("POST", "/oauth/introspect"),
    ("POST", "/oauth/introspect/batch"),
    ("POST", "/oauth/revoke"),
    ("GET", "/.well-known/oauth-authorization-server"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/.well-known/paseto-keys.json"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/admin/v1/clients"),
    ("POST", "/admin/v1/clients"),
    ("POST", "/admin/v1/clients:import"),
    ("GET", "/admin/v1/clients:top"),
    ("GET", "/admin/v1/clients/{client_id}/usage"),
    ("GET", "/admin/v1/clients/{client_id}"),
    ("PATCH", "/admin/v1/clients/{client_id}"),
    ("DELETE", "/admin/v1/clients/{client_id}"),
    ("POST", "/admin/v1/clients/{client_id}/disable"),
    ("POST", "/admin/v1/clients/{client_id}/enable"),
    ("POST", "/admin/v1/clients/{client_id}/rotate-secret"),
    ("POST", "/admin/v1/clients/{client_id}/revoke-tokens"),
    ("GET", "/admin/v1/clients/{client_id}/tokens"),
    ("POST", "/admin/v1/tokens"),
    ("GET", "/admin/v1/tokens/{jti}"),
    ("POST", "/admin/v1/tokens/{jti}/revoke"),
    ("POST", "/admin/v1/tokens/revoke-all"),
    ("GET", "/admin/v1/audit"),
    ("GET", "/admin/v1/keys"),
    ("POST", "/admin/v1/keys/rotate"),
    ("POST", "/admin/v1/keys/{kid}/revoke"),
];

/// The number of what matches nothing.
pub const UNMATCHED: usize = 0;

/// The number of the endpoint that a request for this path is counted as: known ones only, so that no request makes a new series.
pub fn endpoint(method: &Method, path: &str) -> usize {
    let method = if *method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    ENDPOINTS
        .iter()
        .position(|(m, pattern)| *m == method && matches(pattern, path))
        .unwrap_or(UNMATCHED)
}

fn matches(pattern: &str, path: &str) -> bool {
    if !pattern.contains('{') {
        return pattern == path;
    }
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(w), Some(g)) if w == g || (w.starts_with('{') && !g.is_empty()) => {}
            _ => return false,
        }
    }
}

/// What both listeners answer.
fn common(config: &mut ServiceConfig) {
    config
        .service(get("/health", web::to(health::get_health)))
        .service(get("/ready", web::to(health::get_ready)));
}

/// The public listener.
pub fn public(config: &mut ServiceConfig) {
    config
        .service(post("/oauth/token", web::to(token::post)))
        .service(post("/oauth/introspect", web::to(introspect::post)))
        .service(post("/oauth/introspect/batch", web::to(introspect_batch::post)))
        .service(post("/oauth/revoke", web::to(revoke::post)))
        .service(get(
            "/.well-known/oauth-authorization-server",
            web::to(discovery::get_metadata),
        ))
        .route(
            "/.well-known/oauth-authorization-server/{issuer_path:.+}",
            web::to(discovery::get_metadata_by_path),
        )
        .service(get("/.well-known/jwks.json", web::to(discovery::get_jwks)))
        .service(get(
            "/.well-known/paseto-keys.json",
            web::to(discovery::get_paseto_keys),
        ))
        .configure(common)
        .default_service(web::to(not_found));
}

/// The management listener.
pub fn management(config: &mut ServiceConfig) {
    config
        .service(get("/metrics", web::to(metrics::get)))
        .service(get("/openapi.json", web::to(openapi::get)))
        .configure(common)
        .service(
            web::scope("/admin")
                .service(web::scope("/v1").configure(admin_v1).wrap(from_fn(admin::bearer)))
                .default_service(web::to(admin::not_found)),
        )
        .default_service(web::to(not_found));
}

/// The admin API: everything here is for operators only.
fn admin_v1(config: &mut ServiceConfig) {
    config
        .service(
            only("/clients", "GET, POST")
                .route(web::get().to(clients::list))
                .route(web::post().to(clients::create)),
        )
        .service(
            only("/clients/{client_id}", "GET, PATCH, DELETE")
                .route(web::get().to(clients::show))
                .route(web::patch().to(clients::update))
                .route(web::delete().to(clients::delete)),
        )
        .service(post("/clients:import", web::to(import::post)))
        .service(get("/clients:top", web::to(usage::top)))
        .service(get("/clients/{client_id}/usage", web::to(usage::show)))
        .service(post("/clients/{client_id}/disable", web::to(clients::disable)))
        .service(post("/clients/{client_id}/enable", web::to(clients::enable)))
        .service(post(
            "/clients/{client_id}/rotate-secret",
            web::to(clients::rotate_secret),
        ))
        .service(post(
            "/clients/{client_id}/revoke-tokens",
            web::to(tokens::revoke_of_client),
        ))
        .service(get("/clients/{client_id}/tokens", web::to(tokens::list)))
        .service(post("/tokens", web::to(issue::post)))
        .service(post("/tokens/revoke-all", web::to(tokens::revoke_all)))
        .service(get("/tokens/{jti}", web::to(tokens::show)))
        .service(post("/tokens/{jti}/revoke", web::to(tokens::revoke)))
        .service(get("/audit", web::to(audit::list)))
        .service(get("/keys", web::to(keys::list)))
        .service(post("/keys/rotate", web::to(keys::rotate)))
        .service(post("/keys/{kid}/revoke", web::to(keys::revoke)))
        .default_service(web::to(admin::not_found));
}

/// A URL that takes these methods and says so to any other.
fn only(path: &str, allowed: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move || async move {
        Failure::MethodNotAllowed(allowed).error_response()
    }))
}

fn post(path: &str, route: Route) -> Resource {
    only(path, "POST").route(route.guard(guard::Post()))
}

fn get(path: &str, route: Route) -> Resource {
    only(path, "GET, HEAD").route(route.guard(guard::Any(guard::Get()).or(guard::Head())))
}

async fn not_found() -> HttpResponse {
    Failure::NotFound.error_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_as_what_they_match() {
        let named = |method: Method, path| ENDPOINTS[endpoint(&method, path)].1;
        assert_eq!(named(Method::POST, "/oauth/token"), "/oauth/token");
        assert_eq!(named(Method::GET, "/oauth/token"), "unmatched");
        assert_eq!(named(Method::HEAD, "/health"), "/health");
        assert_eq!(
            named(Method::GET, "/admin/v1/clients/a%2Fb"),
            "/admin/v1/clients/{client_id}"
        );
        assert_eq!(
            named(Method::POST, "/admin/v1/tokens/revoke-all"),
            "/admin/v1/tokens/revoke-all"
        );
        assert_eq!(named(Method::GET, "/admin/v1/clients/"), "unmatched");
    }
}
