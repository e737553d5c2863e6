//! A start as clients see it through a load balancer that sends requests to a node before it has checked it.

use std::time::Duration;

use oauth2_testkit::{Condition, Kind, Link, Setup, until};
use reqwest::StatusCode;
use serde_json::json;

use crate::start;

on_both_stores!(connections_are_refused_until_the_node_can_answer);

const PATIENCE: Duration = Duration::from_mins(1);

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
    let _link = at_a_distance(&mut server.setup).await;
    server.process = server.setup.spawn();
    let mut refused = 0;
    let responds = async || {
        let request = server.http.post(server.url("/oauth/token"));
        let request = request.header("authorization", client.basic());
        match request.form(&[("grant_type", "client_credentials")]).send().await {
            Ok(response) => {
                assert_eq!(response.status(), StatusCode::OK, "after {refused} refused connections");
                true
            }
            Err(error) => {
                assert!(error.is_connect(), "{error:?}");
                refused += 1;
                false
            }
        }
    };
    until(PATIENCE, "the node responds", responds).await;
    assert!(refused > 0);
}
