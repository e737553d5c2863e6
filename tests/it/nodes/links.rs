//! Slow and broken networks: between the nodes and Redis, and between one node and the store, as in a second region.

use std::time::{Duration, Instant};

use oauth2_testkit::{Condition, DedicatedServer, Kind, Link, Postgres, Redis, until};
use reqwest::StatusCode;
use serde_json::json;

use super::faults::nothing_fails;
use super::limits::{allowed, asks_redis, limited, statuses};
use super::{BY_POLLING, BY_REDIS, Nodes, PATIENCE, by_redis};
use crate::setup;

/// One way between two regions of a continent.
const BETWEEN_REGIONS: Duration = Duration::from_millis(40);

/// Another node, whose connections to the store pass through a link.
pub(super) async fn node_at_a_distance(nodes: &Nodes) -> (DedicatedServer, Link) {
    let setup = nodes.first().setup.second_node();
    let url = setup.database_url().unwrap().to_owned();
    let port = Postgres::shared().port();
    let link = Link::to(port).await;
    let through = url.replace(&format!(":{port}/"), &format!(":{}/", link.port()));
    assert_ne!(through, url);
    let node = DedicatedServer::start(setup.with("OAUTH2_DATABASE_URL", through)).await;
    (node, link)
}

async fn readiness(node: &DedicatedServer) -> StatusCode {
    node.http.get(node.url("/ready")).send().await.unwrap().status()
}

/// A Redis that takes longer than a node waits for it: by a little, and by more than a connection may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_redis_costs_time_only() {
    let redis = Redis::start(&[]);
    let link = Link::to(redis.port()).await;
    let nodes = Nodes::start(2, &[("OAUTH2_REDIS_URL", format!("redis://127.0.0.1:{}", link.port()))]).await;
    nodes.hear_each_other().await;
    for delay in [Duration::from_millis(25), Duration::from_secs(1)] {
        link.set(Condition::Delayed(delay));
        nothing_fails(&nodes).await;
        let client = limited(&nodes, "60/h:60").await;
        let counts = statuses(&nodes, &client, 40).await;
        assert!(allowed(&counts) <= 60, "{counts:?}");
        nodes.revocations_are_seen_within(BY_POLLING).await;
    }
    link.set(Condition::Delayed(Duration::ZERO));
    nodes.hear_each_other().await;
    // Delayed messages arrive first, or the connection is opened again.
    let client = nodes.client().await;
    until(PATIENCE, "the link has recovered", async || {
        nodes.revocation_times(&client, 3).await.last() <= Some(&BY_REDIS)
    })
    .await;
    nodes.revocations_are_seen_within(BY_REDIS).await;
}

/// A Redis in another region, for which requests wait: one node may use more of a rate than its share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_distant_redis_that_is_waited_for_shares_rates() {
    let redis = Redis::start(&[]);
    let link = Link::to(redis.port()).await;
    let [(url, _), patient] = by_redis(&redis);
    let through = (url, format!("redis://127.0.0.1:{}", link.port()));
    let nodes = Nodes::start(2, &[through, patient]).await;
    link.set(Condition::Delayed(BETWEEN_REGIONS));
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    let client = limited(&nodes, "60/h:60").await;
    for _ in 0..40 {
        let response = nodes.first().request_token(&client, &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "its share is 30");
    }
    let counts = statuses(&nodes, &client, 20).await;
    assert!((20..=21).contains(&allowed(&counts)), "{counts:?}");
}

/// Its hints still arrive, but it cannot confirm that they are all: it says so, and the others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_the_store_says_nothing_of_tokens() {
    let redis = Redis::start(&[]);
    let mut nodes = Nodes::start(2, &by_redis(&redis)).await;
    let (cut, link) = node_at_a_distance(&nodes).await;
    nodes.0.push(cut);
    nodes.hear_each_other().await;
    let client = nodes.client().await;
    let [first, second, cut] = &nodes.0[..] else {
        unreachable!()
    };
    for condition in [Condition::Silent, Condition::Cut] {
        let (kept, revoked) = (first.token(&client).await, first.token(&client).await);
        assert!(cut.is_active(&client, &kept).await && cut.is_active(&client, &revoked).await);
        link.set(condition);
        first.revoke(&client, &revoked).await;
        let told = Instant::now();
        until(PATIENCE, "the node stops saying active", async || {
            let asked = told.elapsed();
            let response = cut.post(&client, "/oauth/introspect", &[("token", &revoked)]).await;
            if response.status() == StatusCode::OK {
                let is_active = oauth2_testkit::server::json(response).await["active"]
                    .as_bool()
                    .unwrap();
                assert!(!is_active || asked <= BY_REDIS, "the hint was not heard");
            }
            let response = cut.post(&client, "/oauth/introspect", &[("token", &kept)]).await;
            response.status() == StatusCode::SERVICE_UNAVAILABLE
        })
        .await;
        assert!(told.elapsed() <= 2 * Duration::from_secs(5), "{:?}", told.elapsed());
        assert_eq!(readiness(cut).await, StatusCode::SERVICE_UNAVAILABLE);
        let rejected = cut.request_token(&client, &[]).await;
        assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(rejected.headers().contains_key("retry-after"));
        for node in [first, second] {
            assert!(node.is_active(&client, &kept).await && !node.is_active(&client, &revoked).await);
            assert_eq!(readiness(node).await, StatusCode::OK);
            node.token(&client).await;
        }
        link.set(Condition::Delayed(Duration::ZERO));
        until(PATIENCE, "the node is ready again", async || {
            readiness(cut).await == StatusCode::OK
        })
        .await;
        until(PATIENCE, "it issues again", async || {
            cut.request_token(&client, &[]).await.status() == StatusCode::OK
        })
        .await;
        assert!(cut.is_active(&client, &kept).await && !cut.is_active(&client, &revoked).await);
    }
}

/// The store executes the statements of a node, and its replies are lost: the node reports neither success nor rejection, and a repeated
/// request succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_is_not_known_is_neither_success_nor_rejection() {
    let nodes = Nodes::of(setup(Kind::Postgres).await, 1).await;
    let (unanswered, link) = node_at_a_distance(&nodes).await;
    let first = nodes.first();
    let client = unanswered
        .register(json!({"client_id": "known", "scope": "read"}))
        .await;
    let token = unanswered.token(&client).await;
    let create = async || {
        let request = unanswered.admin(reqwest::Method::POST, "/clients");
        let request = request
            .header("idempotency-key", "lost")
            .json(&json!({"client_id": "lost"}));
        request.send().await.unwrap()
    };
    link.set(Condition::Unanswered);
    let asked = Instant::now();
    for response in [
        unanswered.request_token(&client, &[]).await,
        unanswered.post(&client, "/oauth/revoke", &[("token", &token)]).await,
        create().await,
    ] {
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key("retry-after"));
    }
    assert!(asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
    link.set(Condition::Cut);
    link.set(Condition::Delayed(Duration::ZERO));
    until(PATIENCE, "the node is ready again", async || {
        readiness(&unanswered).await == StatusCode::OK
    })
    .await;
    unanswered.revoke(&client, &token).await;
    until(PATIENCE, "the revocation holds on the other node", async || {
        !first.is_active(&client, &token).await
    })
    .await;
    until(PATIENCE, "the client is created once", async || {
        let status = create().await.status();
        assert!(
            [
                StatusCode::CREATED,
                StatusCode::CONFLICT,
                StatusCode::SERVICE_UNAVAILABLE
            ]
            .contains(&status),
            "{status}"
        );
        status != StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    assert!(!unanswered.is_active(&client, &token).await);
    unanswered.token(&client).await;
}

/// A site whose store is in another region: each promise holds, later by the way there. Docs: `docs/regions.md`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_region_is_later_by_the_distance_only() {
    crate::quotas::not_at_the_full_hour().await;
    let mut nodes = Nodes::of(setup(Kind::Postgres).await, 1).await;
    let (far, link) = node_at_a_distance(&nodes).await;
    link.set(Condition::Delayed(BETWEEN_REGIONS));
    nodes.0.push(far);
    nodes.hear_each_other().await;
    // Between the regions goes the notification, and at a cut-off the read of the store that follows it.
    let bound = super::BY_NOTIFY + 4 * BETWEEN_REGIONS;
    nodes.revocations_are_seen_within(bound).await;
    nodes.0.reverse();
    nodes.revocations_are_seen_within(bound).await;

    let client = nodes.register(json!({"scope": "read", "quotas": {"day": 40}})).await;
    let counts = statuses(&nodes, &client, 40).await;
    let issued = allowed(&counts);
    assert!(issued <= 40, "{counts:?}");
    // The rest of a lease is returned, and the other node takes it.
    let mut total = issued;
    until(PATIENCE, "the quota is used up", async || {
        for node in &nodes.0 {
            total += usize::from(node.request_token(&client, &[]).await.status() == StatusCode::OK);
        }
        total >= 40
    })
    .await;
    assert_eq!(total, 40);
    assert_eq!(allowed(&statuses(&nodes, &client, 5).await), 0);
}
