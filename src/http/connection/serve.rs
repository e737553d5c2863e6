//! The server of a listener: sockets, connections, HTTP/1.1, the application.

use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::{HttpService, KeepAlive, Request, Response};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, map_config};
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server};
use actix_web::rt::net::TcpStream;
use oauth2_actors::metrics::ByLabel;

use super::stream::Stream;
use super::watch::{Watch, Watched};
use super::{Closed, HEAD_DEADLINE};

/// How long a connection that was told to end may take before it is closed.
const DISCONNECT_DEADLINE: Duration = Duration::from_secs(1);

/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// How connections of a listener are served.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Worker threads.
    pub workers: usize,
    /// Connections of a worker.
    pub connections: usize,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// Seconds that requests in flight may take when the server stops.
    pub shutdown_seconds: u64,
    /// Counts connections that were closed by a deadline.
    pub closed: Arc<ByLabel<Closed>>,
}

/// Binds a listener; the server runs when it is spawned. `app` makes the application of each worker.
pub fn bind<F, I, S, B>(app: F, address: impl ToSocketAddrs, limits: &Limits) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let builder = Server::build()
        .workers(limits.workers)
        .max_concurrent_connections(limits.connections)
        .backlog(BACKLOG)
        .shutdown_timeout(limits.shutdown_seconds)
        .disable_signals();
    let (stopping, limits) = (builder.graceful_shutdown_signal(), limits.clone());
    let service = move || {
        let stopping = stopping.clone();
        let app = app().into_factory().map_err(|error| error.into().error_response());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            // The watch closes idle connections.
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(HEAD_DEADLINE)
            .client_disconnect_timeout(DISCONNECT_DEADLINE)
            .h1(map_config(app, |()| AppConfig::default()));
        WatchedFactory {
            http,
            limits: limits.clone(),
        }
    };
    Ok(builder.bind("http", address, service)?.run())
}

/// Makes the [`WatchedService`] of a worker.
#[derive(Debug)]
struct WatchedFactory<H> {
    http: H,
    limits: Limits,
}

impl<H> ServiceFactory<TcpStream> for WatchedFactory<H>
where
    H: ServiceFactory<(Stream, Option<SocketAddr>), Config = (), Response = ()>,
    H::Future: 'static,
{
    type Response = ();
    type Error = H::Error;
    type Config = ();
    type Service = WatchedService<H::Service>;
    type InitError = H::InitError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Service, Self::InitError>>>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let (http, limits) = (self.http.new_service(()), self.limits.clone());
        Box::pin(async move {
            Ok(WatchedService {
                http: http.await?,
                limits,
            })
        })
    }
}

/// Serves HTTP on watched connections.
#[derive(Debug)]
struct WatchedService<H> {
    http: H,
    limits: Limits,
}

impl<H> Service<TcpStream> for WatchedService<H>
where
    H: Service<(Stream, Option<SocketAddr>), Response = ()>,
{
    type Response = ();
    type Error = H::Error;
    type Future = Watched<H::Future>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.http.poll_ready(context)
    }

    fn call(&self, socket: TcpStream) -> Self::Future {
        let peer = socket.peer_addr().ok();
        let open = Watch::open(self.limits.idle, self.limits.connections);
        let stream = Stream::new(socket, open.0.clone());
        Watched::new(self.http.call((stream, peer)), open, Arc::clone(&self.limits.closed))
    }
}
