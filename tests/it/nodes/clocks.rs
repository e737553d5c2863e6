//! Machines whose clocks disagree: every node goes by the store's clock.

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{DedicatedServer, FakeTime, until};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{BY_NOTIFY, Nodes, PATIENCE};

/// How far the clocks are set, in seconds: one node's ahead, another's back.
const SKEW: i64 = 90;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_clocks_disagree_agree_on_tokens() {
    let mut nodes = Nodes::start(1, &[]).await;
    let mut clocks = Vec::new();
    for name in ["ahead", "back"] {
        let mut setup = nodes.first().setup.second_node();
        let clock = FakeTime::new(&setup.directory().join(name), 0);
        for (key, value) in clock.environment() {
            setup.set(key, value);
        }
        nodes.0.push(DedicatedServer::start(setup).await);
        clocks.push(clock);
    }
    nodes.hear_each_other().await;
    let client = nodes.register(json!({"scope": "read"})).await;
    let before: Vec<_> = {
        let mut tokens = Vec::new();
        for node in &nodes.0 {
            tokens.push(node.token(&client).await);
        }
        tokens
    };
    for (clock, seconds) in clocks.iter().zip([SKEW, -SKEW]) {
        clock.set(seconds);
    }
    for node in nodes.others() {
        until(PATIENCE, "the clock is reported", async || {
            let response = node.http.get(node.url("/ready")).send().await.unwrap();
            response.status() == StatusCode::SERVICE_UNAVAILABLE
                && body_of(response).await["checks"]["clock"] == json!(false)
        })
        .await;
    }

    nodes.revocations_are_seen_within(BY_NOTIFY).await;
    let cut_off = format!("/clients/{}/tokens:revoke-all", client.id);
    let revoked = nodes.first().admin(Method::POST, &cut_off).send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::OK);
    for node in &nodes.0 {
        for token in &before {
            until(PATIENCE, "the cut-off holds", async || {
                !node.is_active(&client, token).await
            })
            .await;
        }
    }
    // Beyond the cut-off, and neither expired nor of the future for anyone.
    for issuer in &nodes.0 {
        let token = issuer.token(&client).await;
        for node in &nodes.0 {
            assert!(node.is_active(&client, &token).await);
        }
    }
}
