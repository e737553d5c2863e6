//! `doctor`, `healthcheck`, `key list`.

use std::collections::BTreeSet;
use std::time::Duration;

use oauth2_testkit::{DedicatedServer, Kind, Postgres, Setup, until};
use serde_json::{Value, json};

use super::{rejected, stdout_of};
use crate::{BINARY, setup, start};

on_both_stores!(
    key_list_contains_no_private_key,
    healthcheck_reports_readiness,
    doctor_passes_on_a_healthy_server,
    doctor_reports_a_missing_schema,
    doctor_reports_a_wrong_key_encryption_key,
);

const PATIENCE: Duration = Duration::from_secs(30);

/// The doctor's checks of configuration and store.
const OF_THE_STORE: [&str; 10] = [
    "configuration",
    "files",
    "store",
    "clock",
    "schema",
    "writes",
    "partitions",
    "purge",
    "keys",
    "key ages",
];

/// Its checks of a server that runs.
const OF_THE_SERVER: [&str; 7] = [
    "server",
    "restarts",
    "sheds",
    "deadlines",
    "store errors",
    "log lines",
    "pool",
];

async fn key_list_contains_no_private_key(kind: Kind) {
    let server = start(kind).await;
    let listed = server.setup.json(&["key", "list", "--json"]);
    assert_eq!(listed["next_cursor"], Value::Null);
    let names = [
        "algorithm",
        "created_at",
        "issuer",
        "kept_until",
        "kid",
        "published",
        "retired_at",
        "signs_from",
        "state",
        "when_seen",
    ];
    let names: BTreeSet<_> = names.into();
    let mut kids = BTreeSet::new();
    for key in listed["items"].as_array().unwrap() {
        let found: BTreeSet<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, names, "{key}");
        kids.insert(key["kid"].as_str().unwrap().to_owned());
    }
    let mut published = BTreeSet::new();
    for path in ["/.well-known/jwks.json", "/.well-known/paseto-keys.json"] {
        let document = server.get_json(server.url(path)).await;
        let keys = document["keys"].as_array().unwrap().clone();
        published.extend(keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()));
    }
    assert_eq!(kids, published);
    let table = stdout_of(&server.setup, &["key", "list"]);
    assert_eq!(table.lines().count(), 1 + kids.len(), "{table}");
    assert!(kids.iter().all(|kid| table.contains(kid.as_str())), "{table}");
}

async fn healthcheck_reports_readiness(kind: Kind) {
    let mut server = start(kind).await;
    assert_eq!(stdout_of(&server.setup, &["healthcheck"]), "ready\n");
    server.process.kill();
    let address = format!("127.0.0.1:{}", server.setup.management);
    rejected(&server.setup.run(&["healthcheck"]), 3, &[&address]);
}

async fn doctor_passes_on_a_healthy_server(kind: Kind) {
    let server = start(kind).await;
    let found = server.setup.json(&["doctor", "--json"]);
    assert_eq!(found["ok"], true, "{found}");
    let checks: Vec<_> = found["checks"].as_array().unwrap().iter().collect();
    let names: Vec<_> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(names, [&OF_THE_STORE[..], &OF_THE_SERVER].concat());
    for check in checks {
        let of_one_store = if kind == Kind::Postgres { "files" } else { "partitions" };
        let skipped = check["check"] == of_one_store;
        assert_eq!(check["status"], if skipped { "skipped" } else { "ok" }, "{check}");
        assert!(check["detail"].as_str().unwrap().len() > 3, "{check}");
        assert_eq!(check["runbook"], Value::Null, "{check}");
    }
    let table = stdout_of(&server.setup, &["doctor"]);
    assert_eq!(table.lines().count(), 1 + names.len(), "{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_reports_what_failed_lately_with_a_runbook() {
    let mut postgres = Postgres::start(false);
    let mut server = DedicatedServer::start(Setup::on_postgres(BINARY, &postgres).await).await;
    let client = server.register(json!({"scope": "read"})).await;
    tokio::task::block_in_place(|| postgres.stop());
    assert_eq!(server.request_token(&client, &[]).await.status(), 503);
    let is_seen = async || server.http.get(server.url("/ready")).send().await.unwrap().status() == 503;
    until(PATIENCE, "the outage is seen", is_seen).await;

    let output = server.setup.run(&["doctor", "--json"]);
    assert_eq!(output.code, 1, "{}", output.stderr);
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    for (name, status, words, alert) in [
        ("store", "failed", "", "OAuth2StoreUnavailable"),
        ("server", "failed", "not ready: store", "OAuth2NotReady"),
        ("sheds", "warning", "1 in the last", "OAuth2Shedding"),
        ("store errors", "warning", "unavailable", "OAuth2StoreUnavailable"),
    ] {
        let check = check(&found, name);
        assert_eq!(check["status"], status, "{found}");
        assert!(check["detail"].as_str().unwrap().contains(words), "{found}");
        let runbook = check["runbook"].as_str().unwrap();
        assert!(runbook.ends_with(&format!("/docs/runbooks/{alert}.md")), "{found}");
        let page = format!("{}/docs/runbooks/{alert}.md", env!("CARGO_MANIFEST_DIR"));
        assert!(std::fs::exists(page).unwrap(), "{alert}");
    }
    assert_eq!(check(&found, "restarts")["status"], "ok", "{found}");

    server.process.kill();
    let output = server.setup.run(&["doctor", "--json"]);
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(check(&found, "server")["status"], "skipped", "{found}");
}

/// A check of the doctor.
fn check<'a>(found: &'a Value, name: &str) -> &'a Value {
    let checks = found["checks"].as_array().unwrap();
    let check = checks.iter().find(|found| found["check"] == name);
    check.unwrap_or(&Value::Null)
}

/// One check of the doctor.
fn status(found: &Value, name: &str) -> Value {
    check(found, name)["status"].clone()
}

async fn doctor_reports_a_missing_schema(kind: Kind) {
    let mut setup = setup(kind).await;
    let output = setup.run(&["doctor", "--json"]);
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    match kind {
        // The first start makes the store: nothing is wrong.
        Kind::Sqlite => assert_eq!((output.code, &found["ok"]), (0, &json!(true)), "{found}"),
        Kind::Postgres => {
            assert_eq!((output.code, &found["ok"]), (1, &json!(false)), "{found}");
            assert_eq!(status(&found, "schema"), "failed", "{found}");
            assert_eq!(output.stderr, "error: 1 check failed\n");
        }
    }
    assert!(!setup.directory().join("data").exists(), "a look makes nothing");

    stdout_of(&setup, &["migrate"]);
    let found = setup.json(&["doctor", "--json"]);
    assert_eq!(status(&found, "keys"), "skipped", "there are none yet: {found}");

    setup.set("OAUTH2_SERVER_PORT", "x");
    rejected(&setup.run(&["doctor"]), 2, &["OAUTH2_SERVER_PORT"]);
}

async fn doctor_reports_a_wrong_key_encryption_key(kind: Kind) {
    let mut setup = start(kind).await.setup.clone();
    setup.set("OAUTH2_KEY_ENCRYPTION_KEY", format!("{}=", "A".repeat(43)));
    let output = setup.run(&["doctor", "--json"]);
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((output.code, &found["ok"]), (1, &json!(false)), "{found}");
    assert_eq!(status(&found, "keys"), "failed", "{found}");
    assert_eq!(status(&found, "schema"), "ok", "{found}");
}
