//! HTTP and the command line behave alike: both call the same services.

use std::time::{Duration, Instant};

use oauth2_testkit::postgres::connect;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, Kind, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::cli::migrated;
use super::start;

on_both_stores!(
    audit_rows_are_the_same_from_http_and_the_command_line,
    audit_rows_of_an_import_name_each_changed_field,
    imported_client_does_not_inherit_tokens_of_its_predecessor,
    disabled_client_is_rejected_by_bulk_issuance,
    tokens_of_a_deleted_client_are_listed,
    tokens_issued_on_the_command_line_count_as_used_quota,
);

const SECRET: &str = "a-secret-of-thirty-two-characters!";

/// Calls the admin API; the response must be a success.
async fn admin(server: &Server, method: Method, path: &str, body: Value) -> Value {
    let response = server.admin(method, path).json(&body).send().await.unwrap();
    let status = response.status();
    if status == StatusCode::NO_CONTENT {
        return Value::Null;
    }
    let body = body_of(response).await;
    assert!(status.is_success(), "{path}: {body}");
    body
}

fn run(server: &Server, arguments: &[&str]) -> String {
    let output = server.setup.run(arguments);
    assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
    output.stdout
}

/// The audit rows of these actors, oldest first, as pairs of action and detail.
async fn audited(server: &Server, is_by: fn(&str) -> bool) -> Vec<(String, Value)> {
    let page = server.setup.audit(&["--limit", "1000"]).await;
    let rows = page["items"].as_array().unwrap().iter().rev();
    rows.filter(|row| is_by(row["actor"].as_str().unwrap()))
        .map(|row| (row["action"].as_str().unwrap().to_owned(), row["detail"].clone()))
        .collect()
}

/// The detail without values that differ from call to call: ids and times.
fn comparable((action, detail): &(String, Value)) -> (String, Value) {
    let mut detail = detail.as_object().cloned().unwrap_or_else(Map::new);
    for name in ["cutoff_ms", "signs_from_ms"] {
        if let Some(value) = detail.get_mut(name) {
            assert!(value.is_u64(), "{action}: {name} {value}");
            *value = Value::Null;
        }
    }
    assert!(detail.remove("credential").is_some(), "{action} {detail:?}");
    for name in ["jtis", "replacement"] {
        detail.entry(name).and_modify(|value| *value = Value::Null);
    }
    // Fingerprints and expiries of generated secrets.
    if let Some(secrets) = detail.get_mut("changes").and_then(|changes| changes.get_mut("secrets")) {
        for side in ["old", "new"] {
            secrets[side] = json!(secrets[side].as_array().map_or(0, Vec::len));
        }
    }
    (action.clone(), Value::Object(detail))
}

async fn audit_rows_are_the_same_from_http_and_the_command_line(kind: Kind) {
    let server = start(kind).await;
    let new = json!({"client_id": "one", "client_secret": SECRET, "scope": "a b", "quotas": {"day": 9}});
    admin(&server, Method::POST, "/clients", new).await;
    let patch = json!({"scope": "a", "client_name": "One", "access_token_lifetime": 60});
    admin(&server, Method::PATCH, "/clients/one", patch).await;
    admin(&server, Method::POST, "/clients/one/disable", json!({})).await;
    admin(&server, Method::POST, "/clients/one/enable", json!({})).await;
    admin(
        &server,
        Method::POST,
        "/clients/one/rotate-secret",
        json!({"overlap_seconds": 7}),
    )
    .await;
    let issued = json!({"client_id": "one", "count": 2});
    let issued = admin(&server, Method::POST, "/tokens:issue", issued).await;
    for token in issued["tokens"].as_array().unwrap() {
        let revoke = format!("/tokens/{}/revoke", token["jti"].as_str().unwrap());
        admin(&server, Method::POST, &revoke, json!({})).await;
    }
    admin(&server, Method::POST, "/clients/one/tokens:revoke-all", json!({})).await;
    admin(&server, Method::POST, "/tokens:revoke-all", json!({})).await;
    let rotated = admin(&server, Method::POST, "/keys/rotate", json!({"algorithm": "ES256"})).await;
    let rotated_kid = rotated["items"][0]["kid"].as_str().unwrap();
    admin(&server, Method::POST, &format!("/keys/{rotated_kid}/revoke"), json!({})).await;
    admin(&server, Method::DELETE, "/clients/one", json!({})).await;

    run(
        &server,
        &[
            "client", "create", "--id", "one", "--secret", SECRET, "--scope", "a b", "--quota", "day=9",
        ],
    );
    run(
        &server,
        &[
            "client",
            "update",
            "one",
            "--scope",
            "a",
            "--name",
            "One",
            "--lifetime",
            "60",
        ],
    );
    run(&server, &["client", "disable", "one"]);
    run(&server, &["client", "enable", "one"]);
    run(&server, &["client", "rotate-secret", "one", "--overlap", "7"]);
    let out = run(
        &server,
        &[
            "token", "issue", "--client", "one", "--count", "2", "--format", "json", "--out", "-",
        ],
    );
    let issued: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    run(&server, &["token", "revoke", issued[0]["jti"].as_str().unwrap()]);
    let file = server.setup.directory().join("revoke.txt");
    std::fs::write(&file, issued[1]["access_token"].as_str().unwrap()).unwrap();
    run(&server, &["token", "revoke", "--file", file.to_str().unwrap()]);
    run(&server, &["token", "revoke", "--client", "one"]);
    run(&server, &["token", "revoke", "--all"]);
    let rotated = server.setup.json(&["key", "rotate", "--alg", "ES256", "--json"]);
    run(
        &server,
        &["key", "revoke", rotated["items"][0]["kid"].as_str().unwrap()],
    );
    run(&server, &["client", "delete", "one"]);

    let (http, cli) = (
        audited(&server, |actor| actor == "admin").await,
        audited(&server, |actor| actor.starts_with("cli:")).await,
    );
    assert_eq!(http.len(), 13, "{http:?}");
    let both = |rows: &[(String, Value)]| rows.iter().map(comparable).collect::<Vec<_>>();
    assert_eq!(both(&http), both(&cli));
    let changes = |index: usize| &http[index].1["changes"];
    assert_eq!(changes(0)["scope"], json!({"old": null, "new": "a b"}));
    assert_eq!(changes(0)["quotas"], json!({"old": null, "new": {"day": 9}}));
    assert_eq!(changes(1)["scope"], json!({"old": "a b", "new": "a"}));
    assert_eq!(changes(2), &json!({"disabled": {"old": null, "new": true}}));
    let rotated = &changes(4)["secrets"];
    assert_eq!(http[4].1["overlap_seconds"], 7);
    assert_eq!(rotated["old"], changes(0)["secrets"]["new"]);
    assert_eq!(rotated["new"][0]["expires_at"], Value::Null, "{rotated}");
    assert_eq!(rotated["new"][1]["id"], rotated["old"][0]["id"], "{rotated}");
    assert!(rotated["new"][1]["expires_at"].is_u64(), "{rotated}");
    assert_eq!(http[6].1["client_id"], "one");
    assert_eq!(http[7].1["client_id"], "one");
    assert_eq!(changes(12)["client_name"], json!({"old": "One", "new": null}));
    let text = serde_json::to_string(&(http, cli)).unwrap();
    assert!(!text.contains(SECRET) && !text.contains("client_secret"), "{text}");
}

async fn audit_rows_of_an_import_name_each_changed_field(kind: Kind) {
    let server = start(kind).await;
    let text =
        |scope: &str| format!("{{\"client_id\":\"bulk\",\"client_secret\":\"{SECRET}\",\"scope\":\"{scope}\"}}\n");
    let import = async |text: String| {
        let request = server.admin(Method::POST, "/clients:import");
        let request = request.header("content-type", "application/x-ndjson").body(text);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    };
    import(text("a")).await;
    import(text("b")).await;
    admin(&server, Method::DELETE, "/clients/bulk", json!({})).await;
    for scope in ["a", "b"] {
        let arguments = ["client", "import", "-", "--format", "jsonl"];
        let output = server.setup.run_with_input(&arguments, &text(scope));
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
    let imports = async |is_by: fn(&str) -> bool| {
        let rows = audited(&server, is_by).await.into_iter();
        rows.filter(|(action, _)| action == "client.import").collect::<Vec<_>>()
    };
    let http = imports(|actor| actor == "admin").await;
    assert_eq!(http.len(), 2);
    assert_eq!(http[0].1["changes"]["scope"], json!({"old": null, "new": "a"}));
    assert_eq!(http[1].1["changes"], json!({"scope": {"old": "a", "new": "b"}}));
    let cli = imports(|actor| actor.starts_with("cli:")).await;
    let both = |rows: &[(String, Value)]| rows.iter().map(comparable).collect::<Vec<_>>();
    assert_eq!(both(&http), both(&cli));
}

/// As after `POST /clients`: tokens of the deleted client are revoked, those of the new one are not.
async fn imported_client_does_not_inherit_tokens_of_its_predecessor(kind: Kind) {
    let server = start(kind).await;
    let client = server
        .register(json!({"client_id": "again", "client_secret": SECRET}))
        .await;
    let old = server.token(&client).await;
    admin(&server, Method::DELETE, "/clients/again", json!({})).await;
    let row = format!("{{\"client_id\":\"again\",\"client_secret\":\"{SECRET}\"}}\n");
    let request = server.admin(Method::POST, "/clients:import");
    let request = request.header("content-type", "application/x-ndjson").body(row.clone());
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    let client = Credentials::new("again", SECRET);
    assert!(!server.is_active(&client, &old).await);
    let new = server.token(&client).await;
    assert!(server.is_active(&client, &new).await, "it is later than the cut-off");

    run(&server, &["client", "delete", "again"]);
    let arguments = ["client", "import", "-", "--format", "jsonl"];
    assert_eq!(server.setup.run_with_input(&arguments, &row).code, 0);
    let file = server.setup.directory().join("token");
    std::fs::write(&file, &new).unwrap();
    let inspected = server.setup.run(&["token", "inspect", &new, "--json"]);
    let inspected: Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert_eq!(inspected["record"], "revoked");
}

async fn disabled_client_is_rejected_by_bulk_issuance(kind: Kind) {
    let server = start(kind).await;
    server.register(json!({"client_id": "off"})).await;
    admin(&server, Method::POST, "/clients/off/disable", json!({})).await;
    let request = server.admin(Method::POST, "/tokens:issue");
    let response = request.json(&json!({"client_id": "off"})).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CONFLICT);
    let body = body_of(response).await;
    let output = server.setup.run(&["token", "issue", "--client", "off", "--out", "-"]);
    assert_eq!(output.code, 2);
    let description = body["error_description"].as_str().unwrap();
    assert!(
        output.stderr.contains(description),
        "{} lacks {description}",
        output.stderr
    );
}

async fn tokens_of_a_deleted_client_are_listed(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"client_id": "gone"})).await;
    server.token(&client).await;
    admin(&server, Method::DELETE, "/clients/gone", json!({})).await;
    let http = admin(&server, Method::GET, "/clients/gone/tokens", json!({})).await;
    let cli = server.setup.json(&["token", "list", "--client", "gone", "--json"]);
    assert_eq!(http, cli);
    assert_eq!(http["items"][0]["active"], false);
    assert_eq!(http["items"].as_array().unwrap().len(), 1);
}

async fn tokens_issued_on_the_command_line_count_as_used_quota(kind: Kind) {
    super::quotas::not_at_the_full_hour().await;
    let server = start(kind).await;
    let client = server
        .register(json!({"client_id": "ci", "quotas": {"month": 5}}))
        .await;
    run(
        &server,
        &["token", "issue", "--client", "ci", "--count", "7", "--out", "-"],
    );
    let usage = server.setup.json(&["client", "usage", "ci", "--json"]);
    assert_eq!(usage["quotas"][2]["used"], 7);
    // The node reads the saved use with its own next save.
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.request_token(&client, &[]).await.status() != StatusCode::TOO_MANY_REQUESTS {
        assert!(Instant::now() < deadline, "the quota is exhausted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The command line takes times from the store's clock, as servers do.
#[tokio::test(flavor = "multi_thread")]
async fn rotated_secret_expires_by_the_store_clock() {
    const AHEAD: i64 = 3600;
    let setup = migrated(Kind::Postgres).await;
    let url = setup.database_url().unwrap().to_owned();
    setup.run(&["client", "create", "--id", "ci"]);
    let database = connect(&url).await;
    database
        .batch_execute(&format!(
            "CREATE SCHEMA ahead;
             CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql
                 AS 'SELECT pg_catalog.clock_timestamp() + interval ''{AHEAD} s''';
             DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = ahead, pg_catalog, public', current_database()); END $$"
        ))
        .await
        .unwrap();
    let output = setup.run(&["client", "rotate-secret", "ci", "--overlap", "60"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let left = "SELECT extract(epoch FROM max(expires_at) - pg_catalog.clock_timestamp())::bigint FROM client_secrets";
    let left: i64 = database.query_one(left, &[]).await.unwrap().get(0);
    assert!((AHEAD..=AHEAD + 60).contains(&left), "{left}");
    drop(setup);
}
