//! HTTP/2 (RFC 9113) for the application, which is written for `actix-http`.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::error::PayloadError;
use actix_http::{BoxedPayloadStream, ConnectionType, HttpMessage, Payload, Request, Response};
use actix_service::Service;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, Version};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::BodyDataStream;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http2::Builder;
use hyper::{header, http};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;

use super::requests::{InFlight, Requests};
use super::stream::Stream;
use super::tls::ClientCertificate;
use super::watch::Watch;

/// Requests of a connection that may be in flight.
const MAX_REQUESTS: u32 = 128;

/// How long a connection takes new requests. Clients then open another one, which a load balancer may lead to another node.
const MAX_AGE: Duration = Duration::from_mins(15);

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

/// Serves a connection until it ends. Once `stopping` is ready it takes no new requests.
pub async fn serve<S, B>(
    stream: Stream,
    peer: Option<SocketAddr>,
    app: Rc<S>,
    watch: Rc<Watch>,
    stopping: impl Future<Output = ()>,
) where
    S: Service<Request> + 'static,
    S::Response: Into<Response<B>>,
    S::Error: Into<Response<BoxBody>>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    let service = Bridge {
        app,
        peer,
        has_certificate: stream.has_client_certificate(),
        requests: Requests::new(watch),
        closing: Rc::default(),
    };
    let closing = Rc::clone(&service.closing);
    let connection = Builder::new(OnThisThread)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_REQUESTS)
        .serve_connection(TokioIo::new(stream), Serve(Rc::new(service), PhantomData));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // The client broke the connection or the protocol; it knows.
        _ = connection.as_mut() => return,
        () = stopping => {}
        () = closing.notified() => {}
        () = tokio::time::sleep(MAX_AGE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// The application, and what it is given of the connection.
struct Bridge<S> {
    app: Rc<S>,
    peer: Option<SocketAddr>,
    has_certificate: bool,
    requests: Rc<Requests>,
    /// Notified by a response after which the application wants the connection closed.
    closing: Rc<Notify>,
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
        head.uri = parts.uri.to_string().parse().ok()?;
        head.peer_addr = self.peer;
        for (name, value) in &parts.headers {
            let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
            head.headers
                .append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
        if self.has_certificate {
            request.extensions_mut().insert(ClientCertificate);
        }
        Some(request)
    }
}

fn to_hyper(response: Response<BoxBody>, is_head: bool, in_flight: InFlight) -> http::Response<ResponseBody> {
    let (response, body) = response.into_parts();
    let size = body.size();
    let mut converted = http::Response::new(ResponseBody {
        // The response to HEAD has the header fields of the body, and no body.
        body: (!is_head).then_some(body),
        _in_flight: in_flight,
    });
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
    _in_flight: InFlight,
}

impl hyper::body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(body) = &mut self.get_mut().body else {
            return Poll::Ready(None);
        };
        let next = Pin::new(body).poll_next(context);
        next.map(|next| next.map(|data| data.map(Frame::data).map_err(|error| error.to_string().into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(|body| matches!(body.size(), BodySize::None | BodySize::Sized(0)))
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.as_ref().map(MessageBody::size) {
            Some(BodySize::Sized(length)) => SizeHint::with_exact(length),
            Some(BodySize::Stream) => SizeHint::default(),
            Some(BodySize::None) | None => SizeHint::with_exact(0),
        }
    }
}
