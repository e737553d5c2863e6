//! Signing keys: who signs when, and that verifiers never notice.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, DedicatedServer, Kind, Server, Setup};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{setup, start};

mod bulk_issuance;
mod failed_changes;
mod import_formats;
mod key_import_and_rewrap;
mod leaked_key;
mod old_issuer;
mod pkcs12;
mod shared_secret;
mod verify_only;
mod verify_only_import;
mod watch;

on_both_stores!(
    verification_survives_a_hundred_rotations_under_load,
    third_party_libraries_verify_every_algorithm,
    hs256_requires_a_configured_secret_that_is_never_published,
    revoking_a_key_revokes_its_tokens,
    keys_rotate_by_age,
);

const SECRET: &str = "a-secret-of-the-tests-shared-with-verifiers";

/// Keys are published for 1.2 s before they sign, and tokens live for two.
fn brisk(setup: Setup) -> Setup {
    setup
        .with("OAUTH2_KEYS_JWKS_MAX_AGE", "1")
        .with("OAUTH2_KEYS_CLOCK_SKEW", "0.2")
        .with("OAUTH2_ACCESS_TOKEN_EXPIRATION", "2")
}

/// A program that verifies tokens as a resource server does, until it is stopped.
struct Verifier(Child);

impl Verifier {
    fn start(server: &Server, clients: &[(&str, &Credentials)]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python =
            std::env::var_os("OUTSIDE_PYTHON").map_or_else(|| root.join("target/outside/bin/python"), PathBuf::from);
        let mut child = Command::new(python)
            .arg(root.join("tests/outside/verifier.py"))
            .arg(server.issuer())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let shared = |kind: &str| (kind == "HS256").then_some(SECRET);
        let clients: Vec<Value> = clients
            .iter()
            .map(|(kind, client)| json!({"kind": kind, "id": client.id, "secret": client.secret, "shared": shared(kind)}))
            .collect();
        writeln!(child.stdin.as_mut().unwrap(), "{}", Value::from(clients)).unwrap();
        Self(child)
    }

    /// How many were verified, and for how many a key had to be fetched that nobody had announced.
    fn stop(mut self) -> Value {
        drop(self.0.stdin.take());
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(self.0.wait().unwrap().success(), "{line}");
        serde_json::from_str(&line).unwrap()
    }
}

async fn admin(server: &Server, method: Method, path: &str, body: Value) -> Value {
    let response = server.admin(method, path).json(&body).send().await.unwrap();
    let (status, body) = (response.status(), body_of(response).await);
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

/// Asserts that the admin API rejects a body, with this reason.
async fn is_rejected(server: &Server, path: &str, body: &Value, status: StatusCode, reason: &str) {
    let response = server.admin(Method::POST, path).json(body).send().await.unwrap();
    let (found, text) = (response.status(), response.text().await.unwrap());
    assert!(
        found == status && text.contains(reason),
        "{found} {text} lacks {reason}"
    );
}

/// Key ids of one algorithm in some state.
async fn kids(server: &Server, algorithm: &str, state: &str) -> Vec<String> {
    let keys = admin(server, Method::GET, "/keys", json!({})).await;
    let fits = |key: &&Value| key["algorithm"] == algorithm && key["state"] == state;
    let found = keys["items"].as_array().unwrap().iter().filter(fits);
    found.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn published(server: &Server) -> Vec<String> {
    let keys = server.get_json(server.url("/.well-known/jwks.json")).await;
    keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

fn kid_of(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Ends the server as an operator does, and starts it again.
pub async fn restart(server: &mut DedicatedServer) {
    server.process.signal("TERM");
    server.process.wait(Duration::from_secs(30)).await;
    server.start_again().await;
}

/// Waits for an event, with a patience that only a fault exceeds.
pub async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    oauth2_testkit::until(Duration::from_secs(30), what, holds).await;
}

async fn verification_survives_a_hundred_rotations_under_load(store: Kind) {
    const ROTATIONS: usize = 100;
    let server = DedicatedServer::start(brisk(setup(store).await)).await;
    let paseto = server.register(json!({})).await;
    let jwt = server
        .register(json!({"token_format": "jwt", "signing_alg": "EdDSA"}))
        .await;
    let es256 = server
        .register(json!({"token_format": "jwt", "signing_alg": "ES256", "token_ledger": "stateless"}))
        .await;
    let verifier = Verifier::start(&server, &[("paseto", &paseto), ("EdDSA", &jwt), ("ES256", &es256)]);
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    for _ in 0..ROTATIONS {
        ticks.tick().await;
        admin(&server, Method::POST, "/keys/rotate", json!({})).await;
    }
    // Until the last one signs.
    let newest = kids(&server, "EdDSA", "published").await.pop().unwrap();
    until("the newest key signs", async || {
        kids(&server, "EdDSA", "signing").await == [newest.clone()]
    })
    .await;
    let seen = verifier.stop();
    assert_eq!(seen["unknown"], 0, "no key signs before verifiers may know it: {seen}");
    assert!(
        seen["verified"].as_u64().unwrap() > 500 && seen["keys"].as_u64().unwrap() >= 3 * 90,
        "{seen}"
    );
    // What the first keys signed has expired, and so they are gone.
    until("old keys are removed", async || {
        kids(&server, "EdDSA", "retired").await.len() < 40
    })
    .await;
}

async fn third_party_libraries_verify_every_algorithm(store: Kind) {
    let server = DedicatedServer::start(brisk(setup(store).await).with("OAUTH2_JWT_SECRET", SECRET)).await;
    assert_eq!(
        published(&server).await.len(),
        2,
        "no RSA key before a client wants one"
    );
    let mut clients = vec![("paseto", server.register(json!({})).await)];
    for alg in ["EdDSA", "Ed25519", "ES256", "RS256", "PS256", "HS256"] {
        let client = json!({"token_format": "jwt", "signing_alg": alg, "scope": "read"});
        clients.push((alg, server.register(client).await));
    }
    assert_eq!(published(&server).await.len(), 5, "HS256 has nothing to publish");
    let borrowed: Vec<_> = clients.iter().map(|(kind, client)| (*kind, client)).collect();
    let verifier = Verifier::start(&server, &borrowed);
    for (alg, client) in &clients {
        let token = server.token(client).await;
        assert!(server.is_active(client, &token).await, "{alg}");
        let mut altered = token.clone().into_bytes();
        let at = token.rfind('.').unwrap() - 10;
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        assert!(
            !server.is_active(client, std::str::from_utf8(&altered).unwrap()).await,
            "{alg}"
        );
        server.revoke(client, &token).await;
        assert!(!server.is_active(client, &token).await, "{alg}");
    }
    admin(&server, Method::POST, "/keys/rotate", json!({"algorithm": "RS256"})).await;
    until("the new RSA key signs", async || {
        !kids(&server, "RS256", "retired").await.is_empty()
    })
    .await;
    let seen = verifier.stop();
    assert_eq!(seen["unknown"], 0, "{seen}");
    assert!(seen["verified"].as_u64().unwrap() >= 12, "{seen}");
}

async fn hs256_requires_a_configured_secret_that_is_never_published(store: Kind) {
    let mut server = start(store).await;
    let client = json!({"client_id": "old", "token_format": "jwt", "signing_alg": "HS256"});
    let response = server
        .admin(Method::POST, "/clients")
        .json(&client)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let text = body_of(response).await["error_description"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        text.contains("signing_alg") && text.contains("OAUTH2_JWT_SECRET"),
        "{text}"
    );
    let refused = server
        .setup
        .run(&["client", "create", "--format", "jwt", "--signing-alg", "HS256"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("OAUTH2_JWT_SECRET"),
        "{}",
        refused.stderr
    );

    server.setup.set("OAUTH2_JWT_SECRET", SECRET);
    restart(&mut server).await;
    let client = server.register(client).await;
    let token = server.token(&client).await;
    assert!(server.is_active(&client, &token).await);
    assert!(!published(&server).await.contains(&kid_of(&token)));
    let eddsa = server
        .register(json!({"token_format": "jwt", "signing_alg": "EdDSA"}))
        .await;
    assert_ne!(
        kid_of(&server.token(&eddsa).await),
        kid_of(&token),
        "only who asks for it gets it"
    );
}

async fn revoking_a_key_revokes_its_tokens(store: Kind) {
    let server = start(store).await;
    let client = server
        .register(json!({"token_format": "jwt", "signing_alg": "EdDSA"}))
        .await;
    let other = server.register(json!({})).await;
    let (token, paseto) = (server.token(&client).await, server.token(&other).await);
    // On Postgres another node has verified it, too.
    let second = match store {
        Kind::Postgres => {
            let beside = server.setup.second_node();
            let second = DedicatedServer::start(beside.with("OAUTH2_ISSUER", server.issuer())).await;
            assert!(second.is_active(&client, &token).await);
            Some(second)
        }
        Kind::Sqlite => None,
    };
    let kid = kid_of(&token);
    admin(&server, Method::POST, &format!("/keys/{kid}/revoke"), json!({})).await;
    assert!(!server.is_active(&client, &token).await, "at once");
    assert!(!published(&server).await.contains(&kid));
    assert!(server.is_active(&other, &paseto).await, "another key's token");
    let next = server.token(&client).await;
    assert!(server.is_active(&client, &next).await && kid_of(&next) != kid);
    assert!(published(&server).await.contains(&kid_of(&next)));
    if let Some(second) = second {
        // Promised within a second.
        let deadline = Instant::now() + Duration::from_secs(2);
        while second.is_active(&client, &token).await {
            assert!(Instant::now() < deadline, "the other node goes on believing");
        }
        until("it knows the new key", async || second.is_active(&client, &next).await).await;
    }
    let gone = server
        .admin(Method::POST, &format!("/keys/{kid}/revoke"))
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    // From the command line, beside the server.
    let kid = kid_of(&next);
    let done = server.setup.run(&["key", "revoke", &kid]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    until("the server hears of it", async || {
        !server.is_active(&client, &next).await
    })
    .await;
    let again = server.setup.run(&["key", "revoke", &kid]);
    assert!(again.code == 2 && again.stderr.contains("no key"), "{}", again.stderr);
}

async fn keys_rotate_by_age(store: Kind) {
    // A little over two seconds.
    let server = DedicatedServer::start(brisk(setup(store).await).with("OAUTH2_KEYS_ROTATION_DAYS", "0.000025")).await;
    let first = kids(&server, "ES256", "signing").await;
    until("a key follows", async || {
        !kids(&server, "ES256", "retired").await.is_empty()
    })
    .await;
    assert_ne!(kids(&server, "ES256", "signing").await, first);
    until("the first is removed", async || {
        let gone = first[0].clone();
        !published(&server).await.contains(&gone)
    })
    .await;
    let gauge = server
        .metric(
            "oauth2_server_signing_keys",
            &[("algorithm", "ES256"), ("state", "signing")],
        )
        .await;
    assert!((gauge.unwrap() - 1.0).abs() < 0.5);
    let refused = server
        .setup
        .command(&["config", "check"])
        .env("OAUTH2_KEYS_ROTATION_DAYS", "0.00001")
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("OAUTH2_KEYS_ROTATION_DAYS"));
}
