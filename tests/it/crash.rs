//! `kill -9` under load, with a ledger that the clients keep: what was answered `200` holds afterwards.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use oauth2_testkit::server::json;
use oauth2_testkit::{Credentials, DedicatedServer, Kind, Postgres, Server, Setup};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::introspect::batch;
use crate::{BINARY, start};

on_both_stores!(acknowledged_writes_survive_a_kill);

const PATIENCE: Duration = Duration::from_mins(1);

/// Tokens asked about at a time: an opaque one is a look into the store, and all of them share one second.
const BATCH: usize = 50;

/// What the clients were told.
#[derive(Default)]
struct Told {
    issued: Mutex<Vec<String>>,
    revoked: Mutex<HashSet<String>>,
    /// Revocations that got no response: nobody was promised anything.
    unknown: Mutex<HashSet<String>>,
}

/// One client's life: gets tokens and revokes every fourth, until it gets no response at all. A `503` is an response.
async fn live(server: &Server, client: &Credentials, told: &Told, progress: &Semaphore, until: impl Fn() -> bool) {
    let send = async |path: &str, form: &[(&str, &str)]| {
        let request = server
            .http
            .post(server.url(path))
            .header("authorization", client.basic());
        request.form(form).send().await
    };
    let mut count = 0;
    while !until() {
        let Ok(response) = send("/oauth/token", &[("grant_type", "client_credentials")]).await else {
            return;
        };
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            continue;
        }
        assert_eq!(response.status(), StatusCode::OK);
        let Ok(body) = response.json::<Value>().await else {
            return;
        };
        let token = body["access_token"].as_str().unwrap().to_owned();
        told.issued.lock().unwrap().push(token.clone());
        progress.add_permits(1);
        count += 1;
        if count % 4 != 0 {
            continue;
        }
        let kept = match send("/oauth/revoke", &[("token", &token)])
            .await
            .map(|response| response.status())
        {
            Ok(StatusCode::OK) => &told.revoked,
            _ => &told.unknown,
        };
        kept.lock().unwrap().insert(token);
    }
}

/// Compares what the server says now with what the clients were told.
async fn compare(server: &Server, client: &Credentials, told: &Told) {
    let (issued, revoked) = (
        told.issued.lock().unwrap().clone(),
        told.revoked.lock().unwrap().clone(),
    );
    let unknown = told.unknown.lock().unwrap().clone();
    assert!(
        issued.len() > 100 && revoked.len() > 10,
        "{} and {}",
        issued.len(),
        revoked.len()
    );
    for tokens in issued.chunks(BATCH) {
        let answers = batch(server, client, tokens).await;
        for (token, response) in tokens.iter().zip(answers.as_array().unwrap()) {
            let active = response["active"].as_bool().unwrap();
            if revoked.contains(token) {
                assert!(!active, "a token is active although its revocation was answered 200");
            } else if !unknown.contains(token) {
                assert!(active, "a token is not active although it was answered 200");
            }
        }
    }
}

/// Every id that the ledger holds of a client.
async fn recorded(server: &Server, client: &Credentials) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/clients/{}/tokens?limit=1000{cursor}", client.id);
        let page = json(server.admin(Method::GET, &path).send().await.unwrap()).await;
        let items = page["items"].as_array().unwrap();
        found.extend(items.iter().map(|token| token["jti"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

async fn every_one_is_recorded(server: &Server, client: &Credentials, told: &Told) {
    let recorded = recorded(server, client).await;
    let issued = told.issued.lock().unwrap().clone();
    for tokens in issued.chunks(BATCH) {
        let answers = batch(server, client, tokens).await;
        for jti in answers
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|response| response["jti"].as_str())
        {
            assert!(recorded.contains(jti), "answered 200 and not in the ledger");
        }
    }
}

async fn acknowledged_writes_survive_a_kill(kind: Kind) {
    let mut server = start(kind).await;
    // Opaque tokens are active by their row alone; signed ones must have theirs all the same.
    for format in ["opaque", "paseto"] {
        let client = server.register(json!({"scope": "read", "token_format": format})).await;
        let (told, progress) = (Told::default(), Semaphore::new(0));
        let process = server.process.id();
        let kill = async {
            let _ = progress.acquire_many(400).await.unwrap();
            oauth2_testkit::process::signal(process, "KILL");
        };
        let clients = (0..16).map(|_| live(&server, &client, &told, &progress, || false));
        let all = futures_util::future::join(futures_util::future::join_all(clients), kill);
        tokio::time::timeout(PATIENCE, all).await.expect("every client notices");
        server.process.kill();
        server.start_again().await;
        compare(&server, &client, &told).await;
        every_one_is_recorded(&server, &client, &told).await;
    }
}

/// Postgres loses everything that it did not promise, comes back, and the server goes on without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_a_postgres_crash() {
    let mut postgres = Postgres::start(true);
    let server = DedicatedServer::start(Setup::on_postgres(BINARY, &postgres).await).await;
    let client = server
        .register(json!({"scope": "read", "token_format": "opaque"}))
        .await;
    let (told, progress) = (Told::default(), Semaphore::new(0));
    let done = std::sync::atomic::AtomicBool::new(false);
    let crash = async {
        for _ in 0..2 {
            let _ = progress.acquire_many(200).await.unwrap();
            progress.forget_permits(usize::MAX);
            tokio::task::block_in_place(|| {
                postgres.crash();
                postgres.resume();
            });
        }
        let _ = progress.acquire_many(100).await.unwrap();
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let until = || done.load(std::sync::atomic::Ordering::SeqCst);
    let clients = (0..8).map(|_| live(&server, &client, &told, &progress, until));
    let all = futures_util::future::join(futures_util::future::join_all(clients), crash);
    tokio::time::timeout(PATIENCE, all)
        .await
        .expect("it goes on after each crash");
    compare(&server, &client, &told).await;
}
