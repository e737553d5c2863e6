//! Requests with an `Idempotency-Key` run once.

use futures_util::future::join_all;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{DedicatedServer, Kind, Server};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::{setup, shared, start, unique};

on_both_stores!(
    repeated_request_gets_the_first_response,
    key_is_bound_to_body_url_and_operator,
    of_concurrent_requests_one_runs,
    rejected_request_may_be_repeated,
    responses_are_encrypted_at_rest,
);

async fn post(server: &Server, path: &str, key: &str, body: &Value) -> Response {
    let request = server.admin(Method::POST, path).header("idempotency-key", key);
    request.json(body).send().await.unwrap()
}

fn is_repeated(response: &Response) -> bool {
    response
        .headers()
        .get("idempotency-replayed")
        .is_some_and(|value| value == "true")
}

async fn repeated_request_gets_the_first_response(kind: Kind) {
    let mut server = start(kind).await;
    let body = json!({"scope": "read"});
    let first = post(&server, "/clients", "a", &body).await;
    assert!(first.status() == StatusCode::CREATED && !is_repeated(&first));
    let location = first.headers().get("location").cloned();
    let first = body_of(first).await;
    // Also by another process, as after a restart.
    for _ in 0..2 {
        let again = post(&server, "/clients", "a", &body).await;
        assert!(again.status() == StatusCode::CREATED && is_repeated(&again));
        assert_eq!(again.headers().get("location").cloned(), location);
        assert_eq!(body_of(again).await, first, "with the same secret");
        server.process.kill();
        server.start_again().await;
    }
    let rotate = format!("/clients/{}/rotate-secret", first["client_id"].as_str().unwrap());
    let secret =
        async |key: &str| body_of(post(&server, &rotate, key, &json!({})).await).await["client_secret"].clone();
    let rotated = secret("b").await;
    assert_eq!(secret("b").await, rotated);
    assert_ne!(secret("c").await, rotated, "another key is another request");
    // Without a key each request runs.
    let ids = join_all((0..2).map(async |_| {
        let created = server.admin(Method::POST, "/clients").json(&body).send().await.unwrap();
        body_of(created).await["client_id"].clone()
    }))
    .await;
    assert_ne!(ids[0], ids[1]);
}

async fn key_is_bound_to_body_url_and_operator(kind: Kind) {
    let server = shared(kind).await;
    let key = unique("key");
    let create = |name: &str| json!({"scope": "read", "client_name": name});
    let first = post(&server, "/clients", &key, &create("one")).await;
    assert_eq!(first.status(), StatusCode::CREATED);
    let id = body_of(first).await["client_id"].as_str().unwrap().to_owned();
    let other = post(&server, "/clients", &key, &create("two")).await;
    assert_eq!(other.status(), StatusCode::CONFLICT);
    let other = body_of(other).await;
    assert!(
        other["error"] == "conflict" && other["error_description"].as_str().unwrap().contains("another body"),
        "{other}"
    );
    let rotated = post(&server, &format!("/clients/{id}/rotate-secret"), &key, &json!({})).await;
    assert!(
        rotated.status() == StatusCode::OK && !is_repeated(&rotated),
        "another URL"
    );
    // Another operator is another caller.
    let metadata = json!({"scope": "oauth2.admin", "audience": [server.issuer()]});
    let operator = server.register(metadata).await;
    let token = server.token(&operator).await;
    let url = server.management_url("/admin/v1/clients");
    let request = server.http.post(url).bearer_auth(token).header("idempotency-key", &key);
    let created = request.json(&create("one")).send().await.unwrap();
    assert!(created.status() == StatusCode::CREATED && !is_repeated(&created));
    for key in ["", "with space", &"k".repeat(256)] {
        let response = post(&server, "/clients", key, &create("one")).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{key:?}");
    }
    let import = post(&server, "/clients:import", &unique("key"), &json!({})).await;
    assert_eq!(import.status(), StatusCode::BAD_REQUEST);
    assert!(
        body_of(import).await["error_description"]
            .as_str()
            .unwrap()
            .contains("import")
    );
}

async fn of_concurrent_requests_one_runs(kind: Kind) {
    let server = shared(kind).await;
    let (key, body) = (unique("key"), json!({"scope": "read"}));
    let mut ids = Vec::new();
    let responses = join_all((0..12).map(|_| post(&server, "/clients", &key, &body))).await;
    for response in responses {
        match response.status() {
            StatusCode::CREATED => ids.push(body_of(response).await["client_id"].clone()),
            StatusCode::CONFLICT => {}
            other => panic!("{other}"),
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(
        body_of(post(&server, "/clients", &key, &body).await).await["client_id"],
        ids[0]
    );
}

async fn rejected_request_may_be_repeated(kind: Kind) {
    let server = shared(kind).await;
    let key = unique("key");
    let rejected = post(&server, "/clients", &key, &json!({"scope": "\""})).await;
    assert_eq!(rejected.status(), StatusCode::BAD_REQUEST);
    let created = post(&server, "/clients", &key, &json!({"scope": "read"})).await;
    assert!(
        created.status() == StatusCode::CREATED && !is_repeated(&created),
        "nothing had changed"
    );
}

async fn responses_are_encrypted_at_rest(kind: Kind) {
    let server = DedicatedServer::start(setup(kind).await).await;
    let created = body_of(post(&server, "/clients", "key-at-rest", &json!({"scope": "read"})).await).await;
    let secret = created["client_secret"].as_str().unwrap();
    let found = match kind {
        Kind::Sqlite => {
            let directory = std::fs::read_dir(server.setup.directory().join("data")).unwrap();
            let files = directory.filter_map(|entry| std::fs::read(entry.unwrap().path()).ok());
            files
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .collect()
        }
        Kind::Postgres => {
            let url = server.setup.database_url().unwrap();
            let database = oauth2_testkit::postgres::connect(url).await;
            let sql = "SELECT coalesce(string_agg(encode(value, 'escape'), ' '), '') || count(*) FROM remembered";
            database.query_one(sql, &[]).await.unwrap().get::<_, String>(0)
        }
    };
    assert!(found.len() > 100 && !found.contains(secret) && !found.contains("key-at-rest"));
    assert!(found.contains("v4.local."), "{found}");
}
