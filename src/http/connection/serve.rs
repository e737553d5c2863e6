//! The server of a listener: sockets, connections, HTTP/1.1 and HTTP/2, the application.

use std::fmt::Debug;
use std::io;
use std::marker::PhantomData;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Request, Response};
use actix_service::boxed::{self, BoxService};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_factory};
use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{AppConfig, Server};
use actix_web::rt::net::TcpStream;
use futures_util::future::LocalBoxFuture;
use oauth2_actors::metrics::ByLabel;
use tokio::net::TcpSocket;
use tokio::sync::watch;

use super::pipeline::Pipeline;
use super::stream::Stream;
use super::tls::{self, ServerTls};
use super::watch::{Watch, Watched};
use super::{Closed, HEAD_DEADLINE, http2};

/// How long a connection that was told to end may take before it is closed.
const DISCONNECT_DEADLINE: Duration = Duration::from_secs(1);

/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// A future that is ready when the listener stops.
type Stopping = LocalBoxFuture<'static, ()>;

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
    /// The listener serves TLS with it; `None`: plain HTTP/1.1.
    pub tls: Option<Arc<ServerTls>>,
    /// Connections wait until it is true. Workers accept as soon as they run, and what they need may be started only then.
    pub answers: watch::Receiver<bool>,
}

/// An address that no other server listens on. Connections to it are refused until [`listen`], which fails if another was faster.
#[derive(Debug)]
pub struct Claimed(Vec<TcpSocket>);

impl Claimed {
    /// Claims every address that a host has.
    pub fn new(address: impl ToSocketAddrs) -> io::Result<Self> {
        let claim = |address: SocketAddr| -> io::Result<TcpSocket> {
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(socket)
        };
        // A host name may have an address of a family that this machine does not have.
        let (mut claimed, mut failure) = (Vec::new(), None);
        for address in address.to_socket_addrs()? {
            match claim(address) {
                Ok(socket) => claimed.push(socket),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if claimed.is_empty() => Err(error),
            _ => Ok(Self(claimed)),
        }
    }
}

/// Accepts connections; the server runs when it is spawned. `app` makes the application of each worker.
pub fn listen<F, I, S, B>(app: F, claimed: Claimed, limits: &Limits) -> io::Result<Server>
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
    let mut builder = Server::build()
        .workers(limits.workers)
        .max_concurrent_connections(limits.connections)
        .shutdown_timeout(limits.shutdown_seconds)
        .disable_signals();
    let (stopping, limits) = (builder.graceful_shutdown_signal(), limits.clone());
    let service = move || {
        let stopping = stopping.clone();
        ConnectionFactory {
            app: app().into_factory().map_err(|error| error.into().error_response()),
            body: PhantomData,
            stopping: Rc::new(move || {
                let stopping = stopping.clone();
                Box::pin(async move { stopping.notified().await })
            }),
            limits: limits.clone(),
        }
    };
    for socket in claimed.0 {
        builder = builder.listen("http", socket.listen(BACKLOG)?.into_std()?, service.clone())?;
    }
    Ok(builder.run())
}

/// Makes the [`Connections`] of a worker.
struct ConnectionFactory<A, B> {
    app: A,
    body: PhantomData<fn() -> B>,
    stopping: Rc<dyn Fn() -> Stopping>,
    limits: Limits,
}

impl<A, B> ServiceFactory<TcpStream> for ConnectionFactory<A, B>
where
    A: ServiceFactory<Request, Config = AppConfig>,
    A::Error: Into<Response<BoxBody>> + 'static,
    A::Response: Into<Response<B>> + 'static,
    A::InitError: Debug,
    A::Service: 'static,
    A::Future: 'static,
    <A::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ();
    type Error = DispatchError;
    type Config = ();
    type Service = Connections;
    type InitError = ();
    type Future = LocalBoxFuture<'static, Result<Connections, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let app = self.app.new_service(AppConfig::default());
        let (stopping, limits) = (Rc::clone(&self.stopping), self.limits.clone());
        Box::pin(async move {
            let failed = |error: A::InitError| tracing::error!(?error, "the application cannot be started");
            let app = Rc::new(app.await.map_err(failed)?);
            let (app_of_http1, stopping_of_http1) = (Rc::clone(&app), Rc::clone(&stopping));
            let http1 = HttpService::build()
                .graceful_shutdown_signal(move || stopping_of_http1())
                // The watch closes idle connections.
                .keep_alive(KeepAlive::Os)
                .client_request_timeout(HEAD_DEADLINE)
                .client_disconnect_timeout(DISCONNECT_DEADLINE)
                .on_connect_ext(|stream: &Stream, extensions| {
                    extensions.insert(stream.pipeline());
                    if let Some(certificate) = stream.client_certificate() {
                        extensions.insert(certificate);
                    }
                })
                .h1(fn_factory(move || {
                    let app = Rc::clone(&app_of_http1);
                    async move { Ok::<_, ()>(Beginning(app)) }
                }));
            let idle = limits.idle;
            Ok(Connections {
                http1: Rc::new(boxed::service(http1.new_service(()).await?)),
                http2: Rc::new(move |stream, peer, watch| {
                    let connection = http2::Connection {
                        stream,
                        peer,
                        watch,
                        idle,
                    };
                    Box::pin(connection.serve(Rc::clone(&app), stopping()))
                }),
                limits,
            })
        })
    }
}

/// The application; says when a request is passed to it.
struct Beginning<S>(Rc<S>);

impl<S: Service<Request>> Service<Request> for Beginning<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&self, request: Request) -> S::Future {
        if let Some(pipeline) = request.conn_data::<Rc<Pipeline>>() {
            pipeline.begins();
        }
        self.0.call(request)
    }
}

/// Whether the client closed the connection, as probes of a port do.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

type Http2 = dyn Fn(Stream, Option<SocketAddr>, Rc<Watch>) -> LocalBoxFuture<'static, Option<Closed>>;

/// Serves the connections of a worker, each with its watch.
struct Connections {
    http1: Rc<BoxService<(Stream, Option<SocketAddr>), (), DispatchError>>,
    http2: Rc<Http2>,
    limits: Limits,
}

impl Service<TcpStream> for Connections {
    type Response = ();
    type Error = DispatchError;
    type Future = Watched<LocalBoxFuture<'static, Result<(), DispatchError>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), DispatchError>> {
        self.http1.poll_ready(context)
    }

    fn call(&self, socket: TcpStream) -> Self::Future {
        let peer = socket.peer_addr().ok();
        let open = Watch::open(self.limits.idle, self.limits.connections);
        let (watch, mut limits) = (Rc::clone(&open.0), self.limits.clone());
        let (http1, http2) = (Rc::clone(&self.http1), Rc::clone(&self.http2));
        let connection = async move {
            // An error means that the server ends.
            let _ = limits.answers.wait_for(|answers| *answers).await;
            let socket = match tls::accept(socket, limits.tls.as_ref(), &watch).await {
                Ok(socket) => socket,
                Err(error) => {
                    if !is_gone(&error) {
                        limits.closed.of(Closed::Handshake).add(1);
                    }
                    return Ok(());
                }
            };
            let is_http2 = socket.is_http2();
            let stream = Stream::new(socket, Rc::clone(&watch));
            if is_http2 {
                if let Some(why) = http2(stream, peer, watch).await {
                    limits.closed.of(why).add(1);
                }
                Ok(())
            } else {
                http1.call((stream, peer)).await
            }
        };
        Watched::new(Box::pin(connection), open, Arc::clone(&self.limits.closed))
    }
}
