//! HTTP/2 (RFC 9113) for the application, which is written for `actix-http`.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_http::error::PayloadError;
use actix_http::{BoxedPayloadStream, ConnectionType, HttpMessage, Payload, Request, Response};
use actix_service::Service;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, Uri, Version, uri};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::BodyDataStream;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http2::Builder;
use hyper::{header, http};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;

use super::Closed;
use super::requests::{InFlight, Requests};
use super::socket::ClientCertificate;
use super::stream::Stream;
use super::watch::Watch;

/// Requests of a connection that may be in flight.
const MAX_REQUESTS: u32 = 128;

/// How long a connection takes new requests. Clients then open another one, which a load balancer may lead to another node.
const MAX_AGE: Duration = Duration::from_mins(15);

/// How long the requests in flight may take once the connection takes no new ones; the watch allows as much.
const GRACE: Duration = Duration::from_mins(1);

/// The headers of a request, bytes, as HTTP/2 counts them.
const MAX_HEADERS: u32 = 16 << 10;

/// Bytes of a body, and of all bodies of a connection, that a client may send before a handler reads them.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// The largest piece of a body that is handed over at once, bytes.
const PIECE: usize = 16 << 10;

/// Headers of HTTP/1.1 that describe a connection (RFC 9113 section 8.2.2).
const OF_CONNECTION: [header::HeaderName; 3] = [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE];

/// Runs the futures of `hyper` on the thread of the connection.
#[derive(Debug, Clone, Copy)]
struct OnThisThread;

impl<F: Future + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        actix_web::rt::spawn(async move {
            future.await;
        });
    }
}

/// A connection whose client has chosen HTTP/2.
pub struct Connection {
    /// Its bytes.
    pub stream: Stream,
    /// The address of its client.
    pub peer: Option<SocketAddr>,
    /// Its watch.
    pub watch: Rc<Watch>,
    /// How long it is kept without a request.
    pub idle: Duration,
}

impl Connection {
    /// Serves the connection until it ends; `Some`: the server has closed it. Once `stopping` is ready, it takes no new requests.
    pub async fn serve<S, B>(self, app: Rc<S>, stopping: impl Future<Output = ()>) -> Option<Closed>
    where
        S: Service<Request> + 'static,
        S::Response: Into<Response<B>>,
        S::Error: Into<Response<BoxBody>>,
        S::Future: 'static,
        B: MessageBody + 'static,
    {
        let requests = Requests::new(self.watch);
        let bridge = Rc::new(Bridge {
            app,
            peer: self.peer,
            certificate: self.stream.client_certificate(),
            requests: Rc::clone(&requests),
            closing: Notify::new(),
        });
        let connection = Builder::new(OnThisThread)
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_REQUESTS)
            .max_header_list_size(MAX_HEADERS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .serve_connection(TokioIo::new(self.stream), Serve(Rc::clone(&bridge), PhantomData));
        let mut connection = std::pin::pin!(connection);
        let closed = tokio::select! {
            // The client broke the connection or the protocol; it knows.
            _ = connection.as_mut() => return None,
            () = requests.too_many_cancelled() => return Some(Closed::Cancelled),
            () = requests.rest_for(self.idle) => Some(Closed::Idle),
            () = stopping => None,
            () = bridge.closing.notified() => None,
            () = tokio::time::sleep(MAX_AGE) => None,
        };
        connection.as_mut().graceful_shutdown();
        // The watch ends requests that take too long, but not a client that leaves the end of the connection unanswered.
        let _ = tokio::time::timeout(GRACE, connection).await;
        closed
    }
}

/// The application, and what it is given of the connection.
struct Bridge<S> {
    app: Rc<S>,
    peer: Option<SocketAddr>,
    certificate: Option<ClientCertificate>,
    requests: Rc<Requests>,
    /// Notified by a response after which the application wants the connection closed.
    closing: Notify,
}

/// The service that `hyper` calls.
struct Serve<S, B>(Rc<Bridge<S>>, PhantomData<fn() -> B>);

impl<S, B> hyper::service::Service<http::Request<Incoming>> for Serve<S, B>
where
    S: Service<Request> + 'static,
    S::Response: Into<Response<B>>,
    S::Error: Into<Response<BoxBody>>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = http::Response<ResponseBody>;
    type Error = Infallible;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let bridge = Rc::clone(&self.0);
        let in_flight = bridge.requests.begin();
        Box::pin(async move {
            let is_head = request.method() == http::Method::HEAD;
            let response = match bridge.request(request) {
                None => Response::with_body(StatusCode::BAD_REQUEST, BoxBody::new(())),
                Some(request) => match bridge.app.call(request).await {
                    Ok(response) => response.into().map_body(|_, body| body.boxed()),
                    Err(error) => error.into(),
                },
            };
            if response.head().connection_type() == ConnectionType::Close {
                bridge.closing.notify_one();
            }
            Ok(to_hyper(response, is_head, in_flight))
        })
    }
}

impl<S> Bridge<S> {
    /// The request as `actix-http` would have read it. `None`: it has something that `actix-http` cannot represent.
    fn request(&self, request: http::Request<Incoming>) -> Option<Request> {
        let (parts, body) = request.into_parts();
        let body = BodyDataStream::new(body).map_err(|error| PayloadError::Io(io::Error::other(error)));
        let body: BoxedPayloadStream = body.boxed_local();
        let mut request = Request::with_payload(Payload::from(body));
        let head = request.head_mut();
        head.version = Version::HTTP_2;
        head.method = Method::from_bytes(parts.method.as_str().as_bytes()).ok()?;
        head.uri = uri(&parts.uri)?;
        head.peer_addr = self.peer;
        for (name, value) in &parts.headers {
            let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
            head.headers
                .append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
        if let Some(certificate) = self.certificate {
            request.extensions_mut().insert(certificate);
        }
        Some(request)
    }
}

/// The target of a request, part by part: as one text, bytes could move between the parts.
fn uri(target: &http::Uri) -> Option<Uri> {
    let mut parts = uri::Parts::default();
    parts.authority = match target.authority() {
        Some(authority) => Some(authority.as_str().parse().ok()?),
        None => None,
    };
    parts.path_and_query = match target.path_and_query() {
        Some(path) => Some(path.as_str().parse().ok()?),
        None => None,
    };
    // An authority with a path needs a scheme.
    if parts.authority.is_some() && parts.path_and_query.is_some() {
        parts.scheme = target.scheme_str().and_then(|scheme| scheme.parse().ok());
    }
    Uri::from_parts(parts).ok()
}

fn to_hyper(response: Response<BoxBody>, is_head: bool, in_flight: InFlight) -> http::Response<ResponseBody> {
    let (response, body) = response.into_parts();
    let size = body.size();
    let mut converted = http::Response::new(ResponseBody {
        // The response to HEAD has the header fields of the body, and no body.
        body: (!is_head).then_some(body),
        rest: Bytes::new(),
        in_flight,
    });
    if converted.body().is_end_stream() {
        // It is asked for nothing.
        converted.body_mut().in_flight.is_answered();
    }
    *converted.status_mut() = http::StatusCode::from_u16(response.status().as_u16()).unwrap_or_default();
    for (name, value) in response.headers() {
        let name = http::HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_bytes(value.as_bytes()))
            && !OF_CONNECTION.contains(&name)
        {
            converted.headers_mut().append(name, value);
        }
    }
    if let (true, BodySize::Sized(length)) = (is_head, size) {
        converted.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    converted
}

/// The body of a response; its request is in flight until it was sent or is given up.
#[derive(Debug)]
struct ResponseBody {
    body: Option<BoxBody>,
    /// The rest of the last piece of the body.
    rest: Bytes,
    in_flight: InFlight,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        this.in_flight.is_answered();
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        if this.rest.is_empty() {
            match ready!(Pin::new(body).poll_next(context)) {
                Some(Ok(data)) => this.rest = data,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.to_string().into()))),
                None => return Poll::Ready(None),
            }
        }
        // `hyper` buffers a piece even if the client has no window for it, then asks for the next.
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let has_ended = |body: &BoxBody| matches!(body.size(), BodySize::None | BodySize::Sized(0));
        self.rest.is_empty() && self.body.as_ref().is_none_or(has_ended)
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.as_ref().map(MessageBody::size) {
            Some(BodySize::Sized(length)) => SizeHint::with_exact(length + self.rest.len() as u64),
            Some(BodySize::Stream) => SizeHint::default(),
            Some(BodySize::None) | None => SizeHint::with_exact(self.rest.len() as u64),
        }
    }
}
