//! The two listeners.

use std::time::Duration;

use actix_web::HttpServer;
use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::Data;

use std::sync::Arc;

use super::composition::Composition;
use super::descriptors;
use crate::config::{Config, Listener};
use crate::failure::Failure;
use crate::http::{middleware, routes};
use crate::service::ledger_access::{GroupCommit, LedgerAccess};

/// How long the head of a request may take.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// How long an idle connection is kept: longer than load balancers keep theirs (60 s is usual), so that they close it, and no
/// request is sent on a connection that the server is closing.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Seconds that requests in flight may take after the listeners have closed.
const DRAIN_LIMIT: u64 = 4;

/// The listener for clients and verifiers.
pub(super) fn public(config: &Config, composition: &Composition) -> Result<Server, Failure> {
    let (handlers, token_stores) = (
        composition.handlers.clone(),
        Arc::clone(&composition.actors.token_stores),
    );
    let server = HttpServer::new(move || {
        let ledger = GroupCommit(token_stores.for_this_worker());
        actix_web::App::new()
            .app_data(Data::new(ledger))
            .configure(|config| handlers.register(config))
            .wrap(from_fn(middleware::observe))
            .configure(routes::public)
    });
    let server = server
        .workers(config.server.workers)
        // Per worker. A listener at its limit accepts no more, so that descriptors are left for the management listener.
        .max_connections((descriptors::public_connections() / config.server.workers).max(1))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_DEADLINE)
        .shutdown_timeout(DRAIN_LIMIT);
    let bound = server.disable_signals().bind(address(&config.server.listener));
    Ok(bound
        .map_err(|error| bind_error("OAUTH2_SERVER_PORT", &config.server.listener, &error))?
        .run())
}

/// The listener for operators and monitoring.
pub(super) fn management(config: &Config, composition: &Composition) -> Result<Server, Failure> {
    let (handlers, token_stores) = (
        composition.handlers.clone(),
        Arc::clone(&composition.actors.token_stores),
    );
    let server = HttpServer::new(move || {
        // Bulk issuance shares the token stores of the workers of the public listener.
        let ledger = token_stores
            .mailboxes()
            .next()
            .map(|mailbox| LedgerAccess::GroupCommit(GroupCommit(mailbox.clone())));
        actix_web::App::new()
            .configure(|config| {
                if let Some(ledger) = ledger {
                    config.app_data(Data::new(ledger));
                }
                handlers.register(config);
            })
            .wrap(from_fn(middleware::observe))
            .configure(routes::management)
    });
    let server = server
        .workers(1)
        .max_connections(descriptors::MANAGEMENT_CONNECTIONS)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_DEADLINE)
        .shutdown_timeout(1);
    let bound = server.disable_signals().bind(address(&config.management));
    Ok(bound
        .map_err(|error| bind_error("OAUTH2_MANAGEMENT_PORT", &config.management, &error))?
        .run())
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
