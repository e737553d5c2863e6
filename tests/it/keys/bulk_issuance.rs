//! Signing keys during bulk issuance.

use std::process::Stdio;

use oauth2_testkit::{DedicatedServer, Kind, Output, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{admin, brisk, kid_of, kids, until};
use crate::{setup, start};

on_both_stores!(
    key_is_kept_until_cli_issued_tokens_expire,
    key_revoked_during_bulk_issuance_stops_signing,
    no_token_is_issued_without_its_audit_row,
);

async fn key_is_kept_until_cli_issued_tokens_expire(store: Kind) {
    let server = DedicatedServer::start(brisk(setup(store).await)).await;
    let client = server
        .register(json!({"client_id": "ci", "token_format": "jwt", "signing_alg": "EdDSA"}))
        .await;
    // By the configuration of this command they live longer than any server knows.
    let mut command = server
        .setup
        .command(&["token", "issue", "--client", "ci", "--out", "-"]);
    let issued = Output::of(command.env("OAUTH2_ACCESS_TOKEN_EXPIRATION", "3600"));
    assert_eq!(issued.code, 0, "{}", issued.stderr);
    let token = issued.stdout.trim();
    let kid = kid_of(token);
    admin(&server, Method::POST, "/keys/rotate", json!({"algorithm": "EdDSA"})).await;
    until("another key signs", async || {
        kids(&server, "EdDSA", "retired").await == [kid.clone()]
    })
    .await;
    let keys = admin(&server, Method::GET, "/keys", json!({})).await;
    let key = keys["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["kid"] == *kid)
        .unwrap();
    let kept = key["kept_until"].as_i64().unwrap() - key["retired_at"].as_i64().unwrap();
    assert!(kept >= 3600, "{key}");
    assert!(server.is_active(&client, token).await);
}

/// How many tokens the audit log tells of.
async fn recorded(server: &Server) -> u64 {
    let rows = server.setup.audit(&["--kind", "token.issue", "--limit", "1000"]).await;
    let count = |row: &Value| row["detail"]["count"].as_u64().unwrap();
    rows["items"].as_array().unwrap().iter().map(count).sum()
}

async fn key_revoked_during_bulk_issuance_stops_signing(store: Kind) {
    let server = start(store).await;
    server
        .register(json!({"client_id": "ci", "token_format": "jwt", "signing_alg": "EdDSA"}))
        .await;
    let file = server.setup.directory().join("many.txt");
    let text = || std::fs::read_to_string(&file).unwrap_or_default();
    let many = [
        "token", "issue", "--client", "ci", "--count", "1000000", "--out", "many.txt",
    ];
    let mut running = server.setup.command(&many).stderr(Stdio::null()).spawn().unwrap();
    until("the first tokens are there", async || text().lines().count() > 1).await;
    let kid = kid_of(text().lines().next().unwrap());
    admin(&server, Method::POST, &format!("/keys/{kid}/revoke"), json!({})).await;
    // What is written at this moment is under way already.
    let seen = text().lines().count();
    until("it goes on", async || text().lines().count() > seen + 4000).await;
    running.kill().unwrap();
    running.wait().unwrap();
    let text = text();
    let whole: Vec<&str> = text[..text.rfind('\n').unwrap()].lines().collect();
    assert!(whole.len() < 1_000_000, "it was killed in time");
    assert_ne!(kid_of(whole[whole.len() - 1]), kid);
    assert!(
        recorded(&server).await >= whole.len() as u64,
        "{} of {}",
        recorded(&server).await,
        whole.len()
    );
}

async fn no_token_is_issued_without_its_audit_row(store: Kind) {
    let server = DedicatedServer::start(setup(store).await.with("OAUTH2_SERVER_WORKERS", "1")).await;
    let client = server.register(json!({"client_id": "ci"})).await;
    server
        .setup
        .sql(match store {
            Kind::Sqlite => {
                "CREATE TRIGGER refused BEFORE INSERT ON audit_log WHEN NEW.action = 'token.issue'
                 BEGIN SELECT RAISE(ABORT, 'refused'); END"
            }
            Kind::Postgres => "ALTER TABLE audit_log ADD CONSTRAINT refused CHECK (action <> 'token.issue') NOT VALID",
        })
        .await;
    let response = server
        .admin(Method::POST, "/tokens:issue")
        .json(&json!({"client_id": "ci", "count": 3}));
    assert_ne!(response.send().await.unwrap().status(), StatusCode::OK);
    let issued = server.setup.run(&["token", "issue", "--client", "ci", "--out", "-"]);
    assert!(issued.code != 0 && issued.stdout.is_empty(), "{}", issued.stdout);
    // The one token_store commits in the order in which it was asked: when this one is there, so would the others be.
    let token = server.token(&client).await;
    assert!(server.is_active(&client, &token).await);
    let recorded = admin(&server, Method::GET, "/clients/ci/tokens", json!({})).await;
    let recorded = recorded["items"].as_array().unwrap().len();
    assert_eq!(recorded, 1, "nothing is recorded that is told nowhere");
}
