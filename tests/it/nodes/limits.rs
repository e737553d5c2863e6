//! Rate limits of all nodes together: by leases from Redis, and by each node's share while Redis does not respond.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use oauth2_testkit::{Credentials, DedicatedServer, Redis, until};
use serde_json::json;

use super::{BY_REDIS, Nodes, PATIENCE, bus, by_redis};

/// For less than this a node does not ask Redis again for a bucket that was empty.
const EMPTY_BUCKET_IS_NOT_ASKED: Duration = Duration::from_millis(60);

/// A client with this rate at the token endpoint, which every node knows.
pub(super) async fn limited(nodes: &Nodes, rate: &str) -> Credentials {
    let metadata = json!({"scope": "read", "rate_limits": {"token": rate}});
    nodes.register(metadata).await
}

/// Requests tokens on every node at the same time. How many got which status.
pub(super) async fn statuses(nodes: &Nodes, client: &Credentials, requests_each: usize) -> BTreeMap<u16, usize> {
    let each = nodes.0.iter().map(async |node| {
        let mut statuses = Vec::new();
        for _ in 0..requests_each {
            statuses.push(node.request_token(client, &[]).await.status().as_u16());
        }
        statuses
    });
    let mut counts = BTreeMap::new();
    for status in join_all(each).await.into_iter().flatten() {
        *counts.entry(status).or_default() += 1;
    }
    counts
}

/// Only allowed and limited requests; how many were allowed.
pub(super) fn allowed(counts: &BTreeMap<u16, usize>) -> usize {
    assert!(counts.keys().all(|status| [200, 429].contains(status)), "{counts:?}");
    counts.get(&200).copied().unwrap_or(0)
}

async fn leases(node: &DedicatedServer) -> f64 {
    node.metric("oauth2_server_rate_limit_leases_total", &[]).await.unwrap()
}

async fn shares(node: &DedicatedServer) -> f64 {
    node.metric("oauth2_server_rate_limit_shares_total", &[]).await.unwrap()
}

/// Waits until a node asks Redis again.
pub(super) async fn asks_redis(nodes: &Nodes) {
    for node in &nodes.0 {
        let client = node
            .register(json!({"scope": "read", "rate_limits": {"token": "1000/s"}}))
            .await;
        let asks = async || {
            let before = shares(node).await;
            node.request_token(&client, &[]).await;
            shares(node).await <= before
        };
        until(PATIENCE, "Redis is asked", asks).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_holds_for_all_nodes_together() {
    let redis = Redis::start(&[]);
    let nodes = Nodes::start(3, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    // One request a minute is refilled: nothing, while the test runs.
    let client = limited(&nodes, "60/h:60").await;
    let began = Instant::now();
    let counts = statuses(&nodes, &client, 40).await;
    let refilled = began.elapsed().as_secs() as usize / 60 + 1;
    assert!((60..=60 + refilled).contains(&allowed(&counts)), "{counts:?}");

    // Requests that one node spent are missing on another.
    let client = limited(&nodes, "60/h:60").await;
    for _ in 0..30 {
        assert_eq!(nodes.first().request_token(&client, &[]).await.status(), 200);
    }
    let response = nodes.others()[0].request_token(&client, &[]).await;
    let remaining = response.headers()["ratelimit"].to_str().unwrap();
    assert!(remaining.contains(";r=29;"), "{remaining}");
}

/// In each two steps of the change that follow each other: nodes of the old key only, of both, of both in the other order, of the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_holds_while_the_key_encryption_key_is_replaced() {
    const CURRENT: &str = "OAUTH2_KEY_ENCRYPTION_KEY";
    const PREVIOUS: &str = "OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS";
    let redis = Redis::start(&[]);
    let mut nodes = Nodes::start(1, &by_redis(&redis)).await;
    let first = nodes.first().setup.clone();
    let old = first.variable(CURRENT).unwrap().to_owned();
    let new = format!("{}=", "E".repeat(43));
    let steps = [(&old, &new), (&new, &old)];
    for (current, previous) in steps {
        let setup = first.second_node().with(CURRENT, current).with(PREVIOUS, previous);
        nodes.0.push(DedicatedServer::start(setup).await);
    }
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    // One after the other, so that each node knows the requests of the other one.
    let holds = async |nodes: &Nodes, pair: [usize; 2]| {
        let client = limited(nodes, "60/h:60").await;
        let mut total = 0;
        for node in pair {
            for _ in 0..50 {
                let status = nodes.0[node].request_token(&client, &[]).await.status();
                total += usize::from(status == 200);
            }
        }
        assert!((60..=61).contains(&total), "{pair:?}: {total}");
    };
    holds(&nodes, [0, 1]).await;
    holds(&nodes, [1, 2]).await;
    let mut setup = nodes.0[2].setup.second_node();
    assert_eq!(setup.run(&["key", "rewrap"]).code, 0);
    setup.unset(PREVIOUS);
    nodes.0.push(DedicatedServer::start(setup).await);
    asks_redis(&nodes).await;
    holds(&nodes, [2, 3]).await;
    // Requests from before the keys changed places also count by the new name.
    holds(&nodes, [1, 3]).await;
}

/// A fast client's node takes several requests at once, and does not ask Redis for each. Together they are within the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_spare_questions_and_do_not_overrun() {
    let redis = Redis::start(&[]);
    let nodes = Nodes::start(2, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    let client = limited(&nodes, "200/s:200").await;
    let before = leases(nodes.first()).await;
    let began = Instant::now();
    let mut total = 0;
    for _ in 0..4 {
        let counts = join_all((0..4).map(async |_| allowed(&statuses(&nodes, &client, 25).await))).await;
        total += counts.into_iter().sum::<usize>();
    }
    let limit = 200 + (200.0 * began.elapsed().as_secs_f64()) as usize + 1;
    assert!(total <= limit, "{total} of {limit}");
    let asked = leases(nodes.first()).await - before;
    assert!(asked > 0.0 && asked < 200.0, "{asked} questions for 400 requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_allows_its_share_while_redis_does_not_respond() {
    let mut redis = Redis::start(&[]);
    let nodes = Nodes::start(3, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    for is_hanging in [false, true] {
        if is_hanging {
            redis.pause();
        } else {
            redis.stop();
        }
        let client = limited(&nodes, "60/h:60").await;
        let began = Instant::now();
        // The first request of each node may find out that Redis does not respond: it is decided as well.
        let counts = statuses(&nodes, &client, 40).await;
        assert!(began.elapsed() < PATIENCE);
        assert_eq!(allowed(&counts), 60, "20 each: {counts:?}");
        // Also when the others have not been heard for a while, with traffic or without.
        for node in &nodes.0 {
            until(PATIENCE, "the outage of the bus is seen", async || {
                bus(node, "up").await == 0
            })
            .await;
        }
        let client = limited(&nodes, "60/h:60").await;
        let counts = statuses(&nodes, &client, 40).await;
        assert_eq!(allowed(&counts), 60, "20 each: {counts:?}");
        if is_hanging {
            redis.unpause();
        } else {
            redis.resume();
        }
        asks_redis(&nodes).await;
        let client = limited(&nodes, "60/h:60").await;
        let counts = statuses(&nodes, &client, 40).await;
        assert!((60..=61).contains(&allowed(&counts)), "{counts:?}");
    }
}

/// Nodes remember their own spending, whatever is deleted from Redis or written to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_to_redis_raises_no_limit() {
    let redis = Redis::start(&[]);
    let nodes = Nodes::start(2, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    let client = limited(&nodes, "60/h:60").await;
    allowed(&statuses(&nodes, &client, 40).await);
    let keys = redis.command(&["KEYS", "oauth2_server:bucket:*"]);
    assert!(!keys.contains(&client.id), "names tell no client: {keys}");
    for value in [
        None,
        Some("0"),
        Some("x"),
        Some("nan"),
        Some("-1e300"),
        Some("1e300"),
        Some("inf"),
    ] {
        for key in keys.lines() {
            match value {
                None => redis.command(&["DEL", key]),
                Some(value) => redis.command(&["SET", key, value]),
            };
        }
        tokio::time::sleep(EMPTY_BUCKET_IS_NOT_ASKED).await;
        let counts = statuses(&nodes, &client, 5).await;
        assert!(allowed(&counts) <= 1, "{value:?}: {counts:?}");
    }
    for key in keys.lines() {
        redis.command(&["DEL", key]);
        redis.command(&["LPUSH", key, "x"]);
    }
    tokio::time::sleep(EMPTY_BUCKET_IS_NOT_ASKED).await;
    assert!(allowed(&statuses(&nodes, &client, 5).await) <= 1, "another type");
    assert!(shares(nodes.first()).await < 10.0, "Redis was never down for that");
    assert_eq!(redis.command(&["FLUSHALL"]), "OK");
    tokio::time::sleep(EMPTY_BUCKET_IS_NOT_ASKED).await;
    let counts = statuses(&nodes, &client, 5).await;
    assert!(allowed(&counts) <= 1, "{counts:?}");
}

/// A full Redis takes no bucket: each node allows its share. Messages pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_costs_shared_rates_only() {
    let redis = Redis::start(&[]);
    let nodes = Nodes::start(2, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    assert_eq!(redis.command(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    let client = limited(&nodes, "60/h:60").await;
    let counts = statuses(&nodes, &client, 40).await;
    assert_eq!(allowed(&counts), 60, "30 each: {counts:?}");
    nodes.revocations_are_seen_within(BY_REDIS).await;
    assert_eq!(redis.command(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
    asks_redis(&nodes).await;
    let client = limited(&nodes, "60/h:60").await;
    assert!((60..=61).contains(&allowed(&statuses(&nodes, &client, 40).await)));
}

/// A Redis that restarts with an old dump has fuller buckets than the nodes remember.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_with_old_data_raises_no_limit() {
    let mut redis = Redis::start(&[]);
    let nodes = Nodes::start(2, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    let client = limited(&nodes, "60/h:60").await;
    let before = allowed(&statuses(&nodes, &client, 10).await);
    assert_eq!(redis.command(&["SAVE"]), "OK");
    let rest = allowed(&statuses(&nodes, &client, 40).await);
    assert!((60..=61).contains(&(before + rest)), "{before} and {rest}");
    redis.stop();
    redis.resume();
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    assert!(allowed(&statuses(&nodes, &client, 40).await) <= 1);
}

/// With Redis or without: each node allows its share of failed authentications.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_authentications_are_limited_for_all_nodes_together() {
    let failures = ("OAUTH2_LIMITS_AUTH_FAILURES", "60/h".to_owned());
    let nodes = Nodes::start(3, &[failures]).await;
    nodes.hear_each_other().await;
    let right = nodes.first().register(json!({"scope": "read"})).await;
    // Where a node did not know the client yet, that was a failure too.
    let mut failed = 0;
    for node in nodes.others() {
        until(PATIENCE, "the client is known", async || {
            let status = node.request_token(&right, &[]).await.status();
            failed += usize::from(status == 401);
            status == 200
        })
        .await;
    }
    let wrong = Credentials {
        secret: "wrong".to_owned(),
        ..right
    };
    let counts = statuses(&nodes, &wrong, 40).await;
    assert!(
        (60_usize.saturating_sub(failed)..=60).contains(&counts[&401]) && counts[&401] + counts[&429] == 120,
        "{failed} before, {counts:?}"
    );
}

/// However requests are spread over the nodes, each token of a quota is issued once, and none beyond it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_holds_for_all_nodes_together() {
    const QUOTA: usize = 300;
    crate::quotas::not_at_the_full_hour().await;
    let nodes = Nodes::start(3, &[]).await;
    nodes.hear_each_other().await;
    let metadata = json!({"scope": "read", "quotas": {"day": QUOTA}});
    let client = nodes.register(metadata).await;
    let mut issued = 0;
    // A node may have leased what the others are asked for: it goes back a second later.
    until(PATIENCE, "the quota is used up", async || {
        let counts = join_all((0..4).map(async |_| allowed(&statuses(&nodes, &client, 30).await))).await;
        issued += counts.into_iter().sum::<usize>();
        assert!(issued <= QUOTA, "{issued}");
        issued == QUOTA
    })
    .await;
    assert_eq!(allowed(&statuses(&nodes, &client, 5).await), 0);
    let usage = format!("/clients/{}/usage", client.id);
    for node in &nodes.0 {
        let shown: serde_json::Value = node
            .admin(reqwest::Method::GET, &usage)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(shown["quotas"][1]["used"], QUOTA, "{shown}");
    }
}

/// The lease of a node that dies counts as used; nothing else is lost, and nothing is issued twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_loses_its_lease_only() {
    const QUOTA: usize = 1000;
    crate::quotas::not_at_the_full_hour().await;
    let mut nodes = Nodes::start(2, &[]).await;
    nodes.hear_each_other().await;
    let client = nodes.register(json!({"scope": "read", "quotas": {"day": QUOTA}})).await;
    let before = allowed(&statuses(&nodes, &client, 50).await);
    nodes.0[0].process.kill();
    nodes.0.remove(0);
    let mut issued = before;
    let mut denied = 0;
    while denied < 3 {
        let counts = join_all((0..8).map(async |_| allowed(&statuses(&nodes, &client, 20).await))).await;
        let now: usize = counts.into_iter().sum();
        issued += now;
        denied = if now == 0 { denied + 1 } else { 0 };
        // An idle lease is returned after a second: when requests are denied for longer than that, nothing is left.
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    // A lease is at most a sixteenth of what is left, and the next one comes when half of it is used up.
    assert!((QUOTA - QUOTA / 8..=QUOTA).contains(&issued), "{issued} of {QUOTA}");
}
