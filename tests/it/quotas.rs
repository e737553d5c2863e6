//! Quotas of tokens, tokens that are still valid, and tokens that are given out again.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, DedicatedServer, Kind, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{setup, start};

on_both_stores!(
    quota_is_exact_under_load,
    remaining_quota_is_reported_everywhere,
    crash_loses_at_most_one_second_of_counting,
    observe_mode_does_not_reject,
    quota_below_the_used_amount_is_rejected,
    clients_that_do_not_cache_tokens_are_reported,
    cached_token_is_reused,
);

async fn usage(server: &Server, client: &Credentials) -> Value {
    let response = server
        .admin(Method::GET, &format!("/clients/{}/usage", client.id))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    body_of(response).await
}

/// What is used of the day.
fn used(usage: &Value) -> u64 {
    usage["quotas"][1]["used"].as_u64().unwrap()
}

/// An hour's end in the middle of a test would turn the window.
pub(super) async fn not_at_the_full_hour() {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let left = 3600 - now % 3600;
    if left < 20 {
        tokio::time::sleep(Duration::from_secs(left + 1)).await;
    }
}

async fn quota_is_exact_under_load(kind: Kind) {
    const QUOTA: u32 = 500;
    not_at_the_full_hour().await;
    let server = start(kind).await;
    for ledger in ["durable", "stateless"] {
        let client = server
            .register(json!({"token_ledger": ledger, "quotas": {"day": QUOTA}}))
            .await;
        let (passed, refused) = (Cell::new(0), Cell::new(0));
        let asking = (0..64).map(async |_| {
            while refused.get() < 64 {
                let response = server.request_token(&client, &[]).await;
                let counted = match response.status() {
                    StatusCode::OK => &passed,
                    StatusCode::TOO_MANY_REQUESTS => &refused,
                    // Shed by an overloaded machine; a shed request uses nothing.
                    StatusCode::SERVICE_UNAVAILABLE => continue,
                    other => panic!("{other}"),
                };
                counted.set(counted.get() + 1);
            }
        });
        join_all(asking).await;
        assert_eq!(passed.get(), QUOTA, "{ledger}");
        assert_eq!(used(&usage(&server, &client).await), u64::from(QUOTA));
    }
    // What was refused for another reason is not counted.
    let client = server.register(json!({"scope": "read", "quotas": {"day": 1}})).await;
    for _ in 0..3 {
        let response = server.request_token(&client, &[("scope", "admin")]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(server.request_token(&client, &[]).await.status(), StatusCode::OK);
}

async fn remaining_quota_is_reported_everywhere(kind: Kind) {
    not_at_the_full_hour().await;
    let server = DedicatedServer::start(setup(kind).await.with("OAUTH2_QUOTAS_MONTH", "100")).await;
    let client = server.register(json!({"client_id": "ci", "quotas": {"hour": 2}})).await;
    let response = server.request_token(&client, &[]).await;
    let header = |response: &reqwest::Response, name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert!(header(&response, "ratelimit-policy").starts_with(r#""hour";q=2;w=3600, "month";q=100;w="#));
    assert!(header(&response, "ratelimit").starts_with(r#""hour";r=1;t="#));
    assert_eq!(server.request_token(&client, &[]).await.status(), StatusCode::OK);
    let response = server.request_token(&client, &[]).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = header(&response, "retry-after").parse().unwrap();
    assert!((1..=3600).contains(&wait), "{wait}");
    assert!(
        body_of(response).await["error_description"]
            .as_str()
            .unwrap()
            .contains("quota")
    );
    let shown = usage(&server, &client).await;
    assert_eq!(shown["quotas"][0]["remaining"], 0);
    assert_eq!(
        (&shown["quotas"][1]["limit"], &shown["quotas"][2]["remaining"]),
        (&Value::Null, &json!(98))
    );
    // The store knows within a moment, and so does the command line.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let told = server.setup.json(&["client", "usage", "ci", "--json"]);
        if told["quotas"][0]["used"] == 2 {
            assert_eq!(told["quotas"], shown["quotas"]);
            break;
        }
        assert!(Instant::now() < deadline, "{told}");
    }
    let rejects = server
        .metric(
            "oauth2_server_reject_total",
            &[("endpoint", "token"), ("reason", "quota_exceeded")],
        )
        .await;
    assert!((rejects.unwrap() - 1.0).abs() < 0.5);
    assert_eq!(server.setup.run(&["client", "usage", "nobody"]).code, 2);
}

async fn crash_loses_at_most_one_second_of_counting(kind: Kind) {
    not_at_the_full_hour().await;
    let mut server = start(kind).await;
    let client = server.register(json!({"quotas": {"day": 1_000_000}})).await;
    let began = Instant::now();
    let (acknowledged, last_second) = (Cell::new(0_u64), Cell::new(0_u64));
    {
        let stop = Cell::new(false);
        let asking = join_all((0..32).map(async |_| {
            while !stop.get() {
                let response = server
                    .http
                    .post(server.url("/oauth/token"))
                    .header("authorization", client.basic());
                let response = response.form(&[("grant_type", "client_credentials")]).send().await;
                if !response.is_ok_and(|response| response.status() == StatusCode::OK) {
                    return;
                }
                acknowledged.set(acknowledged.get() + 1);
                if began.elapsed() > Duration::from_secs(2) {
                    last_second.set(last_second.get() + 1);
                }
            }
        }));
        let id = server.process.id();
        let killing = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            oauth2_testkit::process::signal(id, "KILL");
            stop.set(true);
        };
        tokio::join!(asking, killing);
    }
    server.process.wait(Duration::from_secs(10)).await;
    server.start_again().await;
    let counted = used(&usage(&server, &client).await);
    let (all, last) = (acknowledged.get(), last_second.get());
    assert!(
        counted + last >= all,
        "{counted} counted of {all}, {last} in the last second"
    );
    // Where nodes share a store, leased tokens count: less than a second's requests.
    let leased = if kind == Kind::Postgres { last } else { 0 };
    assert!(counted <= all + 64 + leased, "{counted} counted of {all}");
    assert!(last < all, "there was more than a second");
    // A stop as an operator makes it loses nothing.
    for _ in 0..10 {
        server.token(&client).await;
    }
    server.process.signal("TERM");
    server.process.wait(Duration::from_secs(30)).await;
    server.start_again().await;
    assert_eq!(used(&usage(&server, &client).await), counted + 10);
}

async fn observe_mode_does_not_reject(kind: Kind) {
    let server = start(kind).await;
    let client = server
        .register(json!({"quotas": {"hour": 1}, "quota_mode": "observe"}))
        .await;
    for _ in 0..3 {
        assert_eq!(server.request_token(&client, &[]).await.status(), StatusCode::OK);
    }
    let observed = server
        .metric("oauth2_server_quota_decisions_total", &[("decision", "observed")])
        .await;
    assert!((observed.unwrap() - 2.0).abs() < 0.5);
    // What an operator has issued counts, and is never refused.
    let enforced = server
        .register(json!({"client_id": "bulk", "quotas": {"day": 5}}))
        .await;
    let response = server
        .admin(Method::POST, "/tokens:issue")
        .json(&json!({"client_id": "bulk", "count": 7}))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(used(&usage(&server, &enforced).await), 7);
    assert_eq!(
        server.request_token(&enforced, &[]).await.status(),
        StatusCode::TOO_MANY_REQUESTS
    );
}

async fn quota_below_the_used_amount_is_rejected(kind: Kind) {
    not_at_the_full_hour().await;
    let server = start(kind).await;
    let client = server.register(json!({"client_id": "ci", "quotas": {"day": 10}})).await;
    for _ in 0..3 {
        server.token(&client).await;
    }
    let patch = async |body: Value| {
        let response = server
            .admin(Method::PATCH, "/clients/ci")
            .json(&body)
            .send()
            .await
            .unwrap();
        (response.status(), body_of(response).await)
    };
    let (status, body) = patch(json!({"quotas": {"day": 2}, "scope": "read"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let text = body["error_description"].as_str().unwrap();
    assert!(text.contains("quotas member day must be at least 3"), "{text}");
    assert_eq!(patch(json!({})).await.1["scope"], "", "nothing half done");
    assert_eq!(patch(json!({"quotas": {"day": 3}})).await.0, StatusCode::OK);
    assert_eq!(
        server.request_token(&client, &[]).await.status(),
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(
        patch(json!({"client_name": "still may be changed"})).await.0,
        StatusCode::OK
    );
    assert_eq!(
        patch(json!({"quotas": {"day": 1}, "quota_mode": "observe"})).await.0,
        StatusCode::OK
    );
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.setup.json(&["client", "usage", "ci", "--json"])["quotas"][1]["used"] != 3 {
        assert!(Instant::now() < deadline, "the store is told");
    }
    // At once, or the quota first and the mode then.
    for more in [&["--quota", "day=2"][..], &[]] {
        let refused = server
            .setup
            .run(&[&["client", "update", "ci", "--quota-mode", "enforce"], more].concat());
        assert!(
            refused.code == 2 && refused.stderr.contains("--quota member day"),
            "{}",
            refused.stderr
        );
    }
}

async fn clients_that_do_not_cache_tokens_are_reported(kind: Kind) {
    let mut server = DedicatedServer::start(setup(kind).await.with("OAUTH2_QUOTAS_STILL_VALID_TOKENS", "10")).await;
    let greedy = server.register(json!({"client_id": "greedy"})).await;
    let brief = server
        .register(json!({"client_id": "brief", "access_token_lifetime": 2}))
        .await;
    for _ in 0..20 {
        server.token(&greedy).await;
        server.token(&brief).await;
    }
    let top = async |server: &Server| {
        let response = server.admin(Method::GET, "/clients:top?limit=5").send().await.unwrap();
        body_of(response).await["items"].clone()
    };
    assert_eq!(top(&server).await[0]["still_valid_tokens"], 20);
    let deadline = Instant::now() + Duration::from_secs(20);
    while top(&server).await != json!([{"client_id": "greedy", "still_valid_tokens": 20}]) {
        assert!(
            Instant::now() < deadline,
            "those of two seconds expire: {}",
            top(&server).await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = server.setup.json(&["client", "top", "--json"]);
    assert_eq!(
        told["items"],
        json!([{"client_id": "greedy", "still_valid_tokens": 20}])
    );
    while server.metric("oauth2_server_clients_not_caching", &[]).await != Some(1.0) {
        assert!(Instant::now() < deadline, "the metric names how many");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.process.kill();
    server.start_again().await;
    while top(&server).await != json!([{"client_id": "greedy", "still_valid_tokens": 20}]) {
        assert!(
            Instant::now() < deadline + Duration::from_secs(20),
            "the ledger knows: {}",
            top(&server).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn cached_token_is_reused(kind: Kind) {
    let server = start(kind).await;
    for format in ["paseto", "jwt"] {
        let client = json!({
            "scope": "read write", "token_format": format, "reuse_percent": 90, "access_token_lifetime": 100, "quotas": {"day": 5},
        });
        let client = server.register(client).await;
        let first = server.token(&client).await;
        let response = server.request_token(&client, &[]).await;
        let body = body_of(response).await;
        assert_eq!(body["access_token"], first, "{format}");
        assert!(body["expires_in"].as_u64().unwrap() <= 100);
        let narrower = body_of(server.request_token(&client, &[("scope", "read")]).await).await;
        assert_ne!(narrower["access_token"], first);
        assert_eq!(
            used(&usage(&server, &client).await),
            2,
            "what is given out again costs nothing"
        );
        server.revoke(&client, &first).await;
        let next = server.token(&client).await;
        assert_ne!(next, first, "never one that is revoked");
        assert!(server.is_active(&client, &next).await);
        let patch = server
            .admin(Method::PATCH, &format!("/clients/{}", client.id))
            .json(&json!({"claims": {"a": 1}}));
        assert_eq!(patch.send().await.unwrap().status(), StatusCode::OK);
        assert_ne!(server.token(&client).await, next, "the client is another now");
    }
    let brief = server
        .register(json!({"reuse_percent": 10, "access_token_lifetime": 10}))
        .await;
    let first = server.token(&brief).await;
    let began = Instant::now();
    while server.token(&brief).await == first {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "in the first tenth of its life only"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let plain = server.register(json!({})).await;
    assert_ne!(server.token(&plain).await, server.token(&plain).await);
}
