//! Rates of clients, failed authentications, and whose address counts.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, DedicatedServer, Kind, Server};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use super::{setup, start};

const TOO_MANY: StatusCode = StatusCode::TOO_MANY_REQUESTS;
const FAILED: StatusCode = StatusCode::UNAUTHORIZED;

on_both_stores!(
    rate_limit_is_exact_within_one_burst,
    each_endpoint_has_its_own_bucket,
    observe_mode_counts_without_rejecting,
    changed_rate_limit_takes_effect,
    default_rate_limit_applies_to_clients_without_their_own,
    wrong_secrets_do_not_lock_a_client_out,
    client_address_is_taken_from_trusted_proxies_only,
);

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// How often the token endpoint answered a client's request so.
async fn decisions(server: &Server, decision: &str) -> f64 {
    let labels = [("endpoint", "token"), ("decision", decision)];
    let name = "oauth2_server_rate_limit_decisions_total";
    server
        .metric(name, &labels)
        .await
        .expect("exported at 0 from the start")
}

/// 64 connections ask ten times as fast as they may: what is let through is the burst and what came back meanwhile.
async fn rate_limit_is_exact_within_one_burst(kind: Kind) {
    const RATE: u32 = 100;
    const BURST: u32 = 20;
    let server = start(kind).await;
    let limit = json!({ "token": format!("{RATE}/s:{BURST}") });
    let client = server
        .register(json!({ "client_id": "ci", "rate_limits": limit }))
        .await;
    let (began, passed, refused) = (Instant::now(), Cell::new(0_u32), Cell::new(0_u32));
    let asking = (0..64).map(async |_| {
        // As fast as it is answered, until ten times of what is let through in two seconds has been asked.
        while refused.get() < RATE * 2 * 9 {
            let response = server.request_token(&client, &[]).await;
            let counted = match response.status() {
                StatusCode::OK => &passed,
                StatusCode::TOO_MANY_REQUESTS => &refused,
                other => panic!("{other}"),
            };
            counted.set(counted.get() + 1);
        }
    });
    join_all(asking).await;
    let most = f64::from(BURST) + f64::from(RATE) * began.elapsed().as_secs_f64();
    let passed = f64::from(passed.get());
    assert!(passed <= most + 1.0, "{passed} of {most}");
    // Somebody asked all the time, so no more than a burst went unused.
    assert!(passed >= most - f64::from(BURST) - 1.0, "{passed} of {most}");
    assert!((decisions(&server, "allowed").await - passed).abs() < 0.5);
}

async fn each_endpoint_has_its_own_bucket(kind: Kind) {
    let server = start(kind).await;
    let limits = json!({"token": "2/h", "introspection": "3/h", "revocation": "1/h"});
    let client = server.register(json!({ "rate_limits": limits })).await;
    let response = server.request_token(&client, &[]).await;
    assert_eq!(header(&response, "ratelimit-policy"), r#""token";q=2;w=3600"#);
    assert_eq!(header(&response, "ratelimit"), r#""token";r=1;t=1800"#);
    let token = body_of(response).await["access_token"].as_str().unwrap().to_owned();
    assert_eq!(server.request_token(&client, &[]).await.status(), StatusCode::OK);

    let response = server.request_token(&client, &[]).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&response, "ratelimit"), r#""token";r=0;t=3600"#);
    let wait: u64 = header(&response, "retry-after").parse().unwrap();
    assert!((1790..=1800).contains(&wait), "{wait}");
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert_eq!(body_of(response).await["error"], "too_many_requests");

    let ask = async |path: &str| server.post(&client, path, &[("token", &token)]).await.status();
    for _ in 0..2 {
        assert_eq!(ask("/oauth/introspect").await, StatusCode::OK);
    }
    // Each token of a batch counts.
    let batch = server.http.post(server.url("/oauth/introspect/batch"));
    let batch = batch
        .header("authorization", client.basic())
        .json(&json!({"tokens": [token, "x"]}));
    assert_eq!(batch.send().await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(ask("/oauth/introspect").await, StatusCode::OK);
    assert_eq!(ask("/oauth/introspect").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(ask("/oauth/revoke").await, StatusCode::OK);
    assert_eq!(ask("/oauth/revoke").await, StatusCode::TOO_MANY_REQUESTS);
    // A request that makes no sense has been asked all the same.
    let hasty = json!({"rate_limits": {"introspection": "1/h", "revocation": "1/h"}});
    let hasty = server.register(hasty).await;
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let nothing = server.post(&hasty, path, &[]).await;
        assert_eq!(nothing.status(), StatusCode::BAD_REQUEST);
        let token = server.post(&hasty, path, &[("token", "x")]).await;
        assert_eq!(token.status(), StatusCode::TOO_MANY_REQUESTS);
    }
    let other = server.register(json!({})).await;
    let response = server.request_token(&other, &[]).await;
    assert_eq!(
        (response.status(), header(&response, "ratelimit")),
        (StatusCode::OK, "")
    );
}

async fn observe_mode_counts_without_rejecting(kind: Kind) {
    let server = start(kind).await;
    let client = server
        .register(json!({"rate_limits": {"token": "1/h"}, "rate_limit_mode": "observe"}))
        .await;
    for _ in 0..3 {
        assert_eq!(server.request_token(&client, &[]).await.status(), StatusCode::OK);
    }
    assert!((decisions(&server, "observed").await - 2.0).abs() < 0.5);
    assert!(decisions(&server, "limited").await < 0.5);
}

async fn changed_rate_limit_takes_effect(kind: Kind) {
    let server = start(kind).await;
    let client = server
        .register(json!({"client_id": "ci", "rate_limits": {"token": "1/h"}}))
        .await;
    let ask = async || server.request_token(&client, &[]).await.status();
    assert_eq!(
        (ask().await, ask().await),
        (StatusCode::OK, StatusCode::TOO_MANY_REQUESTS)
    );
    let change = async |patch| {
        let response = server
            .admin(Method::PATCH, "/clients/ci")
            .json(&patch)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    };
    change(json!({"rate_limits": {"token": "2/h"}})).await;
    assert_eq!(
        (ask().await, ask().await, ask().await),
        (StatusCode::OK, StatusCode::OK, StatusCode::TOO_MANY_REQUESTS)
    );
    change(json!({"rate_limits": null})).await;
    assert_eq!(ask().await, StatusCode::OK);
}

async fn default_rate_limit_applies_to_clients_without_their_own(kind: Kind) {
    let server = DedicatedServer::start(setup(kind).await.with("OAUTH2_LIMITS_TOKEN", "1/h")).await;
    let (plain, own) = (
        server.register(json!({})).await,
        server.register(json!({"rate_limits": {"token": "2/h"}})).await,
    );
    for (client, expected) in [(&plain, 1), (&own, 2)] {
        let mut passed = 0;
        while server.request_token(client, &[]).await.status() == StatusCode::OK {
            passed += 1;
        }
        assert_eq!(passed, expected);
    }
}

async fn wrong_secrets_do_not_lock_a_client_out(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({})).await;
    let wrong = Credentials::new(&*client.id, "wrong");
    let began = Instant::now();
    let mut refused = Vec::new();
    for _ in 0..130 {
        let asked = Instant::now();
        let response = server.request_token(&wrong, &[]).await;
        match response.status() {
            StatusCode::UNAUTHORIZED => {}
            StatusCode::TOO_MANY_REQUESTS => {
                assert!(asked.elapsed() >= Duration::from_millis(150), "it is held back");
                refused.push(header(&response, "retry-after").to_owned());
            }
            other => panic!("{other}"),
        }
        // From the very same address, in the middle of it.
        assert_eq!(server.request_token(&client, &[]).await.status(), StatusCode::OK);
    }
    // A hundred at once, and one each 0.6 s.
    let allowed = 100 + (began.elapsed().as_millis() / 600) as usize;
    assert!(
        refused.len() >= 130 - allowed - 1 && refused.len() <= 30,
        "{}",
        refused.len()
    );
    assert!(refused.iter().all(|wait| wait == "1"), "{refused:?}");
    let rejects = "oauth2_server_reject_total";
    let counted = server
        .metric(rejects, &[("endpoint", "token"), ("reason", "auth_failures")])
        .await;
    assert!((counted.unwrap() - refused.len() as f64).abs() < 0.5);
    // Another client's failures are its own.
    let other = Credentials::new("nobody", "wrong");
    assert_eq!(
        server.request_token(&other, &[]).await.status(),
        StatusCode::UNAUTHORIZED
    );

    let observing = setup(kind)
        .await
        .with("OAUTH2_LIMITS_AUTH_FAILURES", "1/h")
        .with("OAUTH2_LIMITS_AUTH_FAILURES_MODE", "observe");
    let observing = DedicatedServer::start(observing).await;
    for _ in 0..3 {
        assert_eq!(
            observing.request_token(&other, &[]).await.status(),
            StatusCode::UNAUTHORIZED
        );
    }
    let over = observing
        .metric("oauth2_server_auth_failures_total", &[("decision", "over")])
        .await;
    assert!((over.unwrap() - 2.0).abs() < 0.5);
}

async fn client_address_is_taken_from_trusted_proxies_only(kind: Kind) {
    let limited = |setup: oauth2_testkit::Setup| setup.with("OAUTH2_LIMITS_AUTH_FAILURES", "1/h");
    let trusting = limited(setup(kind).await).with("OAUTH2_SERVER_TRUSTED_PROXIES", "127.0.0.0/8, ::1");
    let trusting = DedicatedServer::start(trusting).await;
    let fail = async |server: &Server, headers: &[(&str, &str)]| {
        let wrong = Credentials::new("somebody", "wrong");
        let mut request = server
            .http
            .post(server.url("/oauth/token"))
            .header("authorization", wrong.basic());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await
            .unwrap()
            .status()
    };
    let told = "x-forwarded-for";
    for (headers, expected) in [
        (vec![(told, "198.51.100.1")], FAILED),
        (vec![(told, "198.51.100.1")], TOO_MANY),
        // What the client wrote itself stands to the left.
        (vec![(told, "203.0.113.9, 198.51.100.1")], TOO_MANY),
        (vec![("forwarded", "for=198.51.100.1")], TOO_MANY),
        (vec![(told, "198.51.100.2")], FAILED),
        // One subscriber has a /64.
        (vec![(told, "2001:db8::1")], FAILED),
        (vec![(told, "2001:db8::2")], TOO_MANY),
        (vec![(told, "2001:db8:0:1::1")], FAILED),
        // Nobody knows whose word this is: the proxy's own bucket.
        (vec![(told, "198.51.100.3"), ("forwarded", "for=198.51.100.4")], FAILED),
        (vec![(told, "unknown")], TOO_MANY),
    ] {
        assert_eq!(fail(&trusting, &headers).await, expected, "{headers:?}");
    }
    let wary = DedicatedServer::start(limited(setup(kind).await)).await;
    assert_eq!(fail(&wary, &[(told, "198.51.100.1")]).await, FAILED);
    assert_eq!(
        fail(&wary, &[(told, "198.51.100.2")]).await,
        TOO_MANY,
        "a stranger's word"
    );
    let ignored = wary
        .metric("oauth2_server_proxy_header_ignored_total", &[("reason", "untrusted")])
        .await;
    assert!((ignored.unwrap() - 2.0).abs() < 0.5);
}
