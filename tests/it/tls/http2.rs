//! HTTP/2 as no HTTP library speaks it: raw frames, short limits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{Ping, Reason};
use http::Request;
use oauth2_testkit::authority::Authority;
use oauth2_testkit::{DedicatedServer, Kind};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{PATIENCE, with_tls};

type Client = (SendRequest<Bytes>, Connection<TlsStream<TcpStream>, Bytes>);

/// A client that trusts an authority.
pub fn trusting(authority: &Authority) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A connection with TLS.
pub async fn connect(port: u16, config: &Arc<ClientConfig>) -> TlsStream<TcpStream> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::clone(config))
        .connect(name, socket)
        .await
        .unwrap()
}

async fn over_http2(port: u16, authority: &Authority) -> Client {
    let mut config = trusting(authority);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(port, &Arc::new(config)).await;
    h2::client::handshake(stream).await.unwrap()
}

fn get(server: &DedicatedServer, path: &str) -> Request<()> {
    Request::get(server.url(path)).body(()).unwrap()
}

fn post_token(server: &DedicatedServer, basic: &str) -> Request<()> {
    let request = Request::post(server.url("/oauth/token")).header("authorization", basic);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    request.body(()).unwrap()
}

/// A server with TLS that closes idle connections after a second.
async fn with_short_idle_time() -> (DedicatedServer, Authority) {
    let authority = Authority::new("tls tests");
    let setup = with_tls(Kind::Sqlite, &authority)
        .await
        .with("OAUTH2_SERVER_KEEP_ALIVE", "1");
    (DedicatedServer::start(setup).await, authority)
}

/// A PING is no request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_keep_no_connection_open() {
    let (server, authority) = with_short_idle_time().await;
    let (mut requests, mut connection) = over_http2(server.setup.public, &authority).await;
    let mut pings = connection.ping_pong().unwrap();
    let driver = tokio::spawn(connection);
    let (response, _) = requests.send_request(get(&server, "/health"), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    let pinging = async { while pings.ping(Ping::opaque()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, pinging)
        .await
        .expect("the connection ends");
    // `GOAWAY` ended it; it was not cut.
    driver.await.unwrap().expect("a graceful end");
    // As the connection of the client that waited for the start.
    let idle = [("listener", "public"), ("reason", "idle")];
    assert!(server.metric("oauth2_server_connections_closed_total", &idle).await >= Some(1.0));
}

/// Nothing after the handshake; the preface and settings; and the head of a request that does not end. None is a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_without_a_request_are_closed() {
    let (server, authority) = with_short_idle_time().await;
    let mut config = trusting(&authority);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    let settings = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    // HEADERS of one byte, `:method: GET`, on stream 1, without END_HEADERS.
    let head = [&settings[..], &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]].concat();
    for port in [server.setup.public, server.setup.management] {
        for sent in [&b""[..], &settings, &head] {
            let mut stream = connect(port, &config).await;
            stream.write_all(sent).await.unwrap();
            let mut received = Vec::new();
            // The server may end it without the alert of TLS.
            let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut received)).await;
            assert!(ended.is_ok(), "still open after {sent:?}");
        }
    }
}

/// A connection whose client sends the body of a request is not idle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_outlast_the_time_of_an_idle_connection() {
    let (server, authority) = with_short_idle_time().await;
    let client = server.register(json!({"scope": "read"})).await;
    let (mut requests, connection) = over_http2(server.setup.public, &authority).await;
    tokio::spawn(connection);
    let (response, mut body) = requests
        .send_request(post_token(&server, &client.basic()), false)
        .unwrap();
    for piece in ["grant_type", "=client", "_credentials"] {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        body.send_data(Bytes::from_static(piece.as_bytes()), false).unwrap();
    }
    body.send_data(Bytes::new(), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_flight_are_bounded() {
    let authority = Authority::new("tls tests");
    let server = DedicatedServer::start(with_tls(Kind::Sqlite, &authority).await).await;
    let (mut requests, mut connection) = over_http2(server.setup.public, &authority).await;
    let (response, _) = requests.send_request(get(&server, "/health"), true).unwrap();
    // The response comes after the settings of the server.
    let response = tokio::select! {
        response = response => response.unwrap(),
        ended = &mut connection => panic!("{ended:?}"),
    };
    assert_eq!(response.status(), 200);
    assert_eq!(connection.max_concurrent_send_streams(), 128);
}

/// Each is accepted, authenticated, and cancelled while the server waits for the body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_cancel_their_requests_are_disconnected() {
    let authority = Authority::new("tls tests");
    let server = DedicatedServer::start(with_tls(Kind::Sqlite, &authority).await).await;
    let client = server.register(json!({"scope": "read"})).await;
    let (mut requests, connection) = over_http2(server.setup.public, &authority).await;
    let driver = tokio::spawn(connection);
    for _ in 0..2000 {
        let Ok((_, mut body)) = requests.send_request(post_token(&server, &client.basic()), false) else {
            break;
        };
        tokio::time::sleep(Duration::from_millis(2)).await;
        body.send_reset(Reason::CANCEL);
    }
    assert!(
        tokio::time::timeout(PATIENCE, driver).await.is_ok(),
        "the connection is open"
    );
    let cancelled = [("listener", "public"), ("reason", "cancelled")];
    assert_eq!(
        server
            .metric("oauth2_server_connections_closed_total", &cancelled)
            .await,
        Some(1.0)
    );
    server.token(&client).await;
}
