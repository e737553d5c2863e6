//! `restore-epoch`: a restored store revives neither tokens nor secrets, clients or keys.

use oauth2_testkit::{Credentials, DedicatedServer, Kind, Postgres, Setup};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::cli::{rejected, stdout_of};
use super::setup;

on_both_stores!(
    changes_after_the_backup_are_made_again,
    without_audit_rows_every_secret_can_be_removed,
    invalid_audit_rows_are_named,
);

/// A copy of the store.
enum Backup {
    File(std::path::PathBuf),
    Dump(String),
}

/// A server on a store of its own cluster.
async fn started(kind: Kind) -> DedicatedServer {
    DedicatedServer::start(setup(kind).await).await
}

fn back_up(server: &DedicatedServer) -> Backup {
    match server.setup.kind {
        Kind::Sqlite => {
            let file = server.setup.directory().join("copy.db");
            stdout_of(&server.setup, &["backup", file.to_str().unwrap()]);
            Backup::File(file)
        }
        Kind::Postgres => {
            let url = server.setup.database_url().unwrap();
            Backup::Dump(tokio::task::block_in_place(|| Postgres::shared().dump(url)))
        }
    }
}

/// The stopped server's setup, with the copy as its store.
async fn restored(server: &DedicatedServer, backup: Backup) -> Setup {
    let mut setup = server.setup.clone();
    match backup {
        Backup::File(file) => {
            let data = setup.directory().join("data");
            for name in ["oauth2.db-wal", "oauth2.db-shm"] {
                _ = std::fs::remove_file(data.join(name));
            }
            std::fs::copy(file, data.join("oauth2.db")).unwrap();
        }
        Backup::Dump(dump) => setup.set("OAUTH2_DATABASE_URL", Postgres::shared().restore(&dump).await),
    }
    setup
}

async fn admin(server: &DedicatedServer, method: Method, path: &str, body: Value) -> Value {
    let response = server.admin(method, path).json(&body).send().await.unwrap();
    let status = response.status();
    assert!(status.is_success(), "{path}: {status}");
    serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null)
}

/// The status of a token request, and its error.
async fn outcome(server: &DedicatedServer, client: &Credentials, scope: &str) -> (StatusCode, Value) {
    let response = server.request_token(client, &[("scope", scope)]).await;
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    (status, body["error"].clone())
}

/// Changes of every kind, which the backup does not have. Returns the id of a key that was revoked.
async fn change(server: &DedicatedServer) -> String {
    for (id, overlap) in [("rotated", 0), ("overlapping", 3600), ("twice", 3600), ("twice", 0)] {
        let path = format!("/clients/{id}/rotate-secret");
        admin(server, Method::POST, &path, json!({"overlap_seconds": overlap})).await;
    }
    admin(server, Method::POST, "/clients/disabled/disable", Value::Null).await;
    admin(server, Method::PATCH, "/clients/ungranted", json!({"grant_types": []})).await;
    admin(server, Method::POST, "/clients/hs256/disable", Value::Null).await;
    admin(server, Method::PUT, "/groups/acme", json!({"quotas": {"day": 7}})).await;
    let narrowed = json!({"scope": "read", "quotas": {"hour": null, "day": 3}});
    admin(server, Method::PATCH, "/clients/narrowed", narrowed).await;
    assert!(
        server
            .admin(Method::DELETE, "/clients/deleted")
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    server.register(json!({"client_id": "created"})).await;
    let keys = admin(server, Method::GET, "/keys", Value::Null).await;
    let es256 = |key: &&Value| key["algorithm"] == "ES256";
    let key_id = keys["items"].as_array().unwrap().iter().find(es256).unwrap()["kid"].clone();
    let key_id = key_id.as_str().unwrap().to_owned();
    admin(server, Method::POST, &format!("/keys/{key_id}/revoke"), Value::Null).await;
    key_id
}

async fn changes_after_the_backup_are_made_again(kind: Kind) {
    let shared_secret = ("OAUTH2_JWT_SECRET", "a-shared-secret-of-thirty-two-characters");
    let mut server = DedicatedServer::start(setup(kind).await.with(shared_secret.0, shared_secret.1)).await;
    let register = async |id: &str| {
        let metadata = json!({"client_id": id, "scope": "read write", "quotas": {"day": 10, "hour": 5}});
        server.register(metadata).await
    };
    let ids = [
        "kept",
        "rotated",
        "overlapping",
        "disabled",
        "deleted",
        "narrowed",
        "twice",
        "ungranted",
    ];
    let mut clients = Vec::new();
    for id in ids {
        clients.push(register(id).await);
    }
    let jwt = json!({"client_id": "jwt", "scope": "read", "token_format": "jwt", "signing_alg": "ES256"});
    let jwt = server.register(jwt).await;
    let hs256 = json!({"client_id": "hs256", "scope": "read", "token_format": "jwt", "signing_alg": "HS256"});
    let hs256 = server.register(hs256).await;
    let (before, revoked) = (server.token(&clients[0]).await, server.token(&clients[1]).await);
    let backup = back_up(&server);

    // What the backup does not have.
    server.revoke(&clients[1], &revoked).await;
    let after = server.token(&clients[0]).await;
    let key_id = change(&server).await;
    let log = server.process.complete_log().await;
    let file = server.setup.directory().join("audit.jsonl");
    std::fs::write(&file, log).unwrap();

    let mut setup = restored(&server, backup).await;
    // Who restores need not have every setting of the server.
    setup.unset(shared_secret.0);
    let run = ["restore-epoch", "--audit-log", file.to_str().unwrap(), "--json"];
    let planned = setup.json(&[&run[..], &["--dry-run"]].concat());
    assert_eq!(planned["revoked_before_ms"], Value::Null);
    let done = setup.json(&run);
    for answer in [&planned, &done] {
        assert_eq!(
            answer["changed"],
            json!([
                "disabled",
                "hs256",
                "narrowed",
                "overlapping",
                "rotated",
                "twice",
                "ungranted"
            ])
        );
        assert_eq!(answer["deleted"], json!(["deleted"]));
        assert_eq!(answer["missing"], json!(["created"]));
        assert_eq!(answer["groups"], json!(["acme"]));
        assert_eq!(answer["without_secret"], json!(["rotated", "twice"]));
        assert_eq!(answer["revoked_keys"], json!([&key_id]));
    }
    let again = setup.json(&run);
    for list in ["changed", "deleted", "groups", "revoked_keys"] {
        assert_eq!(again[list], json!([]), "a second run finds nothing to do: {again}");
    }

    let server = DedicatedServer::start(setup.with(shared_secret.0, shared_secret.1)).await;
    for token in [&before, &revoked, &after] {
        assert!(!server.is_active(&clients[0], token).await);
    }
    let (ok, unauthorized) = (StatusCode::OK, StatusCode::UNAUTHORIZED);
    let invalid_client = (unauthorized, json!("invalid_client"));
    let expected = [
        (ok, Value::Null),
        invalid_client.clone(),
        // Its first secret is valid for another hour.
        (ok, Value::Null),
        invalid_client.clone(),
        invalid_client.clone(),
        (StatusCode::BAD_REQUEST, json!("invalid_scope")),
        invalid_client.clone(),
        (StatusCode::BAD_REQUEST, json!("unauthorized_client")),
    ];
    for (client, expected) in clients.iter().zip(expected) {
        assert_eq!(outcome(&server, client, "write").await, expected, "{}", client.id);
    }
    assert_eq!(outcome(&server, &clients[5], "read").await, (ok, Value::Null));
    let narrowed = admin(&server, Method::GET, "/clients/narrowed", Value::Null).await;
    assert_eq!(narrowed["quotas"], json!({"day": 3}));
    assert_eq!(outcome(&server, &hs256, "read").await.0, unauthorized, "it is disabled");
    let group = admin(&server, Method::GET, "/groups/acme", Value::Null).await;
    assert_eq!(group["quotas"], json!({"day": 7}));
    let jwks = server.get_json(server.url("/.well-known/jwks.json")).await;
    assert!(!jwks.to_string().contains(&key_id), "{jwks}");
    let token = server.token(&clients[0]).await;
    assert!(server.is_active(&clients[0], &token).await, "new tokens are active");
    server.token(&jwt).await;
    let rotated = admin(&server, Method::POST, "/clients/rotated/rotate-secret", json!({})).await;
    server.token(&Credentials::of(&rotated)).await;
}

async fn without_audit_rows_every_secret_can_be_removed(kind: Kind) {
    let mut server = started(kind).await;
    let client = server.register(json!({"client_id": "one", "scope": "read"})).await;
    let token = server.token(&client).await;
    let backup = back_up(&server);
    server.process.complete_log().await;
    let setup = restored(&server, backup).await;

    let warned = setup.run(&["restore-epoch", "--dry-run"]);
    assert_eq!(warned.code, 0, "{}", warned.stderr);
    assert!(warned.stderr.contains("without --audit-log"), "{}", warned.stderr);
    let done = setup.json(&["restore-epoch", "--expire-secrets", "--json"]);
    assert!(
        done["without_secret"].as_array().unwrap().contains(&json!("one")),
        "{done}"
    );
    let server = DedicatedServer::start(setup).await;
    assert_eq!(outcome(&server, &client, "read").await.0, StatusCode::UNAUTHORIZED);
    let renewed = admin(&server, Method::POST, "/clients/one/rotate-secret", json!({})).await;
    let renewed = Credentials::of(&renewed);
    assert!(!server.is_active(&renewed, &token).await);
    server.token(&renewed).await;
}

async fn invalid_audit_rows_are_named(kind: Kind) {
    let setup = super::cli::migrated(kind).await;
    let file = setup.directory().join("rows");
    let name = file.to_str().unwrap();
    let missing = setup.run(&["restore-epoch", "--audit-log", "/nowhere"]);
    rejected(&missing, 2, &["--audit-log /nowhere cannot be read"]);
    for (text, expected) in [
        ("\n{not JSON\n", "line 2 is not a JSON object of an audit row or a log"),
        ("{\n\"items\": [], \"next_cursor\": \"x\"}", "is not the last page"),
        (
            r#"{"action": "client.update", "target_id": "x"}"#,
            "line 1 has neither at nor timestamp",
        ),
        (
            r#"{"action": "client.update", "timestamp": "today"}"#,
            "line 1 has a timestamp that is not RFC 3339",
        ),
        (
            r#"{"action": "client.update", "at": 1, "detail": "{"}"#,
            "line 1 has a detail that is not JSON",
        ),
        ("{\n\"items\": 5}", "is not a page of audit list --json"),
    ] {
        std::fs::write(&file, text).unwrap();
        rejected(
            &setup.run(&["restore-epoch", "--audit-log", name]),
            2,
            &["--audit-log", expected],
        );
    }
    // What a service prints besides, and a line that a crash cut.
    std::fs::write(&file, "listening on 8080\n{\"action\": \"client.up").unwrap();
    let skipped = setup.run(&["restore-epoch", "--audit-log", name, "--dry-run"]);
    assert_eq!(skipped.code, 0, "{}", skipped.stderr);
    assert!(
        skipped.stderr.contains("2 lines are no complete JSON objects"),
        "{}",
        skipped.stderr
    );
    // Nothing was done.
    let cutoffs = setup.json(&["token", "cutoffs", "--json"]);
    assert_eq!(cutoffs["items"], json!([]));
}
