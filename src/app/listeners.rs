//! The two listeners.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{HttpServer, web};
use oauth2_actors::recorder::Recorders;

use crate::config::{Config, Listener};
use crate::failure::Failure;
use crate::http::{State, edge, routes};

/// How long the head of a request may take.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// How long an idle connection is kept: longer than load balancers keep theirs (60 s is usual), so that it is they who
/// close, and no request meets a connection that is just going.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Seconds that requests in flight have to finish after the listeners have closed.
const DRAIN_LIMIT: u64 = 4;

/// The listener for clients and verifiers.
pub(super) fn public(config: &Config, state: &web::Data<State>, recorders: &Arc<Recorders>) -> Result<Server, Failure> {
    let (state, recorders) = (state.clone(), Arc::clone(recorders));
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(state.clone())
            .app_data(web::Data::new(recorders.for_this_worker()))
            .wrap(from_fn(edge::edge))
            .configure(routes::public)
    });
    let server = server
        .workers(config.server.workers)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_DEADLINE)
        .shutdown_timeout(DRAIN_LIMIT);
    let bound = server.disable_signals().bind(address(&config.server.listener));
    Ok(bound
        .map_err(|error| bind_error("OAUTH2_SERVER_PORT", &config.server.listener, &error))?
        .run())
}

/// The listener for operators.
pub(super) fn management(
    config: &Config,
    state: &web::Data<State>,
    recorders: &Arc<Recorders>,
) -> Result<Server, Failure> {
    let (state, recorders) = (state.clone(), web::Data::from(Arc::clone(recorders)));
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(state.clone())
            .app_data(recorders.clone())
            .wrap(from_fn(edge::edge))
            .configure(routes::management)
    });
    let server = server
        .workers(1)
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
