//! Several nodes on one database: a change that one commits soon holds on the others, by Redis, by notifications of Postgres, or by polling.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use oauth2_testkit::{Credentials, DedicatedServer, Kind, Redis, Setup, until};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cli::stdout_of;
use crate::setup;

mod clocks;
mod failover;
mod faults;
mod groups;
mod history;
mod judge;
mod keys;
mod limits;
mod links;
mod load;
mod orders;
mod problems;
mod replica;
mod replica_urls;
mod topologies;
mod under_load;

const PATIENCE: Duration = Duration::from_secs(30);

/// Twice what the contract promises: 100 ms with Redis, 150 ms by notifications, 500 ms by polling, each at the 99th percentile.
const BY_REDIS: Duration = Duration::from_millis(200);
const BY_NOTIFY: Duration = Duration::from_millis(300);
const BY_POLLING: Duration = Duration::from_secs(1);

/// Nodes on one database.
struct Nodes(Vec<DedicatedServer>);

impl Nodes {
    /// Starts nodes of one issuer, one after the other, with this environment.
    async fn start(count: usize, environment: &[(&str, String)]) -> Nodes {
        let mut first = setup(Kind::Postgres).await;
        for (key, value) in environment {
            first.set(key, value.clone());
        }
        Self::of(first, count).await
    }

    async fn of(first: Setup, count: usize) -> Nodes {
        let issuer = format!("http://127.0.0.1:{}", first.public);
        let mut setups = vec![first.with("OAUTH2_ISSUER", issuer)];
        for _ in 1..count {
            setups.push(setups[0].second_node());
        }
        let mut nodes = Vec::new();
        for setup in setups {
            nodes.push(DedicatedServer::start(setup).await);
        }
        Nodes(nodes)
    }

    /// Waits until every node hears every other.
    async fn hear_each_other(&self) {
        for node in &self.0 {
            let hears = async || {
                let (up, nodes) = (bus(node, "up").await, bus(node, "nodes").await);
                up == 1 && nodes as usize >= self.0.len()
            };
            until(PATIENCE, "the nodes hear each other", hears).await;
        }
    }

    /// Waits until every node is ready.
    async fn are_ready(&self) {
        for node in &self.0 {
            until(PATIENCE, "the node is ready", async || {
                let response = node.http.get(node.url("/ready")).send().await;
                response.is_ok_and(|response| response.status() == StatusCode::OK)
            })
            .await;
        }
    }

    /// A client that every node knows.
    async fn client(&self) -> Credentials {
        self.register(json!({"scope": "read"})).await
    }

    /// Registers a client with this metadata, and waits until every node knows it. No token is issued to it.
    async fn register(&self, metadata: Value) -> Credentials {
        let client = self.first().register(metadata).await;
        for node in self.others() {
            let knows = async || {
                let response = node.post(&client, "/oauth/introspect", &[("token", "x")]).await;
                response.status() == StatusCode::OK
            };
            until(PATIENCE, "the client is known", knows).await;
        }
        client
    }

    fn first(&self) -> &DedicatedServer {
        &self.0[0]
    }

    fn others(&self) -> &[DedicatedServer] {
        &self.0[1..]
    }

    /// Revokes tokens on the first node, each after the others have said that it is active. The times until the others say that it is
    /// not, counted from the response, the longest last.
    async fn revocation_times(&self, client: &Credentials, tokens: usize) -> Vec<Duration> {
        let mut times = Vec::new();
        for _ in 0..tokens {
            let token = self.first().token(client).await;
            for node in self.others() {
                assert!(node.is_active(client, &token).await);
            }
            self.first().revoke(client, &token).await;
            let revoked = Instant::now();
            let seen = self.others().iter().map(async |node| {
                until(PATIENCE, "the revocation is seen", async || {
                    !node.is_active(client, &token).await
                })
                .await;
                revoked.elapsed()
            });
            times.extend(join_all(seen).await);
        }
        times.sort_unstable();
        times
    }

    /// The revocations of one client are seen within a bound, but for the slowest in a hundred.
    async fn revocations_are_seen_within(&self, bound: Duration) {
        let client = self.client().await;
        let times = self.revocation_times(&client, 25).await;
        let p98 = times[times.len() * 98 / 100 - 1];
        assert!(p98 <= bound, "{times:?}");
    }
}

/// A gauge or counter of the bus.
async fn bus(node: &DedicatedServer, name: &str) -> i64 {
    let found = node.metric(&format!("oauth2_server_bus_{name}"), &[]).await;
    found.map_or(-1, |value| value as i64)
}

/// Messages that a node dropped for this reason.
async fn dropped(node: &DedicatedServer, reason: &str) -> f64 {
    let found = node
        .metric("oauth2_server_bus_messages_dropped_total", &[("reason", reason)])
        .await;
    found.unwrap_or(f64::NAN)
}

fn by_redis(redis: &Redis) -> [(&'static str, String); 2] {
    // A busy machine may need more than the default of 20 ms, and then each node decides by its share.
    let patient = ("OAUTH2_REDIS_LIMIT_TIMEOUT_MS", "250".to_owned());
    [("OAUTH2_REDIS_URL", redis.url()), patient]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocations_are_seen_at_once_by_redis() {
    let redis = Redis::start(&[]);
    let nodes = Nodes::start(3, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    nodes.revocations_are_seen_within(BY_REDIS).await;
    assert!(bus(&nodes.others()[0], "hints_received_total").await >= 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocations_are_seen_at_once_by_notifications() {
    let nodes = Nodes::start(3, &[]).await;
    nodes.hear_each_other().await;
    nodes.revocations_are_seen_within(BY_NOTIFY).await;
}

/// A change of a client and a mass revocation over HTTP, and a change by a subcommand.
async fn changes_reach_other_nodes(nodes: &Nodes, bound: Duration) {
    let (first, other) = (nodes.first(), &nodes.others()[0]);
    let client = first.register(json!({"scope": "read"})).await;
    let registered = Instant::now();
    let knows = async || other.request_token(&client, &[]).await.status() == StatusCode::OK;
    until(PATIENCE, "the client is known", knows).await;
    let took = registered.elapsed();
    assert!(took <= bound, "registered: {took:?}");

    let token = other.token(&client).await;
    let path = format!("/clients/{}/tokens:revoke-all", client.id);
    let response = first.admin(Method::POST, &path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let revoked = Instant::now();
    until(PATIENCE, "the cut-off is seen", async || {
        !other.is_active(&client, &token).await
    })
    .await;
    let took = revoked.elapsed();
    assert!(took <= bound, "cut off: {took:?}");

    stdout_of(&first.setup, &["client", "disable", &client.id]);
    let disabled = Instant::now();
    let is_rejected = async || other.request_token(&client, &[]).await.status() == StatusCode::UNAUTHORIZED;
    until(PATIENCE, "the client is disabled", is_rejected).await;
    let took = disabled.elapsed();
    assert!(took <= bound, "disabled by a subcommand: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_reach_other_nodes_by_redis() {
    let redis = Redis::start(&[]);
    let nodes = Nodes::start(2, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    changes_reach_other_nodes(&nodes, BY_REDIS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_reach_other_nodes_by_notifications() {
    let nodes = Nodes::start(2, &[]).await;
    nodes.hear_each_other().await;
    changes_reach_other_nodes(&nodes, BY_NOTIFY).await;
}
