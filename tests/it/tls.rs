//! Native TLS of both listeners: HTTP/1.1 and HTTP/2, renewed certificates, client certificates.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use oauth2_testkit::authority::Authority;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{DedicatedServer, Kind, Setup, until};
use reqwest::{Method, StatusCode, Version};
use serde_json::json;

use crate::cli::rejected;
use crate::setup;

pub(crate) mod http2;
mod sessions;

on_both_stores!(
    requests_are_served_over_both_protocols,
    changed_certificate_is_served_without_a_restart,
);

/// Twice the 10 s within which changed files are used.
const RELOADED: Duration = Duration::from_secs(20);

const PATIENCE: Duration = Duration::from_secs(30);

async fn with_tls(kind: Kind, authority: &Authority) -> Setup {
    let mut setup = setup(kind).await;
    setup.serve_tls(authority);
    setup
}

async fn requests_are_served_over_both_protocols(kind: Kind) {
    let authority = Authority::new("tls tests");
    let mut server = DedicatedServer::start(with_tls(kind, &authority).await).await;
    for (http1_only, version) in [(false, Version::HTTP_2), (true, Version::HTTP_11)] {
        server.setup.client_tls.http1_only = http1_only;
        server.reconnect();
        let client = server.register(json!({"scope": "read write"})).await;
        let response = server.request_token(&client, &[("scope", "read")]).await;
        assert_eq!((response.status(), response.version()), (StatusCode::OK, version));
        assert_eq!(response.headers()["cache-control"], "no-store");
        let body = body_of(response).await;
        let token = body["access_token"].as_str().unwrap();
        let claims = server.introspect(&client, token).await;
        assert_eq!(claims["iss"], server.issuer(), "the issuer follows the scheme");
        server.revoke(&client, token).await;
        assert!(!server.is_active(&client, token).await);

        let wrong = server
            .post(&client, "/oauth/token", &[("grant_type", "password")])
            .await;
        assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
        assert_eq!(body_of(wrong).await["error"], "unsupported_grant_type");
        let head = server.http.head(server.url("/health")).send().await.unwrap();
        assert_eq!(head.status(), StatusCode::OK);
        assert!(head.text().await.unwrap().is_empty());
        let listed = server.admin(Method::GET, "/clients").send().await.unwrap();
        assert_eq!((listed.status(), listed.version()), (StatusCode::OK, version));
    }
    let ready = server.setup.run(&["healthcheck"]);
    assert_eq!(ready.code, 0, "{}", ready.stderr);
    let doctor = server.setup.run(&["doctor"]);
    assert!(
        doctor.stdout.contains("management certificate") && doctor.stdout.contains("expires in"),
        "{}",
        doctor.stdout
    );

    // A plain request gets no answer, and costs a connection only.
    let mut plain = TcpStream::connect(("127.0.0.1", server.setup.public)).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    let closed = "oauth2_server_connections_closed_total";
    let handshakes = [("listener", "public"), ("reason", "handshake")];
    assert_eq!(server.metric(closed, &handshakes).await, Some(1.0));
}

/// Many requests on one connection, and a request that does not end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_multiplexes_and_bounds_requests() {
    let authority = Authority::new("tls tests");
    let server = DedicatedServer::start(with_tls(Kind::Sqlite, &authority).await).await;
    let client = server.register(json!({"scope": "read"})).await;
    let requests = (0..400).map(|_| server.token(&client));
    let tokens = futures_util::future::join_all(requests).await;

    let endless = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok::<_, std::io::Error>("a"), ()))
    });
    let request = server.http.post(server.url("/oauth/token"));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let slow = request.body(reqwest::Body::wrap_stream(endless)).send().await.unwrap();
    assert_eq!(slow.status(), StatusCode::REQUEST_TIMEOUT);
    let request = server.http.post(server.url("/oauth/token"));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let large = request.body(vec![b'a'; 1 << 20]);
    assert_eq!(large.send().await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    // Other requests of the connection went on.
    assert!(server.is_active(&client, &tokens[0]).await);
}

/// The connection takes no new requests, and a client opens another one: nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_connections_end_with_the_server() {
    let authority = Authority::new("tls tests");
    let setup = with_tls(Kind::Sqlite, &authority)
        .await
        .with("OAUTH2_SERVER_DRAIN_DELAY", "1");
    let mut server = DedicatedServer::start(setup).await;
    let client = server.register(json!({"scope": "read"})).await;
    server.token(&client).await;
    server.process.signal("TERM");
    let signalled = Instant::now();
    let mut issued = 0;
    loop {
        let request = server
            .http
            .post(server.url("/oauth/token"))
            .header("authorization", client.basic());
        match request.form(&[("grant_type", "client_credentials")]).send().await {
            Ok(response) => {
                assert_eq!(response.status(), StatusCode::OK);
                issued += 1;
            }
            Err(error) => {
                assert!(error.is_connect(), "a request was lost: {error:?}");
                break;
            }
        }
    }
    assert!(issued > 0);
    assert_eq!(server.process.wait(PATIENCE).await.code(), Some(0));
    // A second of delay, and four for requests in flight: there were none.
    let took = signalled.elapsed();
    assert!(took < Duration::from_secs(5), "a connection was cut after {took:?}");
}

async fn changed_certificate_is_served_without_a_restart(kind: Kind) {
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let mut server = DedicatedServer::start(with_tls(kind, &before).await).await;
    let client = server.register(json!({"scope": "read"})).await;
    let kept = server.http.clone();
    let current = [("listener", "public")];
    assert_eq!(
        server.metric("oauth2_server_tls_files_current", &current).await,
        Some(1.0)
    );

    // Files that cannot be used are reported, and change nothing.
    let renewed = after.issue(&["127.0.0.1"]);
    server.setup.write("tls.crt", &renewed.certificate);
    until(RELOADED, "the mismatch is noticed", async || {
        server.metric("oauth2_server_tls_files_current", &current).await == Some(0.0)
    })
    .await;
    server.reconnect();
    server.token(&client).await;
    let log = server.process.stderr();
    assert!(
        log.contains("changed TLS files are not used") && log.contains("tls.key"),
        "{log}"
    );
    let doctor = server.setup.run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);

    // Nor is an expired certificate.
    server.setup.write_certificate(&after.issue_expired(&["127.0.0.1"]));
    let expired = "the certificate in the TLS files has expired";
    until(RELOADED, "the expiry is noticed", async || {
        server.process.stderr().contains(expired)
    })
    .await;
    server.reconnect();
    server.token(&client).await;

    server.setup.write_certificate(&renewed);
    server.setup.client_tls.authority = Some(after.certificate.clone());
    until(RELOADED, "the new certificate is served", async || {
        server.reconnect();
        server.http.get(server.url("/health")).send().await.is_ok()
    })
    .await;
    server.token(&client).await;
    assert_eq!(
        server.metric("oauth2_server_tls_files_current", &current).await,
        Some(1.0)
    );
    let not_after = server
        .metric("oauth2_server_tls_certificate_expiry_timestamp_seconds", &current)
        .await;
    assert_eq!(not_after, Some(4_102_444_800.0));
    // A connection from before goes on.
    assert_eq!(
        kept.get(server.url("/health")).send().await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn management_asks_for_client_certificates() {
    let (authority, operators) = (Authority::new("servers"), Authority::new("operators"));
    let mut setup = with_tls(Kind::Sqlite, &authority).await;
    let trusted = setup.write("operators.pem", &operators.certificate);
    setup.set("OAUTH2_MANAGEMENT_TLS_CLIENT_CA_FILE", trusted.to_string_lossy());
    let mut server = DedicatedServer::start(setup).await;
    for http1_only in [false, true] {
        server.setup.client_tls.http1_only = http1_only;
        server.setup.client_tls.identity = None;
        server.reconnect();
        for path in ["/metrics", "/admin/v1/clients", "/nothing"] {
            let url = server.management_url(path);
            let rejected = server
                .http
                .get(url)
                .bearer_auth(server.admin_token())
                .send()
                .await
                .unwrap();
            assert_eq!(rejected.status(), StatusCode::FORBIDDEN, "{path}");
            assert_eq!(body_of(rejected).await["error"], "access_denied");
        }
        let probe = server.http.get(server.management_url("/ready")).send().await.unwrap();
        assert_eq!(probe.status(), StatusCode::OK, "probes have no certificate");

        server.setup.client_tls.present(&operators.issue(&["ops"]));
        server.reconnect();
        let allowed = server.admin(Method::GET, "/clients").send().await.unwrap();
        assert_eq!(allowed.status(), StatusCode::OK);
        // The certificate takes the place of no token.
        let url = server.management_url("/admin/v1/clients");
        assert_eq!(
            server.http.get(url).send().await.unwrap().status(),
            StatusCode::UNAUTHORIZED
        );

        server.setup.client_tls.present(&authority.issue(&["ops"]));
        server.reconnect();
        assert!(
            server.admin(Method::GET, "/clients").send().await.is_err(),
            "another authority"
        );
        server.setup.client_tls.present(&operators.issue_expired(&["ops"]));
        server.reconnect();
        assert!(server.admin(Method::GET, "/clients").send().await.is_err(), "expired");
    }
    assert_eq!(server.setup.run(&["healthcheck"]).code, 0);
}

/// Clients reject it, so it is said at the start and by `config check`; the listener follows its file all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_certificate_is_named_at_the_start() {
    let authority = Authority::new("tls tests");
    let setup = with_tls(Kind::Sqlite, &authority).await;
    setup.write_certificate(&authority.issue_expired(&["127.0.0.1"]));
    let checked = setup.run(&["config", "check"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(
        checked.stderr.contains("tls.crt holds a certificate that has expired"),
        "{}",
        checked.stderr
    );
    rejected(&setup.run(&["config", "check", "--strict"]), 2, &["tls.crt", "expired"]);
    let process = setup.spawn();
    until(RELOADED, "the expiry is logged", async || {
        let log = process.stderr();
        log.contains("the certificate has expired") && log.contains("tls.crt")
    })
    .await;
}

type Change<'a> = &'a dyn Fn(&mut Setup);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusable_files_are_rejected_at_the_start() {
    let authority = Authority::new("tls tests");
    let good = with_tls(Kind::Sqlite, &authority).await;
    let other = authority.issue(&["other"]);
    let cases: [(&str, Change<'_>, i32, &str); 7] = [
        (
            "a certificate without a key",
            &|setup| setup.unset("OAUTH2_SERVER_TLS_KEY_FILE"),
            2,
            "needs OAUTH2_SERVER_TLS_KEY_FILE",
        ),
        (
            "a key without a certificate",
            &|setup| setup.unset("OAUTH2_MANAGEMENT_TLS_CERTIFICATE_FILE"),
            2,
            "needs OAUTH2_MANAGEMENT_TLS_CERTIFICATE_FILE",
        ),
        (
            "authorities without TLS",
            &|setup| {
                setup.unset("OAUTH2_MANAGEMENT_TLS_CERTIFICATE_FILE");
                setup.unset("OAUTH2_MANAGEMENT_TLS_KEY_FILE");
                setup.set("OAUTH2_MANAGEMENT_TLS_CLIENT_CA_FILE", "ca.pem");
            },
            2,
            "needs OAUTH2_MANAGEMENT_TLS_CERTIFICATE_FILE: only a listener with TLS",
        ),
        (
            "a missing file",
            &|setup| setup.set("OAUTH2_SERVER_TLS_KEY_FILE", "missing.key"),
            3,
            "missing.key cannot be read",
        ),
        (
            "no PEM",
            &|setup| {
                setup.write("empty.crt", "nothing\n");
                setup.set("OAUTH2_SERVER_TLS_CERTIFICATE_FILE", "empty.crt");
            },
            3,
            "empty.crt holds no certificate in PEM",
        ),
        (
            "the key of another certificate",
            &|setup| {
                setup.write("other.key", &other.key);
                setup.set("OAUTH2_SERVER_TLS_KEY_FILE", "other.key");
            },
            3,
            "cannot be used with the private key",
        ),
        (
            "a certificate in place of the key",
            &|setup| setup.set("OAUTH2_SERVER_TLS_KEY_FILE", "tls.crt"),
            3,
            "holds no unencrypted private key in PEM",
        ),
    ];
    for (case, change, code, sentence) in cases {
        let mut setup = good.clone();
        change(&mut setup);
        let output = setup.run(&["serve"]);
        assert_eq!(output.code, code, "{case}: {}", output.stderr);
        assert!(output.stderr.contains(sentence), "{case}: {}", output.stderr);
    }
}
