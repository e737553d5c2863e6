//! Rotation that watches verifiers: verifiers of the key sets, and keys that wait for them.

use oauth2_testkit::{Credentials, DedicatedServer, Kind, Server};
use reqwest::header::{ETAG, IF_NONE_MATCH, USER_AGENT};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{admin, brisk, is_rejected, kid_of, restart, until};
use crate::{setup, start};

on_both_stores!(
    a_key_waits_until_every_verifier_has_fetched_it,
    a_key_signs_at_its_deadline,
    verifiers_are_named_and_survive_a_restart,
    unusable_rotations_are_rejected,
    verifiers_of_before_a_restore_are_forgotten,
    a_key_does_not_sign_early_before_verifiers_are_known,
    migrate_check_is_no_verifier,
);

const JWKS: &str = "/.well-known/jwks.json";

/// Fetches a key set as a verifier does. `etag`: the set that it has. Returns the status and the new `ETag`.
async fn fetch(server: &Server, agent: &str, path: &str, etag: Option<&str>) -> (StatusCode, String) {
    let request = server.http.get(server.url(path)).header(USER_AGENT, agent);
    let request = match etag {
        Some(etag) => request.header(IF_NONE_MATCH, etag),
        None => request,
    };
    let response = request.send().await.unwrap();
    let etag = response.headers()[ETAG].to_str().unwrap().to_owned();
    (response.status(), etag)
}

async fn verifiers(server: &Server) -> Vec<Value> {
    let listed = admin(server, Method::GET, "/keys/verifiers", json!({})).await;
    listed["items"].as_array().unwrap().clone()
}

/// The keys that a verifier lacks, once it is known.
async fn lacked_by(server: &Server, agent: &str) -> Option<Vec<String>> {
    let verifiers = verifiers(server).await;
    let verifier = verifiers.iter().find(|verifier| verifier["user_agent"] == agent)?;
    let kids = verifier["lacks"].as_array().unwrap().iter();
    Some(kids.map(|kid| kid.as_str().unwrap().to_owned()).collect())
}

async fn client(server: &Server) -> Credentials {
    let client = json!({"token_format": "jwt", "signing_alg": "ES256"});
    server.register(client).await
}

/// As if the verifiers had been watched for a week: a key does not sign early before.
async fn watched_for_a_week(server: &DedicatedServer) {
    let statement = "UPDATE key_fetchers SET first_seen = first_seen - ";
    match server.setup.database_url() {
        Some(url) => {
            let client = oauth2_testkit::postgres::connect(url).await;
            let statement = format!("{statement} interval '8 days'");
            client.batch_execute(&statement).await.unwrap();
        }
        None => server
            .setup
            .sqlite()
            .execute_batch(&format!("{statement} 691200"))
            .unwrap(),
    }
}

/// Publishes a key of ES256 that waits for its verifiers. Returns its id.
async fn rotate_when_seen(server: &Server, deadline: u64) -> String {
    let body = json!({"algorithm": "ES256", "when_seen": true, "deadline_seconds": deadline});
    let new = admin(server, Method::POST, "/keys/rotate", body).await;
    let key = &new["items"][0];
    assert_eq!((&key["state"], &key["when_seen"]), (&json!("published"), &json!(true)));
    key["kid"].as_str().unwrap().to_owned()
}

async fn a_key_waits_until_every_verifier_has_fetched_it(store: Kind) {
    let server = DedicatedServer::start(brisk(setup(store).await)).await;
    let client = client(&server).await;
    let before = kid_of(&server.token(&client).await);
    let (_, old) = fetch(&server, "prompt", JWKS, None).await;
    fetch(&server, "frozen", JWKS, None).await;
    fetch(&server, "of-paseto", "/.well-known/paseto-keys.json", None).await;
    until("the verifiers are known", async || verifiers(&server).await.len() == 3).await;
    watched_for_a_week(&server).await;

    let new = rotate_when_seen(&server, 3600).await;
    let (status, etag) = fetch(&server, "prompt", JWKS, Some(&old)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        fetch(&server, "current", JWKS, Some(&etag)).await.0,
        StatusCode::NOT_MODIFIED
    );
    until("one verifier is behind", async || {
        server.metric("oauth2_server_verifiers_behind", &[]).await == Some(1.0)
    })
    .await;
    assert_eq!(server.metric("oauth2_server_verifiers", &[]).await, Some(4.0));
    assert_eq!(lacked_by(&server, "frozen").await, Some(vec![new.clone()]));
    for agent in ["prompt", "current", "of-paseto"] {
        assert_eq!(lacked_by(&server, agent).await, Some(Vec::new()), "{agent}");
    }
    let status = server.setup.run(&["key", "status"]);
    assert_eq!(status.code, 0, "{}", status.stderr);
    assert!(
        status.stdout.contains("1 of 4 verifiers") && status.stdout.contains("frozen"),
        "{}",
        status.stdout
    );
    assert!(
        status.stdout.contains("at the latest: 1 verifier lacks it") && !status.stdout.contains("prompt"),
        "{}",
        status.stdout
    );
    // Its cached set has expired, and it has not fetched the key.
    assert_eq!(kid_of(&server.token(&client).await), before);

    fetch(&server, "frozen", JWKS, None).await;
    until("the key signs", async || kid_of(&server.token(&client).await) == new).await;
    until("nobody is behind", async || {
        server.metric("oauth2_server_verifiers_behind", &[]).await == Some(0.0)
    })
    .await;
    let audit = server.setup.run(&["audit", "list", "--json"]).stdout;
    assert_eq!(audit.matches("\"key.activate\"").count(), 1, "{audit}");
}

async fn a_key_signs_at_its_deadline(store: Kind) {
    let server = DedicatedServer::start(brisk(setup(store).await)).await;
    let client = client(&server).await;
    fetch(&server, "frozen", JWKS, None).await;
    until("the verifier is known", async || verifiers(&server).await.len() == 1).await;
    let new = rotate_when_seen(&server, 8).await;
    until("it is behind", async || {
        server.metric("oauth2_server_verifiers_behind", &[]).await == Some(1.0)
    })
    .await;
    until("the deadline", async || kid_of(&server.token(&client).await) == new).await;
    assert_eq!(lacked_by(&server, "frozen").await, Some(vec![new]));
}

async fn verifiers_are_named_and_survive_a_restart(store: Kind) {
    let setup = setup(store).await.with("OAUTH2_SERVER_TRUSTED_PROXIES", "127.0.0.0/8");
    let mut server = DedicatedServer::start(setup).await;
    let long = "x".repeat(300);
    for (agent, address) in [("a \u{7f}b", "203.0.113.7"), (long.as_str(), "2001:db8::1")] {
        let agent = reqwest::header::HeaderValue::from_bytes(agent.replace('\u{7f}', "\t").as_bytes()).unwrap();
        let request = server.http.get(server.url(JWKS)).header(USER_AGENT, agent);
        let response = request.header("x-forwarded-for", address).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    // These do not leave the verifier with the set.
    let head = server.http.head(server.url(JWKS)).header(USER_AGENT, "head");
    assert_eq!(head.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(fetch(&server, "any", JWKS, Some("*")).await.0, StatusCode::NOT_MODIFIED);
    until("the verifiers are known", async || verifiers(&server).await.len() == 2).await;
    restart(&mut server).await;
    let mut found: Vec<_> = verifiers(&server)
        .await
        .iter()
        .map(|verifier| {
            let text = |name: &str| verifier[name].as_str().unwrap().to_owned();
            (
                text("address"),
                text("user_agent"),
                verifier["fetches"].as_u64().unwrap(),
            )
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            ("2001:db8::1".to_owned(), "x".repeat(128), 1),
            ("203.0.113.7".to_owned(), "a ?b".to_owned(), 1)
        ]
    );
}

async fn unusable_rotations_are_rejected(store: Kind) {
    let server = start(store).await;
    rotate_when_seen(&server, 86_400).await;
    for (body, status, reason) in [
        (
            json!({"algorithm": "ES256", "when_seen": true}),
            StatusCode::CONFLICT,
            "waits for its verifiers already",
        ),
        (
            json!({"when_seen": true, "deadline_seconds": 5}),
            StatusCode::BAD_REQUEST,
            "deadline_seconds must be from 360 s",
        ),
        (
            json!({"when_seen": true, "deadline_seconds": 7_776_001}),
            StatusCode::BAD_REQUEST,
            "to 7776000 s",
        ),
        (
            json!({"deadline_seconds": 86_400}),
            StatusCode::BAD_REQUEST,
            "deadline_seconds requires when_seen",
        ),
    ] {
        is_rejected(&server, "/keys/rotate", &body, status, reason).await;
    }
    for (arguments, reason) in [
        (&["--deadline", "7d"][..], "--when-seen"),
        (&["--when-seen", "--deadline", "soon"], "such as 90s, 30m, 12h or 7d"),
        (&["--when-seen", "--deadline", "1s"], "--deadline must be from 360 s"),
        (&["--when-seen", "--alg", "ES256"], "waits for its verifiers already"),
    ] {
        let refused = server.setup.run(&[&["key", "rotate"], arguments].concat());
        assert!(
            refused.code == 2 && refused.stderr.contains(reason),
            "{} {}",
            refused.code,
            refused.stderr
        );
    }
}

async fn verifiers_of_before_a_restore_are_forgotten(store: Kind) {
    let server = start(store).await;
    fetch(&server, "before", JWKS, None).await;
    until("the verifier is known", async || verifiers(&server).await.len() == 1).await;
    let restored = server.setup.run(&["restore-epoch"]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert_eq!(verifiers(&server).await, Vec::<Value>::new());
}

async fn a_key_does_not_sign_early_before_verifiers_are_known(store: Kind) {
    let server = DedicatedServer::start(brisk(setup(store).await)).await;
    let client = client(&server).await;
    let before = kid_of(&server.token(&client).await);
    let new = rotate_when_seen(&server, 15).await;
    fetch(&server, "current", JWKS, None).await;
    until("it has the key", async || {
        lacked_by(&server, "current").await == Some(Vec::new())
    })
    .await;
    // By now every cached key set has expired, and the one verifier has the key; there may be others.
    let later = admin(&server, Method::POST, "/keys/rotate", json!({"algorithm": "EdDSA"})).await;
    let later = later["items"][0]["kid"].clone();
    until("another key signs", async || {
        let keys = admin(&server, Method::GET, "/keys", json!({})).await;
        let keys = keys["items"].as_array().unwrap();
        keys.iter().any(|key| key["kid"] == later && key["state"] == "signing")
    })
    .await;
    assert_eq!(kid_of(&server.token(&client).await), before);
    let status = server.setup.json(&["key", "status", "--json"]);
    assert_eq!(
        status["waiting"],
        json!([{"kid": new, "reason": "verifiers have been recorded for less than a week"}])
    );
    until("the deadline", async || kid_of(&server.token(&client).await) == new).await;
    let audit = server.setup.run(&["audit", "list", "--json"]).stdout;
    assert!(!audit.contains("\"key.activate\""), "{audit}");
}

/// A fetch from one node counts on all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verifiers_of_all_nodes_are_waited_for() {
    let first = brisk(setup(Kind::Postgres).await);
    let issuer = format!("http://127.0.0.1:{}", first.public);
    let first = first.with("OAUTH2_ISSUER", issuer);
    let second = DedicatedServer::start(first.second_node()).await;
    let first = DedicatedServer::start(first).await;
    let client = client(&first).await;
    fetch(&first, "of-first", JWKS, None).await;
    fetch(&second, "of-second", JWKS, None).await;
    until("both are known to both", async || {
        verifiers(&first).await.len() == 2 && verifiers(&second).await.len() == 2
    })
    .await;
    watched_for_a_week(&first).await;
    let new = rotate_when_seen(&first, 3600).await;
    fetch(&first, "of-first", JWKS, None).await;
    until("one is behind", async || {
        first.metric("oauth2_server_verifiers_behind", &[]).await == Some(1.0)
    })
    .await;
    assert_ne!(kid_of(&first.token(&client).await), new);
    until("the other node publishes the key", async || {
        super::published(&second).await.contains(&new)
    })
    .await;
    fetch(&second, "of-second", JWKS, None).await;
    for node in [&first, &second] {
        until("the key signs on every node", async || {
            kid_of(&node.token(&client).await) == new
        })
        .await;
    }
    let audit = first.setup.run(&["audit", "list", "--json"]).stdout;
    assert_eq!(audit.matches("\"key.activate\"").count(), 1, "one node activates it");
}

/// It would lack the next key for a week.
async fn migrate_check_is_no_verifier(store: Kind) {
    let (old, new) = crate::migration::check::servers(store).await;
    let clients = "client_id,client_secret\nunknown,a-secret-that-no-client-has-at-all-0001\n";
    crate::migration::check::check(&old, &new, clients, &[]);
    for server in [&old, &new] {
        fetch(server, "verifier", JWKS, None).await;
        until("the verifier is known", async || !verifiers(server).await.is_empty()).await;
        let agents: Vec<_> = verifiers(server)
            .await
            .into_iter()
            .map(|it| it["user_agent"].clone())
            .collect();
        assert_eq!(agents, ["verifier"]);
    }
}
