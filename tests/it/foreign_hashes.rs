//! Clients that keep the secrets whose hashes another product made.

use std::time::Duration;

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, Kind, Server, Setup, until};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::bulk::exported;
use crate::start;

mod after_replacement;
mod files;
mod pool;
mod requests;
mod weak_secrets;

on_both_stores!(
    secrets_of_the_original_libraries_authenticate,
    first_success_replaces_a_strong_secret,
    weak_secret_stays_slow_and_is_named,
    secret_that_bcrypt_cuts_stays_slow,
);

/// Hashes that the original libraries made; see `tests/foreign_hashes/README.md`.
const VECTORS: &str = include_str!("../foreign_hashes/vectors.jsonl");

/// bcrypt with a cost of 4 of `hunter2`, by Go.
const WEAK: (&str, &str) = (
    "hunter2",
    "$2a$04$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK",
);

const PATIENCE: Duration = Duration::from_secs(30);

/// The strong secret of the vectors, and its hash by this library.
fn strong(made_by: &str) -> (String, String) {
    let vectors = VECTORS.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found = vectors.filter(|vector| vector["made_by"].as_str().unwrap().starts_with(made_by));
    let vector = found.next().unwrap();
    let text = |name: &str| vector[name].as_str().unwrap().to_owned();
    (text("secret"), text("hash"))
}

/// Imports records over HTTP; the response must be 200.
async fn import(server: &Server, query: &str, records: &[Value]) -> Value {
    let lines: Vec<_> = records.iter().map(Value::to_string).collect();
    let request = server.admin(Method::POST, &format!("/clients:import{query}"));
    let request = request
        .header("content-type", "application/x-ndjson")
        .body(lines.join("\n"));
    let response = request.send().await.unwrap();
    let (status, body) = (response.status(), body_of(response).await);
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

/// The status of a token request. A shed request is repeated, as clients do.
async fn status(server: &Server, id: &str, secret: &str) -> StatusCode {
    let (mut found, client) = (StatusCode::SERVICE_UNAVAILABLE, form(id, secret));
    until(PATIENCE, "a response other than 503", async || {
        let request = server.http.post(server.url("/oauth/token")).form(&client);
        found = request.send().await.unwrap().status();
        found != StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    found
}

/// Waits until the server knows a client with this secret.
async fn accepted(server: &Server, id: &str, secret: &str) {
    let is_accepted = async || status(server, id, secret).await == StatusCode::OK;
    until(PATIENCE, "the client is known", is_accepted).await;
}

fn form(id: &str, secret: &str) -> [(&'static str, String); 3] {
    [
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", id.to_owned()),
        ("client_secret", secret.to_owned()),
    ]
}

/// The clients that `client list --slow-secrets` names; over HTTP they are the same.
async fn slow(server: &Server) -> Vec<String> {
    let ids = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|client| client["client_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let listed = ids(&server.setup.json(&["client", "list", "--slow-secrets", "--json"]));
    let response = server
        .admin(Method::GET, "/clients?slow_secrets=true")
        .send()
        .await
        .unwrap();
    assert_eq!(ids(&body_of(response).await), listed);
    listed
}

async fn checks(server: &Server, outcome: &str) -> u64 {
    let name = "oauth2_server_foreign_hash_checks_total";
    let found = server.metric(name, &[("outcome", outcome)]).await;
    found.expect("exported at 0 from the start") as u64
}

async fn replaced(server: &Server) -> u64 {
    let found = server.metric("oauth2_server_secrets_replaced_total", &[]).await;
    found.expect("exported at 0 from the start") as u64
}

fn exported_client(setup: &Setup, id: &str) -> Value {
    let mut all = exported(setup).into_iter();
    all.find(|client| client["client_id"] == id).unwrap()
}

async fn secrets_of_the_original_libraries_authenticate(kind: Kind) {
    let mut setup = crate::setup(kind).await;
    // Each vector has several near misses.
    setup.set("OAUTH2_LIMITS_AUTH_FAILURES_MODE", "observe");
    let server = oauth2_testkit::DedicatedServer::start(setup).await;
    let vectors: Vec<Value> = VECTORS
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let record = |(number, vector): (usize, &Value)| {
        let mut record = json!({"client_id": format!("v{number}"), "client_secret_hash": vector["hash"]});
        if let Some(scheme) = vector.get("scheme") {
            record["client_secret_hash_scheme"] = scheme.clone();
        }
        record
    };
    let records: Vec<Value> = vectors.iter().enumerate().map(record).collect();
    let result = import(&server, "", &records).await;
    assert_eq!(result["created"], vectors.len());
    assert!(
        result["warnings"][0].as_str().unwrap().starts_with("bcrypt hashes of "),
        "{result}"
    );
    for (number, vector) in vectors.iter().enumerate() {
        let (id, secret) = (format!("v{number}"), vector["secret"].as_str().unwrap());
        let hash = vector["hash"].as_str().unwrap();
        let changed = format!("#{}", secret.chars().skip(1).collect::<String>());
        let upper = secret.to_ascii_uppercase();
        let mut wrong = vec![&secret[..secret.len() - 1], &*changed, &*upper];
        wrong.extend((hash != secret).then_some(hash));
        for wrong in wrong {
            assert_eq!(
                status(&server, &id, wrong).await,
                StatusCode::UNAUTHORIZED,
                "{vector}: {wrong}"
            );
        }
        assert_eq!(status(&server, &id, secret).await, StatusCode::OK, "{vector}");
    }
}

async fn first_success_replaces_a_strong_secret(kind: Kind) {
    let server = start(kind).await;
    let (secret, hash) = strong("Ory Hydra pbkdf2-sha256");
    let record = json!({"client_id": "moved", "client_secret_hash": hash, "scope": "read"});
    import(&server, "", std::slice::from_ref(&record)).await;
    assert_eq!(slow(&server).await, ["moved"]);
    let shown = async || {
        server
            .admin(Method::GET, "/clients/moved")
            .send()
            .await
            .unwrap()
            .headers()["etag"]
            .clone()
    };
    let version = shown().await;

    let client = Credentials::new("moved", &*secret);
    let token = server.token(&client).await;
    until(PATIENCE, "the hash is replaced", async || {
        slow(&server).await.is_empty()
    })
    .await;
    assert_eq!((checks(&server, "matched").await, replaced(&server).await), (1, 1));
    assert!(server.is_active(&client, &token).await, "its tokens live on");
    assert_eq!(
        shown().await,
        version,
        "a change that an operator prepared meets no conflict"
    );
    let fast = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes()));
    assert_eq!(exported_client(&server.setup, "moved")["client_secret_sha256"], fast);
    let rows = server
        .setup
        .json(&["audit", "list", "--kind", "client.secret_upgrade", "--json"]);
    let row = &rows["items"][0];
    assert_eq!(
        (&row["target_id"], &row["detail"]["scheme"]),
        (&json!("moved"), &json!("pbkdf2-sha256")),
        "{rows}"
    );

    // Now it is a client like any other.
    let before = checks(&server, "matched").await + checks(&server, "remembered").await;
    server.token(&client).await;
    assert_eq!(
        checks(&server, "matched").await + checks(&server, "remembered").await,
        before
    );
    assert_eq!(status(&server, "moved", &hash).await, StatusCode::UNAUTHORIZED);

    // The file that it came from changes nothing, in either way.
    for query in ["", "?overwrite=true"] {
        let again = import(&server, query, std::slice::from_ref(&record)).await;
        assert_eq!(
            (&again["unchanged"], &again["updated"]),
            (&json!(1), &json!(0)),
            "{query}"
        );
    }
    let output = server.setup.run_with_input(
        &["client", "import", "-", "--format", "jsonl"],
        &exported_client(&server.setup, "moved").to_string(),
    );
    assert!(
        output.code == 0 && output.stdout.contains("1 unchanged"),
        "{}{}",
        output.stdout,
        output.stderr
    );
}

async fn weak_secret_stays_slow_and_is_named(kind: Kind) {
    let mut server = start(kind).await;
    import(
        &server,
        "",
        &[json!({"client_id": "weak", "client_secret_hash": WEAK.1})],
    )
    .await;
    assert_eq!(status(&server, "weak", WEAK.0).await, StatusCode::OK);
    assert_eq!(status(&server, "weak", WEAK.0).await, StatusCode::OK);
    assert_eq!(
        (checks(&server, "matched").await, checks(&server, "remembered").await),
        (1, 1),
        "once per process"
    );
    assert_eq!(
        (slow(&server).await, replaced(&server).await),
        (vec!["weak".to_owned()], 0)
    );
    server.process.kill();
    server.start_again().await;
    assert_eq!(status(&server, "weak", WEAK.0).await, StatusCode::OK);
    for wrong in ["hunter", "hunter2x", "Hunter2", "hunter2\0", "", WEAK.1] {
        assert_eq!(
            status(&server, "weak", wrong).await,
            StatusCode::UNAUTHORIZED,
            "{wrong:?}"
        );
    }
    // A rotation ends it.
    let rotated = server.setup.run(&["client", "rotate-secret", "weak", "--overlap", "0"]);
    assert_eq!(rotated.code, 0, "{}", rotated.stderr);
    assert!(slow(&server).await.is_empty());
    until(PATIENCE, "the old secret ends", async || {
        status(&server, "weak", WEAK.0).await == StatusCode::UNAUTHORIZED
    })
    .await;
}

/// bcrypt verifies 72 bytes: what follows may be wrong, so it is not pinned as the secret.
async fn secret_that_bcrypt_cuts_stays_slow(kind: Kind) {
    let server = start(kind).await;
    let hash = "$2b$04$Wa4WXDLuPp6BKV9Sr.GHV.bads0SL1AZzNAW8JpUlpFQwqNOizTL6";
    let long = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_0123456789abcdef";
    import(&server, "", &[json!({"client_id": "long", "client_secret_hash": hash})]).await;
    for secret in [long, &long[..72], &format!("{}and another end", &long[..72])] {
        assert_eq!(
            status(&server, "long", secret).await,
            StatusCode::OK,
            "by its first 72 bytes"
        );
    }
    assert_eq!(status(&server, "long", &long[..71]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        (slow(&server).await, replaced(&server).await),
        (vec!["long".to_owned()], 0)
    );
}
