//! `doctor`, `healthcheck`, `key list`.

use std::collections::BTreeSet;

use oauth2_testkit::Kind;
use serde_json::{Value, json};

use super::{rejected, stdout_of};
use crate::{setup, start};

on_both_stores!(
    key_list_contains_no_private_key,
    healthcheck_reports_readiness,
    doctor_passes_on_a_healthy_server,
    doctor_reports_a_missing_schema,
    doctor_reports_a_wrong_key_encryption_key,
);

async fn key_list_contains_no_private_key(kind: Kind) {
    let server = start(kind).await;
    let listed = server.setup.json(&["key", "list", "--json"]);
    assert_eq!(listed["next_cursor"], Value::Null);
    let names = [
        "algorithm",
        "created_at",
        "kept_until",
        "kid",
        "retired_at",
        "signs_from",
        "state",
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
    assert_eq!(
        names,
        ["configuration", "files", "store", "clock", "schema", "writes", "keys"]
    );
    for check in checks {
        let skipped = kind == Kind::Postgres && check["check"] == "files";
        assert_eq!(check["status"], if skipped { "skipped" } else { "ok" }, "{check}");
        assert!(check["detail"].as_str().unwrap().len() > 3, "{check}");
    }
    let table = stdout_of(&server.setup, &["doctor"]);
    assert_eq!(table.lines().count(), 8, "{table}");
}

/// What the doctor says of one thing.
fn status(found: &Value, check: &str) -> Value {
    let checks = found["checks"].as_array().unwrap();
    let check = checks.iter().find(|found| found["check"] == check);
    check.map_or(Value::Null, |check| check["status"].clone())
}

async fn doctor_reports_a_missing_schema(kind: Kind) {
    let mut setup = setup(kind).await;
    let output = setup.run(&["doctor", "--json"]);
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    match kind {
        // The first start makes the store: nothing is wrong.
        Kind::Sqlite => assert_eq!((output.code, &found["ok"]), (0, &json!(true)), "{found}"),
        Kind::Postgres => {
            assert_eq!((output.code, &found["ok"]), (3, &json!(false)), "{found}");
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
    assert_eq!((output.code, &found["ok"]), (3, &json!(false)), "{found}");
    assert_eq!(status(&found, "keys"), "failed", "{found}");
    assert_eq!(status(&found, "schema"), "ok", "{found}");
}
