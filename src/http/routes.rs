//! The listeners, and the table of all endpoints.

use std::sync::LazyLock;

use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};

use super::endpoint::{Endpoint, Listener, Surface};
use super::error::Failure;
use super::extract::By;
use super::oauth::admission::Admission;
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
};

/// The number of [`UNMATCHED`].
const UNMATCHED_NUMBER: usize = 0;

/// The number of the endpoint that a request is counted as. Only known ones, so that no request makes a new series.
pub fn endpoint(method: &Method, path: &str) -> usize {
    let method = if *method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    ENDPOINTS
        .iter()
        .position(|endpoint| endpoint.method == method && endpoint.matches(path))
        .unwrap_or(UNMATCHED_NUMBER)
}

/// The public listener: for clients and verifiers.
pub fn public(config: &mut ServiceConfig) {
    oauth::configure(config, Listener::Public);
    wellknown::configure(config, Listener::Public);
    ops::configure(config, Listener::Public);
    config
        .route(
            wellknown::metadata::PATH_WITH_ISSUER,
            web::to(wellknown::metadata::get_with_issuer_path),
        )
        .route(
            wellknown::metadata::ISSUER_WITH_OPENID_PATH,
            web::to(wellknown::metadata::get_with_issuer_path),
        )
        .default_service(web::to(|request: HttpRequest| async move {
            Err::<HttpResponse, _>(unmatched(&request, Listener::Public))
        }));
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
                        .wrap(from_fn(admin::authenticate)),
                )
                .default_service(web::to(unmatched_admin)),
        )
        .default_service(web::to(|request: HttpRequest| async move {
            Err::<HttpResponse, _>(unmatched(&request, Listener::Management))
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
    Err(unmatched(&request, Listener::Management))
}

/// 405 for a URL that takes other methods, else 404.
fn unmatched(request: &HttpRequest, listener: Listener) -> Failure {
    // The whole path, also inside a scope.
    let path = request.match_info().as_str();
    let served = ENDPOINTS
        .iter()
        .filter(|endpoint| endpoint.listener.includes(listener) && endpoint.matches(path));
    let methods: Vec<&str> = served
        .flat_map(|endpoint| match endpoint.method {
            "GET" => &["GET", "HEAD"][..],
            _ => std::slice::from_ref(&endpoint.method),
        })
        .copied()
        .collect();
    if methods.is_empty() {
        Failure::NoSuchUrl
    } else {
        Failure::MethodNotAllowed(methods.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_as_the_endpoint_they_match() {
        let path = |method: Method, path| ENDPOINTS[endpoint(&method, path)].path;
        assert_eq!(path(Method::POST, "/oauth/token"), "/oauth/token");
        assert_eq!(path(Method::GET, "/oauth/token"), "unmatched");
        assert_eq!(path(Method::HEAD, "/health"), "/health");
        assert_eq!(
            path(Method::GET, "/admin/v1/clients/a%2Fb"),
            "/admin/v1/clients/{client_id}"
        );
        assert_eq!(
            path(Method::POST, "/admin/v1/tokens:revoke-all"),
            "/admin/v1/tokens:revoke-all"
        );
        assert_eq!(path(Method::GET, "/admin/v1/clients/"), "unmatched");
    }

    #[test]
    fn no_endpoint_is_declared_twice() {
        for (index, one) in ENDPOINTS.iter().enumerate() {
            let same = |other: &&&Endpoint| (other.method, other.path) == (one.method, one.path);
            assert!(!ENDPOINTS[index + 1..].iter().any(|other| same(&other)), "{one:?}");
        }
    }
}
