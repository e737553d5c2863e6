//! The JSON API of the management listener.

use oauth2_testkit::server::json;
use oauth2_testkit::{Kind, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::start;
use crate::token::refused;

on_both_stores!(
    every_url_needs_a_bearer,
    an_access_token_with_the_scope_is_an_operator,
    a_client_lives_its_life,
    metadata_is_checked,
    lists_have_pages,
    what_no_client_can_be_called_names_nobody,
    tokens_are_shown_and_revoked,
    the_public_listener_has_none_of_it,
);

async fn ask(server: &Server, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let answer = server.admin(method, path).json(&body).send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

async fn every_url_needs_a_bearer(kind: Kind) {
    let server = start(kind).await;
    for (method, path) in [
        (Method::GET, "/admin/v1/clients"),
        (Method::POST, "/admin/v1/clients"),
        (Method::GET, "/admin/v1/keys"),
        (Method::POST, "/admin/v1/tokens/revoke-all"),
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
            let answer = request.send().await.unwrap();
            let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
            assert!(challenge.starts_with("Bearer "), "{challenge}");
            refused(answer, StatusCode::UNAUTHORIZED, "invalid_token").await;
        }
    }
    let answer = server.admin(Method::GET, "/nothing").send().await.unwrap();
    refused(answer, StatusCode::NOT_FOUND, "not_found").await;
    let answer = server.admin(Method::PUT, "/clients").send().await.unwrap();
    assert_eq!(answer.headers()["allow"], "GET, POST");
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
}

async fn an_access_token_with_the_scope_is_an_operator(kind: Kind) {
    let server = start(kind).await;
    let operator = server.register(json!({"scope": "oauth2.admin read"})).await;
    let url = server.management_url("/admin/v1/clients");
    let token = server.token(&operator).await;
    let with = async |token: &str| server.http.get(&url).bearer_auth(token).send().await.unwrap();
    assert_eq!(with(&token).await.status(), StatusCode::OK);
    server.revoke(&operator, &token).await;
    refused(with(&token).await, StatusCode::UNAUTHORIZED, "invalid_token").await;

    let answer = json(server.ask_token(&operator, &[("scope", "read")]).await).await;
    let without = with(answer["access_token"].as_str().unwrap()).await;
    let challenge = without.headers()["www-authenticate"].to_str().unwrap();
    for part in ["Bearer ", r#"error="insufficient_scope""#, r#"scope="oauth2.admin""#] {
        assert!(challenge.contains(part), "{challenge} (RFC 6750 section 3.1)");
    }
    refused(without, StatusCode::FORBIDDEN, "insufficient_scope").await;

    let elsewhere = json!({"scope": "oauth2.admin", "audience": ["https://api.example"]});
    let elsewhere = server.register(elsewhere).await;
    let answer = with(&server.token(&elsewhere).await).await;
    refused(answer, StatusCode::UNAUTHORIZED, "invalid_token").await;
}

async fn a_client_lives_its_life(kind: Kind) {
    let server = start(kind).await;
    let (status, made) = ask(&server, Method::POST, "/clients", json!({
        "client_id": "ci", "client_name": "The \"CI\" ü", "scope": "read write", "token_format": "jwt", "signing_alg": "ES256",
        "audience": ["https://a.example"], "resource_server": ["https://r.example"], "access_token_lifetime": 60,
        "token_ledger": "stateless", "grant_types": ["client_credentials"],
    }))
    .await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert!(made["client_secret"].as_str().unwrap().starts_with("oas_cs_"));
    let created_at = made["created_at"].as_i64().unwrap();
    let expected = json!({
        "client_id": "ci", "client_name": "The \"CI\" ü", "grant_types": ["client_credentials"], "scope": "read write",
        "token_format": "jwt", "signing_alg": "ES256", "audience": ["https://a.example"],
        "resource_server": ["https://r.example"], "token_ledger": "stateless", "access_token_lifetime": 60,
        "rate_limits": {}, "rate_limit_mode": null, "quotas": {}, "quota_mode": null, "reuse_percent": null, "claims": {},
        "disabled": false, "created_at": created_at,
    });
    assert_eq!(
        ask(&server, Method::GET, "/clients/ci", json!({})).await,
        (StatusCode::OK, expected.clone())
    );

    let (status, again) = ask(&server, Method::POST, "/clients", json!({"client_id": "ci"})).await;
    assert_eq!(
        (status, again["error"].as_str()),
        (StatusCode::CONFLICT, Some("conflict"))
    );

    let patch = json!({"scope": "read", "token_format": null, "signing_alg": null, "access_token_lifetime": null});
    let (status, changed) = ask(&server, Method::PATCH, "/clients/ci", patch).await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    let mut wanted = expected;
    for (name, value) in [
        ("scope", json!("read")),
        ("token_format", Value::Null),
        ("signing_alg", Value::Null),
    ] {
        wanted[name] = value;
    }
    wanted["access_token_lifetime"] = Value::Null;
    assert_eq!(changed, wanted);
    assert_eq!(ask(&server, Method::GET, "/clients/ci", json!({})).await.1, wanted);

    let gone = "/clients/ci";
    let answer = server.admin(Method::DELETE, gone).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    for (method, path) in [
        (Method::GET, gone),
        (Method::PATCH, gone),
        (Method::DELETE, gone),
        (Method::POST, "/clients/ci/disable"),
        (Method::POST, "/clients/ci/rotate-secret"),
        (Method::POST, "/clients/ci/revoke-tokens"),
        (Method::GET, "/clients/ci/tokens"),
    ] {
        let answer = server.admin(method, path).json(&json!({})).send().await.unwrap();
        refused(answer, StatusCode::NOT_FOUND, "not_found").await;
    }
}

async fn metadata_is_checked(kind: Kind) {
    let server = start(kind).await;
    for metadata in [
        json!({"client_id": ""}),
        json!({"client_id": "a b"}),
        json!({"client_id": "x".repeat(200)}),
        json!({"client_secret": "short"}),
        json!({"scope": "a\u{e9}"}),
        json!({"token_format": "saml"}),
        json!({"signing_alg": "HS256", "token_format": "jwt"}),
        json!({"signing_alg": "ES256"}),
        json!({"grant_types": ["password"]}),
        json!({"audience": ["not a uri"]}),
        json!({"access_token_lifetime": 0}),
        json!({"access_token_lifetime": 2_592_001}),
        json!({"token_ledger": "maybe"}),
    ] {
        let (status, body) = ask(&server, Method::POST, "/clients", metadata.clone()).await;
        assert_eq!(
            (status, &body["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_client_metadata")),
            "{metadata}"
        );
        let field = metadata.as_object().unwrap().keys().next().unwrap().clone();
        assert!(
            body["error_description"].as_str().unwrap().contains(&field),
            "{field}: {body}"
        );
    }
    for body in ["{", "[]", r#"{"unknown":1}"#, r#"{"client_id":1}"#] {
        let answer = server.admin(Method::POST, "/clients").body(body).send().await.unwrap();
        refused(answer, StatusCode::BAD_REQUEST, "invalid_request").await;
    }
    let (_, listed) = ask(&server, Method::GET, "/clients", json!({})).await;
    let made = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|client| client["client_id"] != "demo");
    assert_eq!(made.count(), 0, "nothing was half done");
}

async fn lists_have_pages(kind: Kind) {
    let server = start(kind).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(server.register(json!({"client_id": format!("page-{n}")})).await.id);
    }
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, page) = ask(&server, Method::GET, &format!("/clients?limit=2{cursor}"), json!({})).await;
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
        let (status, page) = ask(&server, Method::GET, &format!("/clients?prefix={prefix}"), json!({})).await;
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
        "prefix=a/b",
    ] {
        let (status, body) = ask(&server, Method::GET, &format!("/clients?{query}"), json!({})).await;
        assert_eq!(
            (status, &body["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_request")),
            "{query}"
        );
    }
}

/// A NUL is no text to Postgres; to neither store must it come.
async fn what_no_client_can_be_called_names_nobody(kind: Kind) {
    let server = start(kind).await;
    let long = "x".repeat(129);
    for id in ["%00", "a%00b", "%FF", "a%2Fb", "a%20b", "%C3%A9", "'", &long] {
        for (method, url) in [
            (Method::GET, ""),
            (Method::PATCH, ""),
            (Method::DELETE, ""),
            (Method::POST, "/disable"),
            (Method::POST, "/enable"),
            (Method::POST, "/rotate-secret"),
            (Method::POST, "/revoke-tokens"),
            (Method::GET, "/tokens"),
        ] {
            let path = format!("/clients/{id}{url}");
            let answer = server.admin(method, &path).json(&json!({})).send().await.unwrap();
            let body = refused(answer, StatusCode::NOT_FOUND, "not_found").await;
            assert_eq!(body["error_description"], "there is no such client", "{path}");
        }
        for list in ["/clients", "/clients/demo/tokens"] {
            let path = format!("{list}?cursor={id}");
            let answer = server.admin(Method::GET, &path).send().await.unwrap();
            refused(answer, StatusCode::BAD_REQUEST, "invalid_request").await;
        }
    }
    for id in ["%00", "x%FF"] {
        for (method, url) in [(Method::GET, ""), (Method::POST, "/revoke")] {
            let answer = server
                .admin(method, &format!("/tokens/{id}{url}"))
                .send()
                .await
                .unwrap();
            refused(answer, StatusCode::BAD_REQUEST, "invalid_request").await;
        }
    }
}

async fn tokens_are_shown_and_revoked(kind: Kind) {
    let server = start(kind).await;
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
    let (_, listed) = ask(
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
    // By their ids, which begin with the millisecond of issue and are random within one.
    let mut newest_first: Vec<_> = ids.iter().map(|(id, _)| id).collect();
    newest_first.sort_by(|one, other| other.cmp(one));
    assert_eq!(json!(listed), json!(newest_first));

    let (id, token) = &ids[0];
    let (_, shown) = ask(&server, Method::GET, &format!("/tokens/{id}"), json!({})).await;
    assert_eq!(
        (&shown["client_id"], &shown["active"]),
        (&json!(client.id), &json!(true))
    );
    assert!(!shown.to_string().contains("v4.public"), "never the token itself");
    let (status, _) = ask(&server, Method::POST, &format!("/tokens/{id}/revoke"), json!({})).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!server.is_active(&client, token).await);
    assert_eq!(
        ask(&server, Method::GET, &format!("/tokens/{id}"), json!({})).await.1["active"],
        false
    );

    let unknown = "/tokens/01900000-0000-7000-8000-000000000000";
    assert_eq!(
        ask(&server, Method::GET, unknown, json!({})).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        ask(&server, Method::GET, "/tokens/x", json!({})).await.0,
        StatusCode::BAD_REQUEST
    );
    let (_, keys) = ask(&server, Method::GET, "/keys", json!({})).await;
    assert!(keys["items"].as_array().unwrap().len() >= 2);
    assert!(!keys.to_string().contains("private"), "{keys}");
}

async fn the_public_listener_has_none_of_it(kind: Kind) {
    let server = start(kind).await;
    for path in ["/metrics", "/admin", "/admin/v1/clients", "/admin/v1/keys"] {
        let answer = server.http.get(server.url(path)).send().await.unwrap();
        refused(answer, StatusCode::NOT_FOUND, "not_found").await;
    }
    let answer = server
        .http
        .post(server.management_url("/oauth/token"))
        .send()
        .await
        .unwrap();
    refused(answer, StatusCode::NOT_FOUND, "not_found").await;
}
