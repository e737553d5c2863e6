//! A client certificate is accepted while it and its authority are valid, also on open connections and resumed sessions.

use std::sync::Arc;

use oauth2_testkit::authority::{Authority, IssuedCertificate};
use oauth2_testkit::{DedicatedServer, Kind, until};
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore};

use super::http2::{connect, trusting};
use super::{RELOADED, with_tls};

fn presenting(authority: &Authority, own: &IssuedCertificate) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap())
        .unwrap();
    let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap()
}

/// The kinds of the handshakes of two connections, the second of which may resume the session of the first.
async fn handshakes(port: u16, config: ClientConfig) -> [HandshakeKind; 2] {
    let config = Arc::new(config);
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(port, &config).await;
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        assert!(response.starts_with(b"HTTP/1.1 200 "));
        kinds.push(stream.get_ref().1.handshake_kind().unwrap());
    }
    [kinds[0], kinds[1]]
}

/// A resumed session would repeat a certificate that may have expired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_with_client_certificates_are_not_resumed() {
    let (authority, operators) = (Authority::new("servers"), Authority::new("operators"));
    let mut setup = with_tls(Kind::Sqlite, &authority).await;
    let trusted = setup.write("operators.pem", &operators.certificate);
    setup.set("OAUTH2_MANAGEMENT_TLS_CLIENT_CA_FILE", trusted.to_string_lossy());
    let server = DedicatedServer::start(setup).await;
    let full = HandshakeKind::Full;
    let public = handshakes(server.setup.public, trusting(&authority)).await;
    assert_eq!(public, [full, HandshakeKind::Resumed]);
    let ops = presenting(&authority, &operators.issue(&["ops"]));
    assert_eq!(handshakes(server.setup.management, ops).await, [full, full]);
}

/// Its connections are open, and stay so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_authority_is_no_longer_trusted() {
    let (authority, before, after) = (
        Authority::new("servers"),
        Authority::new("before"),
        Authority::new("after"),
    );
    let mut setup = with_tls(Kind::Sqlite, &authority).await;
    let trusted = setup.write("operators.pem", &before.certificate);
    setup.set("OAUTH2_MANAGEMENT_TLS_CLIENT_CA_FILE", trusted.to_string_lossy());
    let mut server = DedicatedServer::start(setup).await;
    for http1_only in [false, true] {
        server.setup.write("operators.pem", &before.certificate);
        server.setup.client_tls.http1_only = http1_only;
        server.setup.client_tls.present(&before.issue(&["ops"]));
        until(RELOADED, "the first authority is trusted", async || {
            server.reconnect();
            let answered = server.admin(Method::GET, "/clients").send().await;
            answered.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
        server.setup.write("operators.pem", &after.certificate);
        until(RELOADED, "the open connection is rejected", async || {
            let answered = server.admin(Method::GET, "/clients").send().await.unwrap();
            answered.status() == StatusCode::FORBIDDEN
        })
        .await;
        server.setup.client_tls.present(&after.issue(&["ops"]));
        server.reconnect();
        let allowed = server.admin(Method::GET, "/clients").send().await.unwrap();
        assert_eq!(allowed.status(), StatusCode::OK);
    }
}
