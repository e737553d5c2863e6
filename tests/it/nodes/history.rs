//! A change that one node has confirmed holds on every node, in any order of reading: also on a node that was paused, or cut off from
//! the bus, in between.

use std::time::Duration;

use futures_util::future::join_all;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, DedicatedServer, Redis, until};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{BY_POLLING, Nodes, PATIENCE, by_redis};

/// Longer than a node may answer from views that the store has not confirmed.
const PAUSE: Duration = Duration::from_millis(5500);

/// Whether a token is active on a node. `None`: the node does not answer with 200, because it is stale or does not know the caller's new secret.
async fn verdict(node: &DedicatedServer, client: &Credentials, token: &str) -> Option<bool> {
    let response = node.post(client, "/oauth/introspect", &[("token", token)]).await;
    if response.status() != StatusCode::OK {
        let temporary = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::UNAUTHORIZED];
        assert!(temporary.contains(&response.status()), "{}", response.status());
        return None;
    }
    body_of(response).await["active"].as_bool()
}

/// Rotates the secret of a client without overlap, then revokes everything that it was issued. Returns the new credentials.
async fn rotate_and_revoke(node: &DedicatedServer, client: &Credentials) -> Credentials {
    let rotate = format!("/clients/{}/rotate-secret", client.id);
    let body = json!({"overlap_seconds": 0});
    let rotated = node.admin(Method::POST, &rotate).json(&body).send().await.unwrap();
    assert_eq!(rotated.status(), StatusCode::OK);
    let secret = body_of(rotated).await["client_secret"].as_str().unwrap().to_owned();
    let revoke = format!("/clients/{}/tokens:revoke-all", client.id);
    let revoked = node.admin(Method::POST, &revoke).send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::OK);
    Credentials::new(client.id.clone(), secret)
}

/// On a node that was paused throughout: tokens that it issues by the old secret afterwards are inactive everywhere, and it never says that a
/// revoked token is active.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_node_revives_nothing() {
    let redis = Redis::start(&[]);
    let nodes = Nodes::start(3, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    let [first, second, paused] = &nodes.0[..] else {
        unreachable!()
    };
    let (client, reader) = (nodes.client().await, nodes.client().await);
    let revoked = join_all((0..5).map(|_| paused.token(&reader))).await;
    let before = paused.token(&client).await;
    assert_eq!(verdict(paused, &client, &before).await, Some(true));

    paused.process.pause();
    for token in &revoked {
        first.revoke(&reader, token).await;
    }
    let rotated = rotate_and_revoke(first, &client).await;
    let after = first.token(&rotated).await;
    tokio::time::sleep(PAUSE).await;
    paused.process.unpause();

    let (mut late, mut verdicts) = (Vec::new(), 0);
    until(PATIENCE, "the paused node has read what happened", async || {
        let issued = paused.request_token(&client, &[]).await;
        if issued.status() == StatusCode::OK {
            late.push(body_of(issued).await["access_token"].as_str().unwrap().to_owned());
        }
        for token in &revoked {
            assert_ne!(verdict(paused, &reader, token).await, Some(true), "it was revoked");
            verdicts += 1;
        }
        verdict(paused, &rotated, &after).await == Some(true)
    })
    .await;
    assert!(verdicts > 0);
    assert_eq!(
        paused.request_token(&client, &[]).await.status(),
        StatusCode::UNAUTHORIZED
    );
    for token in late.iter().chain([&before]) {
        for node in [first, second, paused] {
            assert_eq!(
                verdict(node, &rotated, token).await,
                Some(false),
                "of {} issued late",
                late.len()
            );
        }
    }
}

/// On a node that sends and receives no hints: the orders of the first node hold within the time of polls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_the_bus_follows_by_polls() {
    let redis = Redis::start(&["--user", "cut", "on", ">cut", "~*", "&*", "+@all"]);
    let mut nodes = Nodes::start(2, &by_redis(&redis)).await;
    let through = redis.url().replace("redis://", "redis://cut:cut@");
    let cut = nodes.first().setup.second_node().with("OAUTH2_REDIS_URL", through);
    nodes.0.push(DedicatedServer::start(cut).await);
    nodes.hear_each_other().await;
    redis.command(&["ACL", "SETUSER", "cut", "off"]);
    redis.command(&["CLIENT", "KILL", "USER", "cut"]);
    let times = nodes.revocation_times(&nodes.client().await, 15).await;
    let slowest = times[times.len() * 9 / 10];
    assert!(slowest <= BY_POLLING, "{times:?}");

    // Its own orders reach the others too.
    let [first, _, cut] = &nodes.0[..] else { unreachable!() };
    let client = nodes.client().await;
    let token = first.token(&client).await;
    assert_eq!(verdict(cut, &client, &token).await, Some(true));
    let rotated = rotate_and_revoke(cut, &client).await;
    let is_followed = async || verdict(first, &rotated, &token).await == Some(false);
    until(BY_POLLING, "the other nodes follow", is_followed).await;
}
