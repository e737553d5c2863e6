//! Limits of groups of clients, for all nodes together.

use futures_util::future::join_all;
use oauth2_testkit::{Redis, until};
use reqwest::Method;
use serde_json::json;

use super::limits::{allowed, asks_redis, statuses};
use super::{Nodes, PATIENCE, by_redis};
use crate::quotas::not_at_the_full_hour;

/// Sets the limits of a group at the first node, and waits until every node applies them. Introspection spends none of its tokens.
async fn set(nodes: &Nodes, group: &str, rate: &str, quotas: serde_json::Value) {
    let limits = json!({"rate_limits": {"token": rate, "introspection": "1000000/h:1000000"}, "quotas": quotas});
    let request = nodes.first().admin(Method::PUT, &format!("/groups/{group}"));
    assert_eq!(request.json(&limits).send().await.unwrap().status(), 200);
    let witness = nodes
        .register(json!({"introspection_audiences": ["api"], "group": group}))
        .await;
    for node in &nodes.0 {
        let applies = async || {
            let response = node.post(&witness, "/oauth/introspect", &[("token", "x")]).await;
            let state = response.headers().get("ratelimit");
            state.is_some_and(|state| state.to_str().unwrap().contains("group-introspection"))
        };
        until(PATIENCE, "a node applies the limits of the group", applies).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_a_group_hold_for_all_nodes_together() {
    const QUOTA: usize = 90;
    not_at_the_full_hour().await;
    let redis = Redis::start(&[]);
    let nodes = Nodes::start(3, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    set(&nodes, "acme", "1000000/h:1000000", json!({"day": QUOTA})).await;
    let member = || nodes.register(json!({"scope": "read", "group": "acme"}));
    let clients = [member().await, member().await];
    let counts = join_all(clients.iter().map(|client| statuses(&nodes, client, 40))).await;
    let total: usize = counts.iter().map(allowed).sum();
    assert_eq!(total, QUOTA, "{counts:?}");

    // Nothing but a request a minute is refilled while the test runs.
    set(&nodes, "rated", "60/h:60", json!({})).await;
    let began = std::time::Instant::now();
    let member = || nodes.register(json!({"scope": "read", "group": "rated"}));
    let clients = [member().await, member().await];
    let counts = join_all(clients.iter().map(|client| statuses(&nodes, client, 30))).await;
    let total: usize = counts.iter().map(allowed).sum();
    let refilled = began.elapsed().as_secs() as usize / 60 + 1;
    assert!((60..=60 + refilled).contains(&total), "{counts:?}");
}
