//! A start as clients see it through a load balancer that sends requests to a node before it has checked it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use oauth2_testkit::{Condition, Kind, Link, Setup};
use reqwest::StatusCode;
use serde_json::json;

use crate::start;

on_both_stores!(connections_are_refused_until_the_node_can_answer);

const PATIENCE: Duration = Duration::from_mins(1);

const CALLERS: usize = 4;

/// How much slower each message of the store becomes, so that a start takes a while.
const DISTANCE: Duration = Duration::from_millis(10);

/// Puts the store, if it is a database server, at a distance.
async fn at_a_distance(setup: &mut Setup) -> Option<Link> {
    let url = setup.database_url()?.to_owned();
    let (before, after) = url.split_once("@127.0.0.1:").unwrap();
    let (port, path) = after.split_once('/').unwrap();
    let link = Link::to(port.parse().unwrap()).await;
    link.set(Condition::Delayed(DISTANCE));
    setup.set(
        "OAUTH2_DATABASE_URL",
        format!("{before}@127.0.0.1:{}/{path}", link.port()),
    );
    Some(link)
}

/// A refused connection goes to another node. A response, such as 503 while clients and revocations are loaded, is the client's.
async fn connections_are_refused_until_the_node_can_answer(kind: Kind) {
    let mut server = start(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    server.process.kill();
    server.reconnect();
    let _link = at_a_distance(&mut server.setup).await;
    server.process = server.setup.spawn();
    let refused = AtomicUsize::new(0);
    // Without a pause, so that some connect as soon as the port is open.
    let calls = async || loop {
        let request = server.http.post(server.url("/oauth/token"));
        let request = request.header("authorization", client.basic());
        match request.form(&[("grant_type", "client_credentials")]).send().await {
            Ok(response) => {
                assert_eq!(response.status(), StatusCode::OK);
                return;
            }
            Err(error) => {
                assert!(error.is_connect(), "{error:?}");
                refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let all = join_all((0..CALLERS).map(|_| calls()));
    tokio::time::timeout(PATIENCE, all).await.expect("the node responds");
    assert!(refused.into_inner() > 0);
}
