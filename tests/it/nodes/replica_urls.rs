//! The URL of the read replica: what is no replica is named, and the primary answers.

use oauth2_testkit::{DedicatedServer, Kind, Postgres, Setup, until};
use serde_json::{Value, json};

use super::PATIENCE;
use crate::cli::rejected;
use crate::{BINARY, setup};

const READ_URL: &str = "OAUTH2_DATABASE_READ_URL";

/// The node starts, warns once, and serves from the primary; `doctor` says the same.
async fn is_named(setup: Setup, url: String, reason: &str, words: &[&str]) {
    let setup = setup.with(READ_URL, url);
    assert_eq!(setup.run(&["migrate"]).code, 0);
    let doctor: Value = serde_json::from_str(&setup.run(&["doctor", "--json"]).stdout).unwrap();
    let checks = doctor["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["check"] == "replica").unwrap();
    assert_eq!(check["status"], "warning", "{check}");
    let runbook = check["runbook"].as_str().unwrap();
    assert!(runbook.ends_with("OAuth2ReplicaUnused.md"), "{check}");
    let mut node = DedicatedServer::start(setup).await;
    let client = node.register(json!({"scope": "read", "token_format": "opaque"})).await;
    until(PATIENCE, "the fallback is counted", async || {
        let token = node.token(&client).await;
        assert!(node.is_active(&client, &token).await);
        let name = "oauth2_server_db_read_fallbacks_total";
        node.metric(name, &[("reason", reason)]).await.unwrap() > 0.0
    })
    .await;
    until(PATIENCE, "the log names the URL", async || {
        node.process.stderr().contains(READ_URL)
    })
    .await;
    let log = node.process.complete_log().await;
    let warned: Vec<_> = log.lines().filter(|line| line.contains(READ_URL)).collect();
    assert_eq!(warned.len(), 1, "{log}");
    for text in [warned[0], check["detail"].as_str().unwrap()] {
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    }
    assert!(!log.contains("s3cret"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_that_is_no_replica_is_named() {
    let other = Postgres::start(false);
    let of = async || setup(Kind::Postgres).await;
    let unreachable = "postgres://postgres:s3cret@127.0.0.1:1/x".to_owned();
    is_named(
        of().await,
        unreachable,
        "unreachable",
        &["cannot connect", "127.0.0.1:1"],
    )
    .await;
    let migrated = Setup::on_postgres(BINARY, &other).await;
    assert_eq!(migrated.run(&["migrate"]).code, 0);
    let url = migrated.database_url().unwrap().to_owned();
    is_named(of().await, url, "foreign", &["not a copy"]).await;
    // Of the same cluster.
    let (one, another) = (of().await, of().await);
    assert_eq!(another.run(&["migrate"]).code, 0);
    let url = another.database_url().unwrap().to_owned();
    is_named(one, url, "foreign", &["not a copy"]).await;
    let url = other.url("no_such_database");
    is_named(of().await, url, "unreachable", &["no_such_database"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_replica_is_rejected_with_its_key() {
    let on_sqlite = setup(Kind::Sqlite).await.with(READ_URL, "postgres://a@b/c");
    rejected(
        &on_sqlite.run(&["config", "check"]),
        2,
        &[READ_URL, "needs a store on Postgres"],
    );
    let on_postgres = async |key: &str, value: &str| setup(Kind::Postgres).await.with(key, value);
    let output = on_postgres(READ_URL, "mysql://a:s3cret@b/c")
        .await
        .run(&["config", "check"]);
    rejected(&output, 2, &[READ_URL, "postgres://"]);
    assert!(!output.stderr.contains("s3cret"));
    let output = on_postgres(READ_URL, "postgres://a:s3cret@b/c?sslcrl=x")
        .await
        .run(&["config", "check"]);
    rejected(&output, 2, &[READ_URL, "sslcrl"]);
    for lag in ["0", "0.5", "61", "soon"] {
        let output = on_postgres("OAUTH2_DATABASE_READ_MAX_LAG", lag)
            .await
            .run(&["config", "check"]);
        rejected(&output, 2, &["OAUTH2_DATABASE_READ_MAX_LAG", "1 to 60"]);
    }
}

/// The primary as its own replica: nothing is gained, and nothing is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_may_be_its_own_replica() {
    let primary = Postgres::start(false);
    let setup = Setup::on_postgres(BINARY, &primary).await;
    let url = setup.database_url().unwrap().to_owned();
    let node = DedicatedServer::start(setup.with(READ_URL, url)).await;
    let client = node.register(json!({"scope": "read", "token_format": "opaque"})).await;
    until(PATIENCE, "it is in use", async || {
        node.metric("oauth2_server_db_replica_in_use", &[]).await == Some(1.0)
    })
    .await;
    for _ in 0..10 {
        let token = node.token(&client).await;
        assert!(node.is_active(&client, &token).await);
    }
    let name = "oauth2_server_db_read_fallbacks_total";
    assert_eq!(node.metric(name, &[("reason", "missing")]).await, Some(0.0));
    let doctor = node.setup.run(&["doctor"]).stdout;
    let line = doctor.lines().find(|line| line.starts_with("replica")).unwrap();
    assert!(
        line.contains("warning") && line.contains("the primary itself"),
        "{line}"
    );
}
