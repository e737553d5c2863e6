//! Slow verifications next to other clients, to failures, and on several nodes.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD;
use futures_util::future::join_all;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{DedicatedServer, Kind, Server, until};
use reqwest::StatusCode;
use serde_json::json;

use super::{PATIENCE, WEAK, checks, form, import, replaced, slow, status, strong};
use crate::{setup, start};

on_both_stores!(
    full_queue_rejects_only_clients_with_slow_hashes,
    flood_is_counted_and_leaves_places_for_others,
    same_secret_is_verified_once_for_all_requests,
    hash_that_takes_a_second_is_verified_once,
    right_secret_is_not_rejected_for_the_failures_of_others,
);

/// bcrypt with a cost of 12 of nothing that is known here.
const DEAR: &str = "$2a$12$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK";

async fn full_queue_rejects_only_clients_with_slow_hashes(kind: Kind) {
    let server = start(kind).await;
    let native = server.register(json!({})).await;
    let clients: Vec<_> = (0..20)
        .map(|n| json!({"client_id": format!("dear{n}"), "client_secret_hash": DEAR}))
        .collect();
    import(&server, "", &clients).await;
    let storm = (0..100).map(async |n| {
        let form = form(&format!("dear{}", n % 20), &format!("a wrong secret, the number {n}"));
        let response = server
            .http
            .post(server.url("/oauth/token"))
            .form(&form)
            .send()
            .await
            .unwrap();
        let (status, retry_after) = (response.status(), response.headers().get("retry-after").cloned());
        (status, retry_after, body_of(response).await)
    });
    let others = (0..50).map(async |_| server.request_token(&native, &[]).await.status());
    let (storm, others) = tokio::join!(join_all(storm), join_all(others));
    assert!(others.iter().all(|status| *status == StatusCode::OK), "{others:?}");
    let shed: Vec<_> = storm
        .iter()
        .filter(|(status, ..)| *status == StatusCode::SERVICE_UNAVAILABLE)
        .collect();
    for (_, retry_after, body) in &shed {
        assert_eq!(
            (retry_after.as_ref().unwrap(), &body["error"]),
            (&"1".parse().unwrap(), &json!("temporarily_unavailable"))
        );
    }
    let left: Vec<_> = storm
        .iter()
        .filter(|(status, ..)| *status != StatusCode::SERVICE_UNAVAILABLE)
        .collect();
    assert!(
        left.iter().all(|(status, ..)| *status == StatusCode::UNAUTHORIZED),
        "{left:?}"
    );
    assert_eq!(checks(&server, "shed").await, shed.len() as u64);
    queue_is_empty(&server).await;
    let verified = checks(&server, "mismatched").await;
    assert!(
        left.len() as u64 <= verified && verified < storm.len() as u64,
        "{} answers of {verified} verifications: the queue was full",
        left.len()
    );
}

async fn queue_is_empty(server: &Server) {
    until(PATIENCE, "the queue is empty", async || {
        server.metric("oauth2_server_foreign_hash_queue", &[]).await == Some(0.0)
    })
    .await;
}

async fn failures(server: &Server) -> u64 {
    let mut sum = 0.0;
    for decision in ["within", "over"] {
        let name = "oauth2_server_auth_failures_total";
        sum += server.metric(name, &[("decision", decision)]).await.unwrap_or_default();
    }
    sum as u64
}

/// Sends token requests at once, each with another wrong secret, from an address: so many for each client.
async fn flood(server: &Server, last: u8, ids: &[&str], times: usize) -> Vec<StatusCode> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let local: IpAddr = [127, 0, 0, last].into();
    let http = reqwest::Client::builder()
        .no_proxy()
        .local_address(local)
        .build()
        .unwrap();
    let requests = ids.iter().flat_map(|id| (0..times).map(move |_| id)).map(|id| {
        let secret = format!("a wrong secret: {}", NUMBER.fetch_add(1, Ordering::Relaxed));
        http.post(server.url("/oauth/token")).form(&form(id, &secret)).send()
    });
    let responses = join_all(requests).await;
    responses
        .into_iter()
        .map(|response| response.unwrap().status())
        .collect()
}

async fn flood_is_counted_and_leaves_places_for_others(kind: Kind) {
    const FLOODED: [&str; 4] = ["dear0", "dear1", "dear2", "dear3"];
    let mut setup = setup(kind).await;
    setup.set("OAUTH2_LIMITS_AUTH_FAILURES", "3/h");
    // One thread, and a queue of 16.
    setup.set("OAUTH2_SERVER_WORKERS", "2");
    let server = DedicatedServer::start(setup).await;
    let ids = FLOODED.iter().chain(&["fresh0", "fresh1", "fresh2"]);
    let mut clients: Vec<_> = ids
        .map(|id| json!({"client_id": id, "client_secret_hash": DEAR}))
        .collect();
    let (secret, hash) = strong("golang.org/x/crypto/bcrypt");
    clients.push(json!({"client_id": "moved", "client_secret_hash": hash}));
    import(&server, "", &clients).await;

    // Most are answered 503 before they are verified; they count nevertheless. An address that found the queue full pays, too.
    let (_, full) = tokio::join!(flood(&server, 2, &FLOODED, 4), async {
        until(PATIENCE, "the queue is full", async || {
            server.metric("oauth2_server_foreign_hash_queue", &[]).await >= Some(12.0)
        })
        .await;
        flood(&server, 3, &FLOODED, 4).await
    });
    assert!(full.contains(&StatusCode::SERVICE_UNAVAILABLE), "{full:?}");
    queue_is_empty(&server).await;
    let verified = checks(&server, "mismatched").await;
    assert!(verified >= 8, "{verified}");
    assert_eq!(failures(&server).await, verified);
    for id in FLOODED {
        until(PATIENCE, "failures of the client are rejected", async || {
            flood(&server, 2, &[id], 1).await == [StatusCode::TOO_MANY_REQUESTS]
        })
        .await;
    }
    // Over the limit, one attempt at a time is verified for a client; else four are.
    for (address, id) in [(2, "fresh0"), (3, "fresh1"), (4, "fresh2")] {
        queue_is_empty(&server).await;
        let before = checks(&server, "mismatched").await;
        flood(&server, address, &[id], 4).await;
        queue_is_empty(&server).await;
        let verified = checks(&server, "mismatched").await - before;
        assert_eq!(verified == 4, address == 4, "{verified} from 127.0.0.{address}");
    }
    let (_, first) = tokio::join!(
        flood(
            &server,
            2,
            &["dear0", "dear1", "dear2", "dear3", "fresh0", "fresh1", "fresh2"],
            4
        ),
        status(&server, "moved", &secret)
    );
    assert_eq!(first, StatusCode::OK);
}

async fn same_secret_is_verified_once_for_all_requests(kind: Kind) {
    let server = start(kind).await;
    let (secret, hash) = strong("Spring Security {pbkdf2@SpringSecurity_v5_8}");
    import(
        &server,
        "",
        &[json!({"client_id": "moved", "client_secret_hash": hash})],
    )
    .await;
    let requests = (0..30).map(async |_| status(&server, "moved", &secret).await);
    assert!(join_all(requests).await.iter().all(|status| *status == StatusCode::OK));
    until(PATIENCE, "the hash is replaced", async || {
        slow(&server).await.is_empty()
    })
    .await;
    assert_eq!((checks(&server, "matched").await, replaced(&server).await), (1, 1));
}

/// The dearest hash that is imported takes longer than a request waits: the retry of a 503 finds the outcome.
async fn hash_that_takes_a_second_is_verified_once(kind: Kind) {
    const ITERATIONS: u32 = 9_200_000;
    let server = start(kind).await;
    let secret = strong("Authelia argon2id").0;
    let (salt, mut hash) = (*b"salt-of-16-bytes", [0; 32]);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        ITERATIONS.try_into().unwrap(),
        &salt,
        secret.as_bytes(),
        &mut hash,
    );
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    let text = format!("$pbkdf2-sha256$i={ITERATIONS},l=32${salt}${hash}");
    import(&server, "", &[json!({"client_id": "dear", "client_secret_hash": text})]).await;
    assert_eq!(status(&server, "dear", &secret).await, StatusCode::OK);
    until(PATIENCE, "the hash is replaced", async || {
        slow(&server).await.is_empty()
    })
    .await;
    assert_eq!((checks(&server, "matched").await, replaced(&server).await), (1, 1));
}

/// Slow hashes are verified by threads to which requests need not yield.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_that_verify_have_a_low_priority() {
    let server = start(Kind::Sqlite).await;
    let (secret, hash) = strong("Spring Security {pbkdf2@SpringSecurity_v5_8}");
    let client = json!({"client_id": "moved", "client_secret_hash": hash});
    import(&server, "", &[client]).await;
    assert_eq!(status(&server, "moved", &secret).await, StatusCode::OK);
    // Of each thread with a name: its niceness and its scheduling policy, fields 19 and 41 of proc_pid_stat(5).
    let scheduled = |name: &str| -> Vec<(String, String)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.process.id())).unwrap();
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).ok());
        let of_name = stats.filter_map(|stat| {
            let rest = stat.split_once(&format!("({name}) "))?.1.to_owned();
            let fields: Vec<&str> = rest.split_whitespace().collect();
            // The rest begins with field 3.
            Some((fields[19 - 3].to_owned(), fields[41 - 3].to_owned()))
        });
        of_name.collect()
    };
    let pool = scheduled("foreign-hash");
    assert!(
        !pool.is_empty() && pool.iter().all(|(nice, _)| nice == "10"),
        "{pool:?}"
    );
    let is_idle = async || {
        let spare = scheduled("foreign-spare");
        spare.len() == pool.len() && spare.iter().all(|(_, policy)| policy == "5")
    };
    until(PATIENCE, "spare threads run only while a core is idle", is_idle).await;
}

async fn right_secret_is_not_rejected_for_the_failures_of_others(kind: Kind) {
    let mut setup = setup(kind).await;
    setup.set("OAUTH2_LIMITS_AUTH_FAILURES", "2/h");
    let server = DedicatedServer::start(setup).await;
    let clients = ["known", "new"].map(|id| json!({"client_id": id, "client_secret_hash": WEAK.1}));
    import(&server, "", &clients).await;
    assert_eq!(status(&server, "known", WEAK.0).await, StatusCode::OK);
    for id in ["known", "new"] {
        let wrong: Vec<_> = join_all((0..3).map(async |n| status(&server, id, &format!("wrong {n}")).await)).await;
        assert!(wrong.contains(&StatusCode::TOO_MANY_REQUESTS), "{id}: {wrong:?}");
        assert_eq!(status(&server, id, WEAK.0).await, StatusCode::OK, "{id}");
        assert_eq!(status(&server, id, "wrong again").await, StatusCode::TOO_MANY_REQUESTS);
    }
    // The same wrong secret is not verified again.
    let before = checks(&server, "mismatched").await;
    assert_eq!(
        status(&server, "new", "wrong again").await,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(checks(&server, "mismatched").await, before);
}

/// The database decides which of several nodes replaces a hash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_replace_a_hash_once() {
    let first = setup(Kind::Postgres).await;
    let issuer = format!("http://127.0.0.1:{}", first.public);
    let first = first.with("OAUTH2_ISSUER", issuer);
    let second = first.second_node();
    let nodes = [
        DedicatedServer::start(first).await,
        DedicatedServer::start(second).await,
    ];
    let (secret, hash) = strong("Ory Hydra pbkdf2-sha512");
    let ids: Vec<String> = (0..10).map(|n| format!("moved{n}")).collect();
    let clients: Vec<_> = ids
        .iter()
        .map(|id| json!({"client_id": id, "client_secret_hash": hash}))
        .collect();
    import(&nodes[0], "", &clients).await;
    until(PATIENCE, "both know the clients", async || {
        status(&nodes[1], "moved9", "not its secret").await == StatusCode::UNAUTHORIZED
            && nodes[1].metric("oauth2_server_clients", &[]).await == Some(10.0)
    })
    .await;
    let requests = ids.iter().flat_map(|id| nodes.iter().map(move |node| (id, node)));
    let statuses = join_all(requests.map(async |(id, node)| status(node, id, &secret).await)).await;
    assert!(statuses.iter().all(|status| *status == StatusCode::OK), "{statuses:?}");
    until(PATIENCE, "all hashes are replaced", async || {
        slow(&nodes[0]).await.is_empty()
    })
    .await;
    let rows = nodes[0].setup.json(&[
        "audit",
        "list",
        "--kind",
        "client.secret_upgrade",
        "--limit",
        "100",
        "--json",
    ]);
    assert_eq!(rows["items"].as_array().unwrap().len(), ids.len(), "one row per hash");
    let count = replaced(&nodes[0]).await + replaced(&nodes[1]).await;
    assert_eq!(count, ids.len() as u64);
    for node in &nodes {
        for id in &ids {
            assert_eq!(status(node, id, &secret).await, StatusCode::OK);
        }
    }
}
