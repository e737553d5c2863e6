//! `TOKEN_URL` mode against this server, and servers that k6 does not trust.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oauth2_testkit::authority::Authority;
use oauth2_testkit::{Kind, ports, until};
use serde_json::json;

use super::harness::LoadtestHarness;
use crate::start;

/// A TLS server, stopped when dropped.
struct TlsServer(Child);

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_flood_of_wrong_secrets_may_be_limited_by_any_server() {
    let harness = LoadtestHarness::acquire().await;
    let server = start(Kind::Sqlite).await;
    let client = server.register(json!({"scope": "read"})).await;
    let token = server.url("/oauth/token");
    let output = harness.run(&[
        ("TOKEN_URL", &token),
        ("CLIENT_ID", &client.id),
        ("CLIENT_SECRET", &client.secret),
        ("SCENARIOS", "bad_secrets"),
        ("RATE", "60"),
        ("DURATION", "4s"),
    ]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let limited = server
        .metric("oauth2_server_reject_total", &[("reason", "auth_failures")])
        .await;
    assert!(limited > Some(0.0), "the flood was limited: {limited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untrusted_certificate_is_named() {
    let harness = LoadtestHarness::acquire().await;
    let issued = Authority::new("nobody trusts this").issue(&["127.0.0.1", "localhost"]);
    let (certificate, key) = (harness.path("certificate.pem"), harness.path("key.pem"));
    std::fs::write(&certificate, issued.certificate).unwrap();
    std::fs::write(&key, issued.key).unwrap();
    let port = ports::free();
    let server = Command::new("openssl")
        .args([
            "s_server",
            "-quiet",
            "-www",
            "-accept",
            &format!("127.0.0.1:{port}"),
            "-cert",
        ])
        .arg(certificate)
        .arg("-key")
        .arg(key)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _server = TlsServer(server.unwrap());
    until(Duration::from_secs(30), "openssl listens", async || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    })
    .await;
    let base = format!("https://127.0.0.1:{port}");
    let token = format!("{base}/token");
    let client = [("CLIENT_ID", "a"), ("CLIENT_SECRET", "of-no-server-0123456789")];
    for target in [("BASE_URL", &*base), ("TOKEN_URL", &*token)] {
        let more = [target, ("SCENARIOS", "client_credentials"), ("RESULTS_DIR", target.0)];
        let output = harness.run(&[&more[..], &client[..]].concat());
        assert_eq!(output.code, 3, "{}{}", output.stdout, output.stderr);
        assert!(
            output.stderr.contains("certificate is not trusted"),
            "{target:?}: {}",
            output.stderr
        );
    }
}
