//! The old value of a change is the value that it replaced, also where several change the same thing at the same time.

use futures_util::future::join_all;
use oauth2_testkit::{Kind, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{list, settled};
use crate::holder::Holder;
use crate::start;

on_both_stores!(old_values_are_those_that_were_replaced);

/// What each row of these actions replaced and what it wrote, oldest first.
async fn changes(server: &Server, query: &str, field: &str) -> Vec<(Value, Value)> {
    let page = list(server, query).await.1;
    let rows = page["items"].as_array().unwrap().iter().rev();
    rows.map(|row| row["detail"]["changes"][field].clone())
        .filter(|change| !change.is_null())
        .map(|change| (change["old"].clone(), change["new"].clone()))
        .collect()
}

async fn old_values_are_those_that_were_replaced(kind: Kind) {
    let server = start(kind).await;
    server.register(json!({"client_id": "ci", "scope": "read"})).await;
    let call = async |method: Method, path: &str, body: Value| {
        let response = server.admin(method, path).json(&body).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    };
    let rotations = (0..12).map(|_| {
        call(
            Method::POST,
            "/clients/ci/rotate-secret",
            json!({"overlap_seconds": 3600}),
        )
    });
    let limits = (1..=12).map(|rate| {
        let body = json!({"rate_limits": {"token": format!("{rate}/s")}});
        call(Method::PUT, "/groups/acme", body)
    });
    let rotations = tokio::time::timeout(std::time::Duration::from_secs(30), join_all(rotations));
    let (rotated, set) = tokio::join!(rotations, join_all(limits));
    for (status, body) in rotated.unwrap().into_iter().chain(set) {
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    settled(&server).await;
    for (query, field) in [
        ("?client_id=ci&limit=100", "secrets"),
        ("?kind=group&limit=100", "limits"),
    ] {
        let changes = changes(&server, query, field).await;
        assert_eq!(changes.len(), if field == "secrets" { 13 } else { 12 });
        for pair in changes.windows(2) {
            assert_eq!(pair[0].1, pair[1].0, "{field}: {changes:?}");
        }
    }
    // A deletion, too, of a client that another process changes after the deletion was decided.
    server.register(json!({"client_id": "gone", "scope": "read"})).await;
    let change = "UPDATE clients SET version = version + 1, scope = 'theirs' WHERE client_id = 'gone'";
    let holder = Holder::begin(&server.setup, change).await;
    let deleting = call(Method::DELETE, "/clients/gone", Value::Null);
    let ((status, body), ()) = tokio::join!(deleting, holder.commit_when_awaited());
    assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
    settled(&server).await;
    let page = list(&server, "?client_id=gone&kind=client&limit=1").await.1;
    let deleted = &page["items"][0];
    assert_eq!(deleted["action"], "client.delete", "{page}");
    assert_eq!(deleted["detail"]["changes"]["scope"]["old"], "theirs", "{page}");
    // Next to another request.
    let disabled = call(Method::POST, "/clients/ci/disable", json!({}));
    let deleted = call(Method::DELETE, "/clients/ci", Value::Null);
    let (_, (status, body)) = tokio::join!(disabled, deleted);
    assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
    settled(&server).await;
    let page = list(&server, "?client_id=ci&kind=client&limit=3").await.1;
    let rows: Vec<_> = page["items"].as_array().unwrap().iter().collect();
    assert_eq!(rows[0]["action"], "client.delete", "{page}");
    let was_disabled = rows[1]["detail"]["changes"]["disabled"]["new"] == true;
    let old = &rows[0]["detail"]["changes"]["disabled"]["old"];
    assert_eq!(*old == true, was_disabled, "{page}");
}
