//! Telemetry over OTLP, as a real receiver gets it; and that a collector that fails costs requests and stops nothing.

use std::time::{Duration, Instant};

use oauth2_testkit::{Credentials, DedicatedServer, Kind, Setup};
use reqwest::StatusCode;
use serde_json::json;

use crate::{setup, start};

mod collector;

use collector::{Collector, Received, Span, StallingCollector};

on_both_stores!(
    trace_of_a_token_request_is_complete,
    callers_and_the_ratio_decide_what_is_traced,
    collector_that_fails_costs_no_request,
    nothing_is_exported_by_default,
    flood_of_errors_is_limited_in_the_log,
);

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// The process must stop within this time: the drain and 1.5 s for the last export.
const STOP_LIMIT: Duration = Duration::from_secs(6);

fn sampled() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

fn exporting(setup: Setup, collector: &str, protocol: &str) -> Setup {
    setup
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .with("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=canary-in-a-header")
        .with("OTEL_TRACES_SAMPLER_ARG", "0")
        .with("OTEL_METRIC_EXPORT_INTERVAL", "300")
        .with("OTEL_BSP_SCHEDULE_DELAY", "50")
        .with("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
}

async fn traced_token(server: &DedicatedServer, client: &Credentials, traceparent: &str) -> reqwest::Response {
    let request = server
        .http
        .post(server.url("/oauth/token?q=canary-in-a-query"))
        .header("authorization", client.basic())
        .header("traceparent", traceparent)
        .header("tracestate", "vendor=canary-in-a-tracestate")
        .header("x-request-id", "request-of-the-trace")
        .form(&[("grant_type", "client_credentials")]);
    request.send().await.unwrap()
}

/// Over gRPC on Postgres, over HTTP on `SQLite`.
async fn trace_of_a_token_request_is_complete(kind: Kind) {
    let (collector, protocol) = match kind {
        Kind::Sqlite => (Collector::http(), "http/protobuf"),
        Kind::Postgres => (Collector::grpc(), "grpc"),
    };
    let setup = exporting(setup(kind).await, &collector.url, protocol).with("OAUTH2_LOG_LEVEL", "debug");
    let mut server = DedicatedServer::start(setup).await;
    let client = server
        .register(json!({
            "scope": "read",
            "rate_limits": {"token": "100/s"},
            "quotas": {"hour": 1000},
        }))
        .await;
    // Exports before the collector is ready are dropped.
    collector
        .until(|received| !received.metrics.is_empty() && !received.logs.is_empty())
        .await;
    let response = traced_token(&server, &client, &sampled()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-request-id"], "request-of-the-trace");
    let token: serde_json::Value = response.json().await.unwrap();
    let token = token["access_token"].as_str().unwrap().to_owned();
    let wrong = Credentials::new(&*client.id, "canary-in-a-wrong-secret-0123456789abcdef");
    let rejected = traced_token(&server, &wrong, &sampled()).await;
    assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);

    let received = collector
        .until(|received| {
            received
                .spans
                .iter()
                .filter(|span| span.name == "POST /oauth/token")
                .count()
                == 2
                && received.spans.iter().any(|span| span.name == "commit tokens")
                && received.metrics.iter().any(|name| name == "oauth_token_issued")
                && received.logs.iter().filter(|log| !log.trace.is_empty()).count() >= 2
        })
        .await;
    let issued = the_trace(&received, &client.id);
    log_lines_name_the_trace(&received, issued);
    let issued = issued.id.clone();

    server.process.signal("TERM");
    assert_eq!(server.process.wait(STOP_LIMIT).await.code(), Some(0));
    let received = collector.received();
    assert!(
        received.logs.iter().any(|log| log.body == "stopped"),
        "what waits is exported at the end"
    );
    let log = server.process.stderr();
    let line = log
        .lines()
        .find(|line| line.contains("\"responded\"") && line.contains(&issued));
    let line: serde_json::Value = serde_json::from_str(line.expect("a line of the request")).unwrap();
    assert_eq!(
        (&line["request_id"], &line["trace_id"]),
        (&json!("request-of-the-trace"), &json!(TRACE))
    );
    let basic = client.basic();
    let secrets = [
        &*token,
        &*client.secret,
        basic.trim_start_matches("Basic "),
        "canary-in-a-query",
        "canary-in-a-header",
        "canary-in-a-tracestate",
        &*wrong.secret,
    ];
    for secret in secrets {
        assert!(!received.text.contains(secret), "exported: {secret}");
    }
}

/// The spans of the request that got a token; returns the id of its server span.
fn the_trace<'a>(received: &'a Received, client_id: &str) -> &'a Span {
    let in_trace = |name: &str| {
        received
            .spans
            .iter()
            .filter(move |span| span.name == name)
            .collect::<Vec<_>>()
    };
    let servers = in_trace("POST /oauth/token");
    let with_status = |status: &str| {
        let found = servers
            .iter()
            .find(|span| span.attribute("http.response.status_code") == Some(status));
        *found.unwrap_or_else(|| panic!("no span with status {status}: {servers:?}"))
    };
    let (issued, rejected) = (with_status("200"), with_status("401"));
    for span in [issued, rejected] {
        assert_eq!((&*span.trace, &*span.parent), (TRACE, PARENT), "the caller's trace");
        assert_eq!(span.attribute("http.route"), Some("/oauth/token"));
        assert_eq!(span.attribute("oauth2.request_id"), Some("request-of-the-trace"));
    }
    assert_eq!(rejected.attribute("error.type"), Some("invalid_client"));
    let child = |name: &str, parent: &Span| {
        let found = received
            .spans
            .iter()
            .find(|span| span.name == name && span.parent == parent.id && span.trace == TRACE);
        found.unwrap_or_else(|| panic!("no span {name:?} below {:?}: {:#?}", parent.name, received.spans))
    };
    assert_eq!(
        child("authenticate client", issued).attribute("oauth2.client_id"),
        Some(client_id)
    );
    assert_eq!(
        child("authenticate client", rejected).attribute("oauth2.client_id"),
        None,
        "an id that is not authenticated"
    );
    assert_eq!(
        child("check rate limit", issued).attribute("oauth2.decision"),
        Some("allowed")
    );
    assert_eq!(
        child("check quota", issued).attribute("oauth2.decision"),
        Some("allowed")
    );
    let (sign, wait) = (child("sign token", issued), child("wait for commit", issued));
    assert!(sign.start >= issued.start && sign.end <= issued.end);
    child("wait in mailbox", wait);
    let commit = received
        .spans
        .iter()
        .find(|span| span.name == "commit tokens" && span.links.contains(&wait.id))
        .expect("a commit with a link to the request");
    assert_ne!(commit.trace, TRACE, "a commit belongs to no single request");
    assert_eq!(commit.parent, "");
    assert!(wait.links.contains(&commit.id), "and back");
    assert!(commit.start >= wait.start && commit.end <= wait.end);
    issued
}

fn log_lines_name_the_trace(received: &Received, server: &Span) {
    let line = received
        .logs
        .iter()
        .find(|log| log.body == "responded" && log.trace == TRACE && log.span == server.id)
        .unwrap_or_else(|| panic!("no log record in the trace: {:?}", received.logs));
    assert!(line.text.contains("request-of-the-trace"), "{}", line.text);
}

async fn callers_and_the_ratio_decide_what_is_traced(kind: Kind) {
    let collector = Collector::http();
    let setup = exporting(setup(kind).await, &collector.url, "http/protobuf").with("OTEL_METRICS_EXPORTER", "none");
    let server = DedicatedServer::start(setup).await;
    let client = server.register(json!({"scope": "read"})).await;
    let not_sampled = format!("00-{TRACE}-{PARENT}-00");
    // A ratio of 0: without the caller's wish nothing is traced. Malformed headers are no wish.
    for header in [&*not_sampled, "", "00-0-0-01", "ff-xyz"] {
        assert_eq!(traced_token(&server, &client, header).await.status(), StatusCode::OK);
    }
    server.token(&client).await;
    assert_eq!(
        traced_token(&server, &client, &sampled()).await.status(),
        StatusCode::OK
    );
    let is_server = |span: &&Span| span.name.starts_with("POST ");
    let received = collector
        .until(|received| received.spans.iter().any(|span| is_server(&span)))
        .await;
    assert_eq!(
        received.spans.iter().filter(is_server).count(),
        1,
        "{:?}",
        received.spans
    );
    assert!(received.metrics.is_empty(), "OTEL_METRICS_EXPORTER=none");
}

/// One that is down, and one that accepts connections and never answers.
async fn collector_that_fails_costs_no_request(kind: Kind) {
    let stalling = StallingCollector::start();
    let down = format!("http://127.0.0.1:{}", oauth2_testkit::ports::free());
    for (url, protocol) in [
        (&stalling.url, "grpc"),
        (&stalling.url, "http/protobuf"),
        (&down, "grpc"),
    ] {
        let setup = exporting(setup(kind).await, url, protocol)
            .with("OTEL_TRACES_SAMPLER", "always_on")
            .with("OTEL_BSP_MAX_QUEUE_SIZE", "64")
            .with("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "32");
        let mut server = DedicatedServer::start(setup).await;
        let client = server.register(json!({"scope": "read"})).await;
        let started = Instant::now();
        for _ in 0..100 {
            server.token(&client).await;
        }
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "requests wait for the collector"
        );
        let dropped = server.metric("oauth2_server_spans_dropped_total", &[]).await;
        assert!(
            dropped.is_some_and(|dropped| dropped > 100.0),
            "dropped spans are counted: {dropped:?}"
        );
        server.process.signal("TERM");
        let status = server.process.wait(STOP_LIMIT).await;
        assert_eq!(status.code(), Some(0), "{protocol} to {url}");
    }
}

async fn nothing_is_exported_by_default(kind: Kind) {
    let collector = Collector::http();
    let off = exporting(setup(kind).await, &collector.url, "http/protobuf").with("OTEL_SDK_DISABLED", "true");
    for setup in [setup(kind).await.with("OTEL_UNKNOWN", "x"), off] {
        let server = DedicatedServer::start(setup).await;
        let client = server.register(json!({"scope": "read"})).await;
        assert_eq!(
            traced_token(&server, &client, &sampled()).await.status(),
            StatusCode::OK
        );
        let threads = std::fs::read_dir(format!("/proc/{}/task", server.process.id())).unwrap();
        for thread in threads {
            let name = std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap_or_default();
            assert!(
                !name.starts_with("telemetry") && !name.starts_with("OpenTelemetry"),
                "{name}"
            );
        }
    }
    assert!(collector.received().spans.is_empty());
}

/// The library that migrates a new store logs by the crate `log`.
#[tokio::test]
async fn lines_of_libraries_name_their_module() {
    let setup = setup(Kind::Sqlite)
        .await
        .with("OAUTH2_LOG_LEVEL", "info,refinery_core=info");
    let mut server = DedicatedServer::start(setup).await;
    let log = server.process.complete_log().await;
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let of_library = |line: &serde_json::Value| {
        line["target"]
            .as_str()
            .is_some_and(|target| target.starts_with("refinery_core"))
    };
    let lines: Vec<_> = lines.filter(of_library).collect();
    assert!(!lines.is_empty(), "{log}");
    for line in lines {
        let names = line.as_object().unwrap().keys();
        assert!(names.clone().all(|name| !name.starts_with("log.")), "{line}");
    }
}

/// Every request meets a fault that is logged as an error: the table of tokens is gone.
async fn flood_of_errors_is_limited_in_the_log(kind: Kind) {
    let mut server = start(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    server.setup.sql("ALTER TABLE tokens RENAME TO hidden_tokens").await;
    let started = Instant::now();
    for _ in 0..100 {
        assert!(server.request_token(&client, &[]).await.status().is_server_error());
    }
    let may_be_logged = 20 + started.elapsed().as_secs() as usize + 2;
    // Of the time itself: a line per second is allowed, and the next one says how many were left out.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(server.request_token(&client, &[]).await.status().is_server_error());
    let suppressed = server
        .metric("oauth2_server_log_lines_suppressed_total", &[])
        .await
        .unwrap();
    let log = server.process.complete_log().await;
    let lines: Vec<serde_json::Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let lines: Vec<_> = lines
        .iter()
        .filter(|line| line["message"] == "the store is unusable")
        .collect();
    assert!((20..=may_be_logged).contains(&lines.len()), "{} lines", lines.len());
    assert!(lines.iter().all(|line| line["request_id"].is_string()), "{lines:?}");
    assert_eq!(suppressed as usize, 101 - lines.len());
    let said: u64 = lines.iter().filter_map(|line| line["suppressed"].as_u64()).sum();
    assert_eq!(
        said as usize,
        101 - lines.len(),
        "each line that was left out is counted in a later one"
    );
}
