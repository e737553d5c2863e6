//! What operators rely on: health, readiness, metrics, limits, headers, logs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use oauth2_testkit::{Credentials, DedicatedServer, Kind, Process, Server, Setup, until};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::token::rejected;
use crate::{setup, start};

on_both_stores!(
    health_and_readiness_are_on_both_listeners,
    metrics_exist_from_the_start_and_pass_promtool,
    requests_and_tokens_are_counted,
    unexpected_requests_create_no_series,
    every_response_has_security_headers,
    slow_requests_time_out,
    stalled_log_reader_blocks_nothing,
    log_lines_that_cannot_be_written_are_counted,
    soft_limit_of_open_files_is_raised,
    logs_are_json_with_request_ids,
);

async fn health_and_readiness_are_on_both_listeners(kind: Kind) {
    let server = start(kind).await;
    for base in [server.url(""), server.management_url("")] {
        assert_eq!(server.get_json(format!("{base}/health")).await, json!({"status": "ok"}));
        let ready = server.get_json(format!("{base}/ready")).await;
        let checks =
            json!({"accepting": true, "store": true, "writes": true, "clock": true, "keys": true, "actors": true});
        assert_eq!(ready, json!({"status": "ready", "checks": checks}));
        for path in ["/health", "/ready"] {
            let head = server.http.head(format!("{base}{path}")).send().await.unwrap();
            assert_eq!(
                (head.status(), &head.headers()["cache-control"]),
                (StatusCode::OK, &"no-store".parse().unwrap())
            );
            let post = server.http.post(format!("{base}{path}")).send().await.unwrap();
            rejected(post, StatusCode::METHOD_NOT_ALLOWED, "invalid_request").await;
        }
    }
}

async fn metrics_exist_from_the_start_and_pass_promtool(kind: Kind) {
    let server = start(kind).await;
    let response = server.http.get(server.management_url("/metrics")).send().await.unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = response.text().await.unwrap();
    for series in [
        r#"oauth2_server_http_requests_total{method="POST",route="/oauth/token",status="5xx"} 0"#,
        r#"oauth2_server_http_request_duration_seconds_bucket{method="POST",route="/oauth/token",le="+Inf"} 0"#,
        r#"oauth2_server_oauth_token_issued_total{format="paseto",grant_type="client_credentials"} 0"#,
        r#"oauth2_server_oauth_token_revoked_total{kind="issuer"} 0"#,
        "oauth2_server_db_connections_active ",
        "oauth2_server_db_connections_max ",
        r#"oauth2_server_actor_restarts_total{actor="store_gateway"} 0"#,
        r#"oauth2_server_actor_restarts_total{actor="token_store"} 0"#,
        r#"oauth2_server_actor_mailbox_depth{actor="revocation_cache"} "#,
        r#"oauth2_server_actor_sheds_total{actor="rate_limiter",reason="full"} 0"#,
        r#"oauth2_server_actor_mailbox_wait_seconds_count{actor="metrics"} "#,
        "oauth2_server_token_commit_batch_size_count",
        "oauth2_server_token_commit_duration_seconds_count",
    ] {
        assert!(text.contains(series), "{series} is not there");
    }
    assert!(!text.contains("otel_scope"), "no label that says nothing");

    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: run `make setup`");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

async fn requests_and_tokens_are_counted(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let token = server.token(&client).await;
    server.is_active(&client, &token).await;
    server.is_active(&client, &token).await;
    server.revoke(&client, &token).await;
    server.request_token(&client, &[("scope", "other")]).await;
    for (name, labels, expected) in [
        ("oauth_token_issued_total", &[("format", "paseto")][..], 1.0),
        ("oauth_token_revoked_total", &[("kind", "token")], 1.0),
        ("oauth_introspections_total", &[("active", "true")], 2.0),
        ("verified_token_cache_total", &[("result", "issued")], 3.0),
        (
            "http_requests_total",
            &[("route", "/oauth/token"), ("status", "2xx")],
            1.0,
        ),
        (
            "http_requests_total",
            &[("route", "/oauth/token"), ("status", "4xx")],
            1.0,
        ),
        (
            "http_requests_total",
            &[("route", "/oauth/introspect"), ("method", "POST")],
            2.0,
        ),
        (
            "http_request_duration_seconds_count",
            &[("route", "/oauth/revoke")],
            1.0,
        ),
        (
            "reject_total",
            &[("endpoint", "token"), ("reason", "invalid_scope")],
            1.0,
        ),
        ("token_commit_batch_size_sum", &[], 1.0),
        ("token_commit_duration_seconds_count", &[], 1.0),
        ("shed_total", &[], 0.0),
    ] {
        let found = server.metric(&format!("oauth2_server_{name}"), labels).await;
        assert_eq!(found, Some(expected), "{name} {labels:?}");
    }
}

async fn unexpected_requests_create_no_series(kind: Kind) {
    let server = start(kind).await;
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    // First: a route of the admin API has its series from its first use.
    let client = server.register(json!({"scope": "read"})).await;
    let before = series(&server.metrics().await);
    for path in [
        "/",
        "/nothing",
        "/oauth/token/",
        "/oauth//token",
        "/OAUTH/TOKEN",
        "/%2e%2e/etc",
        "/metrics?x=1",
    ] {
        let response = server.http.get(server.url(path)).send().await.unwrap();
        rejected(response, StatusCode::NOT_FOUND, "not_found").await;
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let response = server
            .http
            .request(method, server.url("/oauth/token"))
            .send()
            .await
            .unwrap();
        rejected(response, StatusCode::METHOD_NOT_ALLOWED, "invalid_request").await;
    }
    let response = server
        .post(&client, "/oauth/%74oken", &[("grant_type", "client_credentials")])
        .await;
    assert_eq!(response.status(), StatusCode::OK);
    let text = server.metrics().await;
    assert_eq!(series(&text), before);
    let counted = [("route", "/oauth/token"), ("status", "2xx")];
    assert_eq!(
        server.metric("oauth2_server_http_requests_total", &counted).await,
        Some(1.0)
    );
    // `/metrics` is no route of this listener.
    let unmatched = [("route", "unmatched"), ("status", "4xx")];
    assert_eq!(
        server.metric("oauth2_server_http_requests_total", &unmatched).await,
        Some(13.0)
    );
}

async fn every_response_has_security_headers(kind: Kind) {
    let server = start(kind).await;
    for url in ["/health", "/nothing", "/.well-known/jwks.json"] {
        let response = server.http.get(server.url(url)).send().await.unwrap();
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"));
        assert_eq!(
            header("content-security-policy").as_deref(),
            Some("default-src 'none'; frame-ancestors 'none'")
        );
        assert_eq!(header("referrer-policy").as_deref(), Some("no-referrer"));
        assert_eq!(header("server"), None);
    }
    let with_id = async |id: &str| {
        let response = server
            .http
            .get(server.url("/health"))
            .header("x-request-id", id)
            .send()
            .await
            .unwrap();
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(with_id("abc-123").await, "abc-123");
    assert_ne!(
        with_id("a b").await,
        "a b",
        "an id that could confuse a log is replaced"
    );
    assert_ne!(with_id("").await, "");
}

/// Sends bytes and reads until the server closes.
fn raw(server: &Server, bytes: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", server.setup.public)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut response = String::new();
    stream
        .read_to_string(&mut response)
        .expect("the server closes the connection");
    response
}

async fn slow_requests_time_out(kind: Kind) {
    let server = start(kind).await;
    let began = Instant::now();
    let response = raw(&server, "POST /oauth/token HTTP/1.1\r\nHost: a\r\n");
    assert!(
        response.starts_with("HTTP/1.1 408 "),
        "a head that does not end: {response}"
    );
    let response = raw(
        &server,
        "POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\ngrant",
    );
    assert!(
        response.starts_with("HTTP/1.1 408 "),
        "a body that does not end: {response}"
    );
    // 5 s each.
    assert!(began.elapsed() < Duration::from_secs(20));
    let head = format!("GET /health HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let mut stream = TcpStream::connect(("127.0.0.1", server.setup.public)).unwrap();
    // The server may close before all of it is written.
    let _ = stream.write_all(head.as_bytes());
    let mut response = [0; 12];
    let read = stream.read(&mut response).unwrap_or(0);
    assert!(
        read == 0 || response.starts_with(b"HTTP/1.1 4"),
        "{:?}",
        String::from_utf8_lossy(&response)
    );
    assert_eq!(
        server.http.get(server.url("/health")).send().await.unwrap().status(),
        StatusCode::OK
    );
}

async fn logs_are_json_with_request_ids(kind: Kind) {
    let setup = crate::setup(kind)
        .await
        .with("OAUTH2_LOG_LEVEL", "info,oauth2_server=debug");
    let mut server = DedicatedServer::start(setup).await;
    let request = server
        .http
        .get(server.url("/nothing"))
        .header("x-request-id", "find-me");
    request.send().await.unwrap();
    server.request_token(&Credentials::new("nobody", "nothing"), &[]).await;
    let log = server.process.complete_log().await;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    assert!(log.contains("find-me"), "{log}");
    assert!(
        lines.iter().all(|line| line["level"] != "ERROR"),
        "what a caller does wrong is no error of ours: {log}"
    );
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["target"].is_string(), "{line}");
    }
}

/// A log collector that hangs stops reading a pipe, which then takes 64 KiB and no more: further lines wait, and are dropped in the end.
async fn stalled_log_reader_blocks_nothing(kind: Kind) {
    let setup = setup(kind).await.with("OAUTH2_LOG_FORMAT", "json");
    // A line per request, of which a few thousand may wait.
    let setup = setup.with("OAUTH2_LOG_LEVEL", "info,oauth2_server=debug");
    let pipe = setup.directory().join("stderr.log");
    Setup::fifo(&pipe);
    // Open for reading, never read.
    let _reader = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let mut server = DedicatedServer::start(setup).await;
    let client = server.register(json!({"client_id": "ci"})).await;
    let ask = async |_| {
        let asked = server.http.post(server.url("/oauth/token")).send();
        assert_eq!(asked.await.unwrap().status(), StatusCode::BAD_REQUEST);
    };
    let dropped = async || server.metric("oauth2_server_log_lines_dropped_total", &[]).await;
    let began = Instant::now();
    while dropped().await == Some(0.0) {
        stream::iter(0..1000).for_each_concurrent(16, ask).await;
        assert!(began.elapsed() < Duration::from_mins(1), "no line was dropped");
    }
    for round in 0..100 {
        let change = json!({"client_name": format!("{round} {}", "x".repeat(200))});
        let changed = server.admin(Method::PATCH, "/clients/ci").json(&change).send();
        assert_eq!(changed.await.unwrap().status(), StatusCode::OK, "{round}");
    }
    server.token(&client).await;
    server.process.signal("TERM");
    let status = server.process.wait(Duration::from_secs(20)).await;
    assert!(status.success(), "{status}");
}

/// A full disk takes no lines: they are counted, and nothing else fails.
async fn log_lines_that_cannot_be_written_are_counted(kind: Kind) {
    let setup = setup(kind).await.with("OAUTH2_LOG_FORMAT", "json");
    let mut command = setup.script(r#"exec "$0" 2>/dev/full"#);
    let process = Process::start(&mut command, &setup.directory().join("stderr.log"));
    let server = DedicatedServer::from_process(setup, process).await;
    let dropped = async || {
        server
            .metric("oauth2_server_log_lines_dropped_total", &[])
            .await
            .unwrap()
    };
    let before = dropped().await;
    for _ in 0..20 {
        // Its audit row is a line.
        server.register(json!({"scope": "read"})).await;
    }
    until(Duration::from_secs(20), "the lines are counted", async || {
        dropped().await >= before + 20.0
    })
    .await;
}

/// The limit that service managers set by default is a small soft one.
async fn soft_limit_of_open_files_is_raised(kind: Kind) {
    let setup = setup(kind).await;
    let mut command = setup.script(r#"ulimit -Sn 200; exec "$0""#);
    let process = Process::start(&mut command, &setup.directory().join("stderr.log"));
    let server = DedicatedServer::from_process(setup, process).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.process.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let fields: Vec<_> = line.split_whitespace().collect();
    assert_eq!(fields[3], fields[4], "{line}");
}
