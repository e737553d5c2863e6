//! Orders of operators on one node while another is paused: no token that the paused node issues from its old view outlives them.

use std::time::Duration;

use futures_util::future::join_all;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, DedicatedServer, Redis, until};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Nodes, PATIENCE, by_redis};

/// Shorter than a node may answer from views that the store has not confirmed: it issues tokens when it goes on.
const PAUSE: Duration = Duration::from_secs(1);

/// A change after which tokens of before must not be issued, followed by the revocation of the client's tokens.
#[derive(Debug, Clone, Copy)]
enum Order {
    RotateSecret,
    Disable,
    Recreate,
    NarrowScope,
}

impl Order {
    const ALL: [Order; 4] = [Order::RotateSecret, Order::Disable, Order::Recreate, Order::NarrowScope];

    async fn give(self, node: &DedicatedServer, client_id: &str) {
        let path = format!("/clients/{client_id}");
        let changes = match self {
            Order::RotateSecret => vec![(
                Method::POST,
                format!("{path}/rotate-secret"),
                json!({"overlap_seconds": 0}),
            )],
            Order::Disable => vec![(Method::PATCH, path.clone(), json!({"disabled": true}))],
            Order::Recreate => vec![
                (Method::DELETE, path.clone(), Value::Null),
                (
                    Method::POST,
                    "/clients".to_owned(),
                    json!({"client_id": client_id, "scope": "read"}),
                ),
            ],
            Order::NarrowScope => vec![(Method::PATCH, path.clone(), json!({"scope": "read"}))],
        };
        let revoke = (Method::POST, format!("{path}/tokens:revoke-all"), Value::Null);
        for (method, path, body) in changes.into_iter().chain([revoke]) {
            let mut request = node.admin(method, &path);
            if !body.is_null() {
                request = request.json(&body);
            }
            let response = request.send().await.unwrap();
            assert!(response.status().is_success(), "{self:?} {path}: {response:?}");
        }
    }
}

/// The access token of a response, and its status.
async fn token_of(node: &DedicatedServer, client: &Credentials) -> (StatusCode, Option<String>) {
    let response = node.request_token(client, &[("scope", "admin")]).await;
    let status = response.status();
    let token = body_of(response).await["access_token"].as_str().map(str::to_owned);
    (status, token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_leaves_a_token_of_a_paused_node() {
    let redis = Redis::start(&[]);
    let nodes = Nodes::start(3, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    let [first, _, paused] = &nodes.0[..] else {
        unreachable!()
    };
    let reader = nodes
        .register(json!({"introspection_audiences": [first.issuer()]}))
        .await;
    let mut clients = Vec::new();
    let mut tokens = Vec::new();
    for order in Order::ALL {
        let client = nodes.register(json!({"scope": "read admin"})).await;
        tokens.extend(token_of(paused, &client).await.1);
        clients.push((order, client));
    }
    assert_eq!(tokens.len(), Order::ALL.len());

    paused.process.pause();
    for (order, client) in &clients {
        order.give(first, &client.id).await;
    }
    // These requests arrive before the node can know of the orders.
    let waiting = join_all(
        clients
            .iter()
            .flat_map(|(_, client)| (0..4).map(|_| token_of(paused, client))),
    );
    let resumed = async {
        tokio::time::sleep(PAUSE).await;
        paused.process.unpause();
    };
    let (late, ()) = tokio::join!(waiting, resumed);
    tokens.extend(late.into_iter().filter_map(|(_, token)| token));
    for (order, client) in &clients {
        until(PATIENCE, "the paused node has read of the order", async || {
            let (status, token) = token_of(paused, client).await;
            tokens.extend(token);
            assert!(
                status.is_success() || status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE,
                "{order:?}: {status}"
            );
            status.is_client_error()
        })
        .await;
        if matches!(order, Order::Disable) {
            let enable = first.admin(Method::PATCH, &format!("/clients/{}", client.id));
            let enabled = enable.json(&json!({"disabled": false})).send().await.unwrap();
            assert_eq!(enabled.status(), StatusCode::OK);
        }
    }
    for node in &nodes.0 {
        for answer in node.introspect_batch(&reader, &tokens).await.as_array().unwrap() {
            assert_eq!(answer["active"], false, "{} tokens: {answer}", tokens.len());
        }
    }
    let (_, disabled) = &clients[1];
    let is_enabled = async || token_of(paused, disabled).await.0 == StatusCode::OK;
    until(PATIENCE, "the client is enabled", is_enabled).await;
    let token = paused.token(disabled).await;
    assert!(paused.is_active(&reader, &token).await);
}
