//! The contract of `/metrics`: which series there are, that requests add none, and that the page and the server agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oauth2_testkit::{DedicatedServer, Kind, Server, Setup, until};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{BINARY, setup, start};

mod page;

on_both_stores!(
    idle_server_is_within_the_budget,
    fuzzed_requests_stay_within_the_budget,
    names_and_labels_are_the_documented_ones,
    reasons_are_counted_by_group,
    signing_time_and_shares_are_counted,
    used_up_quota_and_audit_backlog_are_visible,
    process_figures_are_those_of_the_process,
);

/// Series and bytes that an idle server may export.
const IDLE: (usize, usize) = (640, 64_000);

/// A change in the server shows within this time, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(30);

/// Series after arbitrary requests.
const FUZZED: usize = 800;

/// A sample: its name and labels.
type Sample = (String, BTreeMap<String, String>);

fn samples(text: &str) -> Vec<(Sample, f64)> {
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let pairs = labels
            .trim_end_matches('}')
            .split("\",")
            .filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once("=\"").expect("a label");
            (name.to_owned(), value.trim_end_matches('"').to_owned())
        });
        ((name.to_owned(), pairs.collect()), value.parse().expect("a number"))
    };
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(sample).collect()
}

async fn idle_server_is_within_the_budget(kind: Kind) {
    let server = DedicatedServer::start(setup(kind).await).await;
    let text = server.metrics().await;
    let (series, bytes) = (samples(&text).len(), text.len());
    assert!(series <= IDLE.0 && bytes <= IDLE.1, "{series} series, {bytes} bytes");
    assert!(
        !text.contains("/admin/v1"),
        "routes of the admin API are exported once they were used"
    );
    for series in [
        r#"reject_total{endpoint="token",reason="invalid_client"} 0"#,
        r#"reject_total{endpoint="other",reason="not_found"} 0"#,
        r#"shed_total{endpoint="token",reason="full"} 0"#,
        r#"shed_total{endpoint="introspection",reason="stale"} 0"#,
        r#"deadlines_missed_total{endpoint="admin"} 0"#,
        r#"store_errors_total{class="conflict"} 0"#,
        r#"signing_keys{algorithm="v4.public",state="retired"} 0"#,
        r#"http_request_duration_seconds_count{method="any",route="admin"} 0"#,
        "token_signing_overlapped_seconds_total 0",
        "clients_over_quota 0",
        "retired_keys_with_live_tokens 0",
        "purge_rows_waiting 0",
    ] {
        assert!(
            text.contains(&format!("\noauth2_server_{series}")),
            "{series} is missing in {text}"
        );
    }
    for pair in [
        r#"endpoint="metadata",reason="quota_exceeded""#,
        r#"endpoint="ops",reason="invalid_scope""#,
    ] {
        assert!(!text.contains(pair), "{pair} cannot occur");
    }
}

/// Paths, methods, hosts, clients and headers that nobody registered, and every route of the API document.
async fn fuzzed_requests_stay_within_the_budget(kind: Kind) {
    let server = DedicatedServer::start(setup(kind).await).await;
    let document = server.get_json(server.management_url("/openapi.json")).await;
    for at in [&server.url(""), &server.management_url("")] {
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys().map(|name| name.to_uppercase()) {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                for token in ["wrong", server.admin_token()] {
                    let path = path.replace(['{', '}'], "x");
                    let request = server.http.request(method.clone(), format!("{at}{path}"));
                    request.bearer_auth(token).body("{").send().await.unwrap();
                }
            }
        }
    }
    for round in 0..60 {
        for at in [&server.url(""), &server.management_url("")] {
            let request = server.http.request(
                Method::from_bytes(format!("M{round}").as_bytes()).unwrap(),
                format!("{at}/a{round}/b?c={round}"),
            );
            request
                .header(format!("x-{round}"), "y")
                .header("host", format!("h{round}"))
                .send()
                .await
                .unwrap();
            let admin = format!("{at}/admin/v1/r{round}");
            server
                .http
                .get(admin)
                .bearer_auth(server.admin_token())
                .send()
                .await
                .unwrap();
        }
        let client = [
            ("grant_type", format!("g{round}")),
            ("client_id", format!("c{round}")),
            ("client_secret", "s".into()),
        ];
        server
            .http
            .post(server.url("/oauth/token"))
            .form(&client)
            .send()
            .await
            .unwrap();
    }
    let text = server.metrics().await;
    let series = samples(&text).len();
    assert!(series <= FUZZED, "{series} series");
    assert!(text.contains(r#"route="/admin/v1/clients/{client_id}""#));
    assert!(!text.contains("/a1/b") && !text.contains("r59"));
    let again = samples(&server.metrics().await).len();
    assert_eq!(series, again);
}

async fn names_and_labels_are_the_documented_ones(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    server.token(&client).await;
    let text = server.metrics().await;
    let types: BTreeMap<_, _> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    let documented = page::rows(kind);
    let expected: BTreeMap<_, _> = documented
        .iter()
        .map(|(name, row)| (name.clone(), row.0.clone()))
        .collect();
    assert_eq!(types, expected);

    let (sets, mut found) = (page::closed_sets(), BTreeMap::<String, BTreeSet<String>>::new());
    let document = server.get_json(server.management_url("/openapi.json")).await;
    for ((sample, labels), _) in samples(&text) {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| sample.strip_suffix(suffix))
            .find(|family| types.get(*family).is_some_and(|kind| kind == "histogram"));
        let family = family.unwrap_or(&sample).to_owned();
        let names = labels.keys().filter(|name| *name != "le").cloned();
        found.entry(family.clone()).or_default().extend(names);
        for (label, value) in &labels {
            let is_known = match sets.get(&(family.clone(), label.clone())) {
                Some(values) => values.contains(value),
                None if label == "route" => value == "unmatched" || document["paths"].get(value).is_some(),
                None => label == "le" || label == "version",
            };
            assert!(is_known, "{family}: {label}={value} is not documented");
        }
    }
    let expected: BTreeMap<_, _> = documented.into_iter().map(|(name, row)| (name, row.1)).collect();
    assert_eq!(found, expected);
}

async fn reasons_are_counted_by_group(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    server.request_token(&client, &[("scope", "other")]).await;
    server.post(&client, "/oauth/introspect", &[]).await;
    server.post(&client, "/oauth/revoke", &[]).await;
    server.admin(Method::GET, "/clients/nobody").send().await.unwrap();
    server.http.get(server.url("/nothing")).send().await.unwrap();
    // A route of the other listener is none here.
    server
        .http
        .post(server.management_url("/oauth/token"))
        .send()
        .await
        .unwrap();
    server.http.get(server.url("/admin/v1/clients")).send().await.unwrap();
    for (endpoint, reason, expected) in [
        ("token", "invalid_scope", 1.0),
        ("introspection", "invalid_request", 1.0),
        ("revocation", "invalid_request", 1.0),
        ("admin", "not_found", 1.0),
        ("other", "not_found", 3.0),
    ] {
        let labels = [("endpoint", endpoint), ("reason", reason)];
        let found = server.metric("oauth2_server_reject_total", &labels).await;
        assert_eq!(found, Some(expected), "{endpoint} {reason}");
    }
}

async fn signing_time_and_shares_are_counted(kind: Kind) {
    let server = start(kind).await;
    let busy = server.register(json!({"scope": "read"})).await;
    let other = server.register(json!({"scope": "read"})).await;
    let value = async |name: &str| server.metric(&format!("oauth2_server_{name}"), &[]).await.unwrap();
    let before = value("token_signing_seconds_total").await;
    // All tokens of a minute must be issued in it.
    wait_for_a_minute_with(Duration::from_secs(10)).await;
    for _ in 0..3 {
        server.token(&busy).await;
    }
    server.token(&other).await;
    let all = value("token_signing_seconds_total").await;
    assert!(all > before && all < before + 1.0, "{before} {all}");
    assert!(value("token_signing_overlapped_seconds_total").await <= all);
    until(Duration::from_secs(80), "the shares of the minute", async || {
        let shares = [
            value("busiest_client_share").await,
            value("busiest_ten_clients_share").await,
        ];
        shares.map(Some) == [Some(0.75), Some(1.0)]
    })
    .await;
}

/// Waits until at least this much of the running minute is left.
async fn wait_for_a_minute_with(left: Duration) {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let rest = 60 - now.as_secs() % 60;
    if rest < left.as_secs() {
        tokio::time::sleep(Duration::from_secs(rest)).await;
    }
}

async fn used_up_quota_and_audit_backlog_are_visible(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"scope": "read", "quotas": {"hour": 2}})).await;
    for _ in 0..2 {
        server.token(&client).await;
    }
    assert_eq!(
        server.request_token(&client, &[]).await.status(),
        StatusCode::TOO_MANY_REQUESTS
    );
    until_metric(&server, "clients_over_quota", |value| value >= 1.0).await;
    let wrong = [
        ("grant_type", "client_credentials"),
        ("client_id", "nobody"),
        ("client_secret", "wrong"),
    ];
    // A row waits for less than a second.
    until(PATIENCE, "a row that waits", async || {
        let request = server.http.post(server.url("/oauth/token")).form(&wrong);
        request.send().await.unwrap();
        server.metric("oauth2_server_audit_backlog", &[]).await.unwrap() >= 1.0
    })
    .await;
    until_metric(&server, "audit_backlog", |value| value < 0.5).await;
}

async fn until_metric(server: &Server, name: &str, is_expected: impl Fn(f64) -> bool) {
    let metric = format!("oauth2_server_{name}");
    until(PATIENCE, name, async || {
        is_expected(server.metric(&metric, &[]).await.unwrap())
    })
    .await;
}

async fn process_figures_are_those_of_the_process(kind: Kind) {
    let server = DedicatedServer::start(setup(kind).await).await;
    let value = async |name: &str| server.metric(&format!("oauth2_server_{name}"), &[]).await;
    let proc = format!("/proc/{}", server.process.id());
    let threads = std::fs::read_dir(format!("{proc}/task")).unwrap().count() as f64;
    let limits = std::fs::read_to_string(format!("{proc}/limits")).unwrap();
    let fds = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(
        value("process_max_fds").await.map(|fds| fds.to_string()).as_deref(),
        fds.split_whitespace().nth(3)
    );
    let found = value("process_threads").await.unwrap();
    assert!((threads - found).abs() <= 4.0, "{threads} {found}");
    assert!(value("process_cpu_seconds_total").await.unwrap() > 0.0);

    until_metric(&server, "maintenance_last_success_timestamp_seconds", |at| at > 1.6e9).await;
    let ahead = value("token_partitions_ahead").await.unwrap();
    match kind {
        Kind::Sqlite => {
            assert_eq!((ahead, value("token_partitions_needed").await), (0.0, Some(0.0)));
            let disk = [
                value("store_disk_free_bytes").await.unwrap(),
                value("store_disk_size_bytes").await.unwrap(),
            ];
            assert!(0.0 < disk[0] && disk[0] < disk[1], "{disk:?}");
            // The log is empty until the first write.
            server.register(json!({"scope": "read"})).await;
            assert!(value("sqlite_wal_bytes").await.unwrap() > 0.0);
        }
        Kind::Postgres => {
            assert_eq!(Some(ahead), value("token_partitions_needed").await);
            assert!(ahead >= 2.0, "{ahead}");
            assert_eq!(value("sqlite_wal_bytes").await, None);
        }
    }
}

/// What nobody purged and what nobody made is visible, though maintenance fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_maintenance_is_visible() {
    let mut server = DedicatedServer::start(Setup::new(BINARY, Kind::Postgres).await).await;
    until_metric(&server, "maintenance_last_success_timestamp_seconds", |at| at > 0.0).await;
    let client = server.register(json!({"scope": "read"})).await;
    server.token(&client).await;
    // A row that expired two hours ago in the default partition, and no right to delete it.
    server
        .setup
        .sql(
            "INSERT INTO tokens_default (jti, expires_at, client_id, scope, aud, format)
             SELECT gen_random_uuid(), now() - interval '400 days', client_id, scope, aud, format FROM tokens LIMIT 1;
             CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'kept'; END $$;
             CREATE TRIGGER keep BEFORE DELETE ON tokens_default FOR EACH STATEMENT EXECUTE FUNCTION keep()",
        )
        .await;
    server.process.kill();
    server.start_again().await;
    until_metric(&server, "purge_rows_waiting", |rows| rows > 0.5).await;
    assert_eq!(
        server
            .metric("oauth2_server_maintenance_last_success_timestamp_seconds", &[])
            .await,
        Some(0.0)
    );
    let failed = [("class", "unavailable")];
    assert!(
        server
            .metric("oauth2_server_store_errors_total", &failed)
            .await
            .unwrap()
            >= 1.0
    );
}
