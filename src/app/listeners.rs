//! The two listeners.

use std::sync::Arc;

use actix_http::Request;
use actix_service::{Service, apply_fn_factory};
use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use tokio::sync::watch;

use super::composition::Composition;
use super::descriptors;
use super::tls::Certificates;
use crate::config::{Config, Listener};
use crate::failure::Failure;
use crate::http::client_certificates::{self, ClientCertificates};
use crate::http::connection::serve::{self, Claimed, Limits};
use crate::http::{compression, endpoint, hosts, middleware, prefix, routes};
use crate::service::ledger_access::{GroupCommit, LedgerAccess};

/// Seconds that requests in flight may take after the listeners have closed, on both at the same time.
const DRAIN_LIMIT: u64 = 4;

/// Takes the address of the listener for clients and verifiers.
pub(super) fn claim_public(config: &Config) -> Result<Claimed, Failure> {
    let listener = &config.server.listener;
    Claimed::new(address(listener)).map_err(|error| bind_error("OAUTH2_SERVER_PORT", listener, &error))
}

/// The listener for clients and verifiers. Its connections wait until `answers` is true.
pub(super) fn public(
    config: &Config,
    composition: &Composition,
    certificates: &Certificates,
    claimed: Claimed,
    answers: watch::Receiver<bool>,
) -> Result<Server, Failure> {
    let (handlers, token_stores) = (
        composition.handlers.clone(),
        Arc::clone(&composition.actors.token_stores),
    );
    let limits = Limits {
        workers: config.server.workers,
        // A listener at its limit accepts no more, so that descriptors are left for the management listener.
        connections: (descriptors::public_connections(config) / config.server.workers).max(1),
        idle: config.server.keep_alive,
        shutdown_seconds: DRAIN_LIMIT,
        closed: handlers.http_metrics().closed_connections(endpoint::Listener::Public),
        tls: certificates.public.as_ref().map(|served| Arc::clone(&served.tls)),
        answers,
    };
    let path_prefix = config.server.path_prefix.clone();
    let app = move || {
        let ledger = GroupCommit(token_stores.for_this_worker());
        let app = actix_web::App::new()
            .app_data(Data::new(ledger))
            .configure(|config| handlers.register(config))
            .wrap(from_fn(middleware::observe::<true>))
            .configure(routes::public);
        let path_prefix = path_prefix.clone();
        apply_fn_factory(app, move |mut request: Request, service| {
            if let Some(path_prefix) = &path_prefix {
                prefix::strip(&mut request, path_prefix);
            }
            service.call(request)
        })
    };
    serve::listen(app, claimed, &limits)
        .map_err(|error| bind_error("OAUTH2_SERVER_PORT", &config.server.listener, &error))
}

/// The listener for operators and monitoring.
pub(super) fn management(
    config: &Config,
    composition: &Composition,
    certificates: &Certificates,
) -> Result<Server, Failure> {
    let (handlers, token_stores) = (
        composition.handlers.clone(),
        Arc::clone(&composition.actors.token_stores),
    );
    let limits = Limits {
        workers: 1,
        connections: descriptors::MANAGEMENT_CONNECTIONS,
        idle: config.server.keep_alive,
        shutdown_seconds: DRAIN_LIMIT,
        closed: handlers
            .http_metrics()
            .closed_connections(endpoint::Listener::Management),
        tls: certificates.management.as_ref().map(|served| Arc::clone(&served.tls)),
        answers: watch::channel(true).1,
    };
    let asks = config.tls.asks_for_client_certificates();
    let client_certificates = ClientCertificates(limits.tls.clone().filter(|_| asks));
    let app = move || {
        // Bulk issuance shares the token stores of the workers of the public listener.
        let ledger = token_stores
            .handles()
            .next()
            .map(|handle| LedgerAccess::GroupCommit(GroupCommit(handle.clone())));
        actix_web::App::new()
            .app_data(Data::new(client_certificates.clone()))
            .configure(|config| {
                if let Some(ledger) = ledger {
                    config.app_data(Data::new(ledger));
                }
                handlers.register(config);
            })
            .wrap(from_fn(compression::compress))
            .wrap(from_fn(client_certificates::check))
            .wrap(from_fn(hosts::check))
            .wrap(from_fn(middleware::observe::<false>))
            .configure(routes::management)
    };
    Claimed::new(address(&config.management))
        .and_then(|claimed| serve::listen(app, claimed, &limits))
        .map_err(|error| bind_error("OAUTH2_MANAGEMENT_PORT", &config.management, &error))
}

fn address(listener: &Listener) -> (&str, u16) {
    (&listener.host, listener.port)
}

fn bind_error(key: &str, listener: &Listener, error: &std::io::Error) -> Failure {
    let address = listener.authority();
    Failure::Environment(format!(
        "cannot listen on {address}: {error}; free the port or set {key}"
    ))
}
