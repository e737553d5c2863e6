//! The listeners, and the table of all endpoints.

use std::sync::LazyLock;

use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};

use super::cors::Cors;
use super::endpoint::{Endpoint, Group, Listener, Origins, Surface, Takes, route};
use super::error::Failure;
use super::extract::By;
use super::oauth::admission::Admission;
use super::wellknown::metadata::Metadata;
use super::{admin, admin_deadline, oauth, ops, wellknown};
use crate::service::operators::Operators;

/// Every endpoint. The position is the endpoint's number in metrics.
pub static ENDPOINTS: LazyLock<Vec<&'static Endpoint>> = LazyLock::new(|| {
    let surfaces = [oauth::ENDPOINTS, wellknown::ENDPOINTS, ops::ENDPOINTS, admin::ENDPOINTS];
    std::iter::once(&UNMATCHED)
        .chain(surfaces.into_iter().flatten())
        .collect()
});

/// Stands for every request that matches no endpoint.
static UNMATCHED: Endpoint = Endpoint {
    method: "other",
    path: "unmatched",
    listener: Listener::Both,
    surface: Surface::Api,
    origins: Origins::None,
    group: Group::Other,
    takes: Takes::Nothing,
};

/// The number of [`UNMATCHED`].
const UNMATCHED_NUMBER: usize = 0;

/// The number of the endpoint that a request to a listener is counted as. Only those that it serves, so that no request makes a series.
pub fn endpoint(listener: Listener, method: &Method, path: &str) -> usize {
    let method = if *method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    ENDPOINTS
        .iter()
        .position(|endpoint| {
            endpoint.method == method && endpoint.listener.includes(listener) && endpoint.matches(path)
        })
        .unwrap_or(UNMATCHED_NUMBER)
}

/// The public listener: for clients and verifiers.
pub fn public(config: &mut ServiceConfig) {
    oauth::configure(config, Listener::Public);
    wellknown::configure(config, Listener::Public);
    ops::configure(config, Listener::Public);
    for path in wellknown::metadata::PATHS_WITH_ISSUER {
        config.route(path, route("GET").to(wellknown::metadata::get_with_issuer_path));
    }
    config.default_service(web::to(unmatched_public));
}

/// Any other request to the public listener.
async fn unmatched_public(
    cors: Data<Cors>,
    metadata: Data<Metadata>,
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    let path = metadata.canonical_path(request.match_info().as_str());
    let preflight = served(path, Listener::Public).find_map(|endpoint| cors.preflight(endpoint, &request));
    preflight.ok_or_else(|| unmatched(path, Listener::Public))
}

/// The management listener: for operators and monitoring.
pub fn management(config: &mut ServiceConfig) {
    ops::configure(config, Listener::Management);
    config
        .service(
            web::scope("/admin")
                .service(
                    web::scope("/v1")
                        .configure(|config| admin::configure(config, Listener::Management))
                        .default_service(web::to(unmatched_admin))
                        // The last one is the outermost.
                        .wrap(from_fn(admin::reject_unknown_input))
                        .wrap(from_fn(admin::idempotency::once))
                        .wrap(from_fn(admin::authenticate)),
                )
                .default_service(web::to(unmatched_admin))
                .wrap(from_fn(admin::bound)),
        )
        .default_service(web::to(|request: HttpRequest| async move {
            Err::<HttpResponse, _>(unmatched(request.match_info().as_str(), Listener::Management))
        }));
}

/// Any other URL below `/admin`: the caller learns whether it exists only after it is authenticated.
async fn unmatched_admin(
    operators: Data<Operators>,
    admission: Data<Admission>,
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    let authenticated = request.extensions().contains::<By>();
    if !authenticated {
        admin::operator(&operators, &admission, &request, admin_deadline()).await?;
    }
    // The whole path, also inside a scope.
    Err(unmatched(request.match_info().as_str(), Listener::Management))
}

/// The endpoints at a path.
fn served(path: &str, listener: Listener) -> impl Iterator<Item = &'static Endpoint> {
    ENDPOINTS
        .iter()
        .copied()
        .filter(move |endpoint| endpoint.listener.includes(listener) && endpoint.matches(path))
}

/// 405 for a URL that takes other methods, else 404.
fn unmatched(path: &str, listener: Listener) -> Failure {
    let methods: Vec<&str> = served(path, listener)
        .flat_map(Endpoint::allowed_methods)
        .copied()
        .collect();
    if !methods.is_empty() {
        return Failure::MethodNotAllowed(methods.join(", "));
    }
    // One URL has one spelling: a redirect would lose the body of a POST, and caches would keep two copies.
    let without_slash = path.strip_suffix('/').filter(|path| !path.ends_with('/'));
    match without_slash.and_then(|path| served(path, listener).next()) {
        Some(endpoint) => Failure::SlashAtEnd(endpoint.path),
        None => Failure::NoSuchUrl,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_as_the_endpoint_they_match() {
        let public = |method: Method, path| ENDPOINTS[endpoint(Listener::Public, &method, path)].path;
        assert_eq!(public(Method::POST, "/oauth/token"), "/oauth/token");
        assert_eq!(public(Method::GET, "/oauth/token"), "unmatched");
        assert_eq!(public(Method::HEAD, "/health"), "/health");
        assert_eq!(public(Method::GET, "/admin/v1/clients"), "unmatched");
        let management = |method: Method, path| ENDPOINTS[endpoint(Listener::Management, &method, path)].path;
        assert_eq!(
            management(Method::GET, "/admin/v1/clients/a%2Fb"),
            "/admin/v1/clients/{client_id}"
        );
        assert_eq!(
            management(Method::POST, "/admin/v1/tokens:revoke-all"),
            "/admin/v1/tokens:revoke-all"
        );
        assert_eq!(management(Method::GET, "/admin/v1/clients/"), "unmatched");
        assert_eq!(management(Method::POST, "/oauth/token"), "unmatched");
    }

    #[test]
    fn no_endpoint_is_declared_twice() {
        for (index, one) in ENDPOINTS.iter().enumerate() {
            let same = |other: &&&Endpoint| (other.method, other.path) == (one.method, one.path);
            assert!(!ENDPOINTS[index + 1..].iter().any(|other| same(&other)), "{one:?}");
        }
    }
}
