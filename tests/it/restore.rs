//! A Postgres database is dumped and restored into a younger cluster, whose transaction ids are lower than those of the rows.

use std::time::Duration;

use oauth2_testkit::server::json;
use oauth2_testkit::{DedicatedServer, Postgres, Setup, until};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::BINARY;

/// Twice the second within which nodes follow each other.
const FOLLOWED: Duration = Duration::from_secs(2);

/// The targets of the audit log, newest first.
async fn audited(server: &DedicatedServer, query: &str) -> (Vec<Value>, Value) {
    let response = server
        .admin(Method::GET, &format!("/audit?kind=client{query}"))
        .send()
        .await
        .unwrap();
    let page = json(response).await;
    let targets = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["target_id"].clone());
    (targets.collect(), page["next_cursor"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_follow_a_restored_database() {
    let (old, young) = (Postgres::start(false), Postgres::start(false));
    let mut server = DedicatedServer::start(Setup::on_postgres(BINARY, &old).await).await;
    let ahead = "DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$";
    server.setup.sql(ahead).await;
    let register =
        async |server: &DedicatedServer, id: &str| server.register(json!({"client_id": id, "scope": "read"})).await;
    let (one, two) = (register(&server, "one").await, register(&server, "two").await);
    let (revoked, kept) = (server.token(&one).await, server.token(&two).await);
    server.revoke(&one, &revoked).await;
    let (_, cursor) = audited(&server, "&limit=1").await;
    server.process.complete_log().await;

    let url = server.setup.database_url().unwrap().to_owned();
    let dump = tokio::task::block_in_place(|| old.dump(&url));
    let mut setup = server.setup.clone();
    setup.set("OAUTH2_DATABASE_URL", young.restore(&dump).await);
    // Its tokens name the issuer, which has the port of the first server.
    let first = DedicatedServer::start(setup).await;
    let second = DedicatedServer::start(first.setup.second_node()).await;
    assert!(!first.is_active(&one, &revoked).await, "a restored revocation");
    assert!(first.is_active(&two, &kept).await, "a restored token");
    assert_eq!(audited(&first, "").await.0, [json!("two"), json!("one")]);

    // What changes now is newer than everything that was restored, and the other node follows it.
    let three = register(&first, "three").await;
    assert_eq!(
        audited(&second, "").await.0,
        [json!("three"), json!("two"), json!("one")]
    );
    until(FOLLOWED, "the new client", async || {
        second.request_token(&three, &[]).await.status() == StatusCode::OK
    })
    .await;
    let rest = audited(&first, &format!("&limit=10&cursor={}", cursor.as_str().unwrap()))
        .await
        .0;
    assert_eq!(rest, [json!("one")], "a cursor from before the dump");
    let response = first
        .admin(Method::POST, "/clients/two/tokens:revoke-all")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let response = first.admin(Method::POST, "/clients/one/disable").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    until(FOLLOWED, "the disabled client", async || {
        second.request_token(&one, &[]).await.status() == StatusCode::UNAUTHORIZED
    })
    .await;
    assert_eq!(audited(&second, "&limit=1").await.0, [json!("one")]);
}
