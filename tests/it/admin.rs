//! The JSON API of the management listener.

use oauth2_testkit::server::json;
use oauth2_testkit::{Kind, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::token::rejected;
use crate::{shared, start, unique};

mod conditional;
mod control_characters;
mod idempotency;
mod operators;
mod unknown_input;

on_both_stores!(
    every_url_requires_a_bearer_token,
    access_token_with_the_admin_scope_is_accepted,
    client_is_created_updated_and_deleted,
    invalid_metadata_is_rejected,
    client_list_is_paginated,
    malformed_ids_are_not_found,
    tokens_are_listed_and_revoked,
    public_listener_serves_no_admin_paths,
);

/// Calls the admin API. A response without a JSON body is `null`.
async fn call(server: &Server, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let response = server.admin(method, path).json(&body).send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

async fn every_url_requires_a_bearer_token(kind: Kind) {
    let server = shared(kind).await;
    for (method, path) in [
        (Method::GET, "/admin/v1/clients"),
        (Method::POST, "/admin/v1/clients"),
        (Method::GET, "/admin/v1/keys"),
        (Method::POST, "/admin/v1/tokens:revoke-all"),
        (Method::GET, "/admin/v1/nothing"),
        (Method::GET, "/admin/nothing"),
        (Method::GET, "/admin"),
    ] {
        let url = server.management_url(path);
        for header in [
            None,
            Some("Bearer "),
            Some("Bearer wrong"),
            Some("Basic YTpi"),
            Some("x"),
        ] {
            let mut request = server.http.request(method.clone(), &url);
            if let Some(header) = header {
                request = request.header("authorization", header);
            }
            let response = request.send().await.unwrap();
            let challenge = response.headers()["www-authenticate"].to_str().unwrap();
            assert!(challenge.starts_with("Bearer "), "{challenge}");
            rejected(response, StatusCode::UNAUTHORIZED, "invalid_token").await;
        }
    }
    let response = server.admin(Method::GET, "/nothing").send().await.unwrap();
    rejected(response, StatusCode::NOT_FOUND, "not_found").await;
    let response = server.admin(Method::PUT, "/clients").send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET, HEAD, POST");
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

async fn access_token_with_the_admin_scope_is_accepted(kind: Kind) {
    let server = shared(kind).await;
    let operator = server.register(json!({"scope": "oauth2.admin read"})).await;
    let url = server.management_url("/admin/v1/clients");
    let token = server.token(&operator).await;
    let list_clients = async |token: &str| server.http.get(&url).bearer_auth(token).send().await.unwrap();
    assert_eq!(list_clients(&token).await.status(), StatusCode::OK);
    server.revoke(&operator, &token).await;
    rejected(list_clients(&token).await, StatusCode::UNAUTHORIZED, "invalid_token").await;

    let response = json(server.request_token(&operator, &[("scope", "read")]).await).await;
    let response = list_clients(response["access_token"].as_str().unwrap()).await;
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    for part in ["Bearer ", r#"error="insufficient_scope""#, r#"scope="oauth2.admin""#] {
        assert!(challenge.contains(part), "{challenge} (RFC 6750 section 3.1)");
    }
    rejected(response, StatusCode::FORBIDDEN, "insufficient_scope").await;

    let other_audience = json!({"scope": "oauth2.admin", "audience": ["https://api.example"]});
    let other_audience = server.register(other_audience).await;
    let response = list_clients(&server.token(&other_audience).await).await;
    rejected(response, StatusCode::UNAUTHORIZED, "invalid_token").await;
}

async fn client_is_created_updated_and_deleted(kind: Kind) {
    let server = shared(kind).await;
    let id = unique("ci");
    let url = format!("/clients/{id}");
    let (status, created) = call(&server, Method::POST, "/clients", json!({
        "client_id": id, "client_name": "The \"CI\" ü", "scope": "read write", "token_format": "jwt", "signing_alg": "ES256",
        "audience": ["https://a.example"], "introspection_audiences": ["https://r.example"], "access_token_lifetime": 60,
        "token_ledger": "stateless", "grant_types": ["client_credentials"],
    }))
    .await;
    assert_eq!(status, StatusCode::CREATED, "{created}");
    assert!(created["client_secret"].as_str().unwrap().starts_with("oas_cs_"));
    let created_at = created["created_at"].as_i64().unwrap();
    let expected = json!({
        "client_id": id, "client_name": "The \"CI\" ü", "grant_types": ["client_credentials"], "scope": "read write",
        "token_format": "jwt", "signing_alg": "ES256", "token_typ": null, "audience": ["https://a.example"],
        "introspection_audiences": ["https://r.example"], "token_ledger": "stateless", "access_token_lifetime": 60,
        "rate_limits": {}, "rate_limit_mode": null, "quotas": {}, "quota_mode": null, "reuse_percent": null, "claims": {},
        "group": null, "disabled": false, "managed_by": null, "created_at": created_at,
    });
    assert_eq!(
        call(&server, Method::GET, &url, json!({})).await,
        (StatusCode::OK, expected.clone())
    );

    let (status, body) = call(&server, Method::POST, "/clients", json!({"client_id": id})).await;
    assert_eq!(
        (status, body["error"].as_str()),
        (StatusCode::CONFLICT, Some("conflict"))
    );

    let patch = json!({"scope": "read", "token_format": null, "signing_alg": null, "access_token_lifetime": null});
    let (status, updated) = call(&server, Method::PATCH, &url, patch).await;
    assert_eq!(status, StatusCode::OK, "{updated}");
    let mut expected = expected;
    for (name, value) in [
        ("scope", json!("read")),
        ("token_format", Value::Null),
        ("signing_alg", Value::Null),
    ] {
        expected[name] = value;
    }
    expected["access_token_lifetime"] = Value::Null;
    assert_eq!(updated, expected);
    assert_eq!(call(&server, Method::GET, &url, json!({})).await.1, expected);

    let response = server.admin(Method::DELETE, &url).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    for (method, path) in [
        (Method::GET, ""),
        (Method::PATCH, ""),
        (Method::DELETE, ""),
        (Method::POST, "/disable"),
        (Method::POST, "/rotate-secret"),
        (Method::POST, "/tokens:revoke-all"),
        (Method::GET, "/tokens"),
    ] {
        let response = server
            .admin(method, &format!("{url}{path}"))
            .json(&json!({}))
            .send()
            .await
            .unwrap();
        rejected(response, StatusCode::NOT_FOUND, "not_found").await;
    }
}

async fn invalid_metadata_is_rejected(kind: Kind) {
    let server = shared(kind).await;
    let prefix = unique("invalid");
    for (field, mut metadata) in [
        ("client_id", json!({"client_id": ""})),
        ("client_id", json!({"client_id": "a\tb"})),
        ("client_id", json!({"client_id": "x".repeat(257)})),
        ("client_secret", json!({"client_secret": "short"})),
        ("scope", json!({"scope": "a\u{e9}"})),
        ("token_format", json!({"token_format": "saml"})),
        ("signing_alg", json!({"signing_alg": "HS256", "token_format": "jwt"})),
        ("signing_alg", json!({"signing_alg": "ES256"})),
        ("grant_types", json!({"grant_types": ["password"]})),
        ("audience", json!({"audience": ["not a: uri"]})),
        ("access_token_lifetime", json!({"access_token_lifetime": 0})),
        ("access_token_lifetime", json!({"access_token_lifetime": 2_592_001})),
        ("token_ledger", json!({"token_ledger": "maybe"})),
    ] {
        if field != "client_id" {
            metadata["client_id"] = json!(unique(&prefix));
        }
        let (status, body) = call(&server, Method::POST, "/clients", metadata.clone()).await;
        assert_eq!(
            (status, &body["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_client_metadata")),
            "{metadata}"
        );
        assert!(
            body["error_description"].as_str().unwrap().contains(field),
            "{field}: {body}"
        );
    }
    let unknown_member = json!({"client_id": unique(&prefix), "unknown": 1}).to_string();
    for body in ["{", "[]", &unknown_member, r#"{"client_id":1}"#] {
        let response = server
            .admin(Method::POST, "/clients")
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        rejected(response, StatusCode::BAD_REQUEST, "invalid_request").await;
    }
    let created = call(&server, Method::GET, &format!("/clients?prefix={prefix}"), json!({})).await;
    assert_eq!(created.1["items"], json!([]), "no client was created");
}

async fn client_list_is_paginated(kind: Kind) {
    let server = start(kind).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(server.register(json!({"client_id": format!("page-{n}")})).await.id);
    }
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, page) = call(&server, Method::GET, &format!("/clients?limit=2{cursor}"), json!({})).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        found.extend(
            items
                .iter()
                .map(|client| client["client_id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    found.retain(|id| id != "demo");
    assert_eq!(found, ids);
    for (prefix, count) in [("page-", 5), ("page-3", 1), ("page-33", 0), ("..", 0)] {
        let (status, page) = call(&server, Method::GET, &format!("/clients?prefix={prefix}"), json!({})).await;
        let count = (StatusCode::OK, Some(count));
        assert_eq!(
            (status, page["items"].as_array().map(Vec::len)),
            count,
            "{prefix}: {page}"
        );
    }
    let listed = server.setup.run(&["client", "list", "--prefix", "page-4"]).stdout;
    assert!(listed.contains("page-4") && !listed.contains("page-3"), "{listed}");
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "unknown=1",
        "prefix=%00",
        "prefix=a%0Ab",
    ] {
        let (status, body) = call(&server, Method::GET, &format!("/clients?{query}"), json!({})).await;
        assert_eq!(
            (status, &body["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_request")),
            "{query}"
        );
    }
}

/// Ids that no client can have must not reach the store: Postgres does not accept NUL in text, for example.
async fn malformed_ids_are_not_found(kind: Kind) {
    let server = shared(kind).await;
    let long = "x".repeat(257);
    for id in ["%00", "a%00b", "%FF", "a%2Fb%0A", "a%09b", "%C3%A9", "%7F", &long] {
        for (method, url) in [
            (Method::GET, ""),
            (Method::PATCH, ""),
            (Method::DELETE, ""),
            (Method::POST, "/disable"),
            (Method::POST, "/enable"),
            (Method::POST, "/rotate-secret"),
            (Method::POST, "/tokens:revoke-all"),
            (Method::GET, "/tokens"),
        ] {
            let path = format!("/clients/{id}{url}");
            let response = server.admin(method, &path).json(&json!({})).send().await.unwrap();
            let body = rejected(response, StatusCode::NOT_FOUND, "not_found").await;
            let description = body["error_description"].as_str().unwrap();
            assert!(description.starts_with("there is no client "), "{path}: {description}");
        }
        for list in ["/clients", "/clients/demo/tokens"] {
            let path = format!("{list}?cursor={id}");
            let response = server.admin(Method::GET, &path).send().await.unwrap();
            rejected(response, StatusCode::BAD_REQUEST, "invalid_request").await;
        }
    }
    for id in ["%00", "x%FF"] {
        for (method, url) in [(Method::GET, ""), (Method::POST, "/revoke")] {
            let response = server
                .admin(method, &format!("/tokens/{id}{url}"))
                .send()
                .await
                .unwrap();
            rejected(response, StatusCode::BAD_REQUEST, "invalid_request").await;
        }
    }
}

async fn tokens_are_listed_and_revoked(kind: Kind) {
    let server = shared(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let token = server.token(&client).await;
        let id = server.introspect(&client, &token).await["jti"]
            .as_str()
            .unwrap()
            .to_owned();
        ids.push((id, token));
    }
    let (_, listed) = call(
        &server,
        Method::GET,
        &format!("/clients/{}/tokens", client.id),
        json!({}),
    )
    .await;
    let listed: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["jti"].clone())
        .collect();
    // Sorted by id. Ids begin with the millisecond of issue and are random within one.
    let mut newest_first: Vec<_> = ids.iter().map(|(id, _)| id).collect();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(json!(listed), json!(newest_first));

    let (id, token) = &ids[0];
    let (_, shown) = call(&server, Method::GET, &format!("/tokens/{id}"), json!({})).await;
    assert_eq!(
        (&shown["client_id"], &shown["active"]),
        (&json!(client.id), &json!(true))
    );
    assert!(
        !shown.to_string().contains("v4.public"),
        "the token itself is not shown"
    );
    let (status, _) = call(&server, Method::POST, &format!("/tokens/{id}/revoke"), json!({})).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!server.is_active(&client, token).await);
    assert_eq!(
        call(&server, Method::GET, &format!("/tokens/{id}"), json!({})).await.1["active"],
        false
    );

    let unknown = "/tokens/01900000-0000-7000-8000-000000000000";
    assert_eq!(
        call(&server, Method::GET, unknown, json!({})).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        call(&server, Method::GET, "/tokens/x", json!({})).await.0,
        StatusCode::BAD_REQUEST
    );
    let (_, keys) = call(&server, Method::GET, "/keys", json!({})).await;
    assert!(keys["items"].as_array().unwrap().len() >= 2);
    assert!(!keys.to_string().contains("private"), "{keys}");
}

async fn public_listener_serves_no_admin_paths(kind: Kind) {
    let server = shared(kind).await;
    for path in ["/metrics", "/admin", "/admin/v1/clients", "/admin/v1/keys"] {
        let response = server.http.get(server.url(path)).send().await.unwrap();
        rejected(response, StatusCode::NOT_FOUND, "not_found").await;
    }
    let response = server
        .http
        .post(server.management_url("/oauth/token"))
        .send()
        .await
        .unwrap();
    rejected(response, StatusCode::NOT_FOUND, "not_found").await;
}
