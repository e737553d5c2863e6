//! Requests with an `Idempotency-Key` run once.

use futures_util::future::join_all;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{DedicatedServer, Kind, Server};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::{setup, shared, start, unique};

on_both_stores!(
    repeated_request_gets_the_first_response,
    key_is_bound_to_body_url_and_operator,
    of_concurrent_requests_one_runs,
    response_that_nobody_read_is_repeated,
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

/// The headers that are not of one response.
fn repeated_headers(response: &Response) -> Vec<(String, String)> {
    let of_one = ["date", "idempotency-replayed", "x-request-id"];
    let headers = response
        .headers()
        .iter()
        .filter(|(name, _)| !of_one.contains(&name.as_str()));
    let text = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
    let mut headers: Vec<_> = headers.map(text).collect();
    headers.sort();
    assert!(headers.len() > 2, "{headers:?}");
    headers
}

/// The caller loses the connection: its next request with the key finds what the first one made.
async fn response_that_nobody_read_is_repeated(kind: Kind) {
    let server = shared(kind).await;
    for round in 0..10 {
        let (key, body) = (unique("key"), json!({"scope": "read"}));
        let abandoned = post(&server, "/clients", &key, &body);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(round), abandoned).await;
        let again = async || {
            let again = post(&server, "/clients", &key, &body).await;
            // The first one runs.
            (again.status() != StatusCode::CONFLICT).then_some(again)
        };
        let mut created = again().await;
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while created.is_none() && std::time::Instant::now() < deadline {
            created = again().await;
        }
        let created = created.expect("a response");
        assert_eq!(created.status(), StatusCode::CREATED);
        assert!(body_of(created).await["client_secret"].is_string());
    }
}

async fn repeated_request_gets_the_first_response(kind: Kind) {
    let mut server = start(kind).await;
    let body = json!({"scope": "read"});
    let first = post(&server, "/clients", "a", &body).await;
    assert!(first.status() == StatusCode::CREATED && !is_repeated(&first));
    let headers = repeated_headers(&first);
    let first = body_of(first).await;
    // Also by another process, as after a restart.
    for _ in 0..2 {
        let again = post(&server, "/clients", "a", &body).await;
        assert!(again.status() == StatusCode::CREATED && is_repeated(&again));
        assert_eq!(repeated_headers(&again), headers);
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
    for url in ["/clients:import", "/clients%3Aimport"] {
        let import = post(&server, url, &unique("key"), &json!({})).await;
        assert_eq!(import.status(), StatusCode::BAD_REQUEST);
        let problem = body_of(import).await["error_description"].to_string();
        assert!(problem.contains("Idempotency-Key"), "{problem}");
    }
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
