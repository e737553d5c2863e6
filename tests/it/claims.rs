//! Claims that all tokens of a client carry.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, Kind, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{shared, start};

on_both_stores!(
    private_claims_are_in_tokens_and_introspection,
    issued_tokens_keep_their_claims,
    reserved_and_oversized_claims_are_rejected,
);

fn claims() -> Value {
    json!({"tenant": "acme \"ltd\"", "plan": {"tier": 2, "scope": "read"}, "flags": [true, null, 1.5]})
}

/// What a self-contained token says, unverified.
fn payload(token: &str) -> Value {
    let part = if token.starts_with("v4.public.") { 2 } else { 1 };
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(part).unwrap()).unwrap();
    let json = if part == 2 {
        &bytes[..bytes.len() - 64]
    } else {
        &bytes[..]
    };
    serde_json::from_slice(json).unwrap()
}

fn has(response: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(response[name], *value, "{name} in {response}");
    }
}

async fn batch(server: &Server, client: &Credentials, token: &str) -> Value {
    let request = server
        .http
        .post(server.url("/oauth/introspect/batch"))
        .header("authorization", client.basic());
    body_of(request.json(&json!({"tokens": [token]})).send().await.unwrap()).await[0].clone()
}

async fn private_claims_are_in_tokens_and_introspection(kind: Kind) {
    let mut server = start(kind).await;
    let mut issued = Vec::new();
    for (format, alg) in [
        ("paseto", None),
        ("jwt", Some("EdDSA")),
        ("jwt", Some("ES256")),
        ("opaque", None),
    ] {
        let client = json!({"token_format": format, "signing_alg": alg, "scope": "read", "claims": claims()});
        let client = server.register(client).await;
        let token = server.token(&client).await;
        if format != "opaque" {
            has(&payload(&token), &claims());
            assert_eq!(payload(&token)["scope"], "read");
        }
        issued.push((client, token));
    }
    // By what is remembered of own tokens; after a restart by the signature, and then by what was verified before.
    for round in 0..3 {
        for (client, token) in &issued {
            let response = server.introspect(client, token).await;
            assert_eq!(response["active"], true, "round {round}");
            has(&response, &claims());
            has(&batch(&server, client, token).await, &claims());
        }
        if round == 0 {
            server.process.signal("TERM");
            server.process.wait(std::time::Duration::from_secs(30)).await;
            server.start_again().await;
        }
    }
}

async fn issued_tokens_keep_their_claims(kind: Kind) {
    let server = shared(kind).await;
    let client = server.register(json!({"claims": {"tenant": "old", "seats": 1}})).await;
    let before = server.token(&client).await;
    let patch = json!({"claims": {"tenant": "new", "seats": null}});
    let response = server
        .admin(Method::PATCH, &format!("/clients/{}", client.id))
        .json(&patch)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let after = server.token(&client).await;
    has(
        &server.introspect(&client, &before).await,
        &json!({"tenant": "old", "seats": 1}),
    );
    has(
        &server.introspect(&client, &after).await,
        &json!({"tenant": "new", "seats": null}),
    );
    let opaque = server
        .register(json!({"token_format": "opaque", "claims": {"tenant": "old"}}))
        .await;
    let token = server.token(&opaque).await;
    let patch = json!({"claims": {"tenant": "new"}});
    server
        .admin(Method::PATCH, &format!("/clients/{}", opaque.id))
        .json(&patch)
        .send()
        .await
        .unwrap();
    // A reference says what its client's tokens say now.
    has(&server.introspect(&opaque, &token).await, &json!({"tenant": "new"}));
}

async fn reserved_and_oversized_claims_are_rejected(kind: Kind) {
    let server = shared(kind).await;
    let names = [
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "client_id",
        "scope",
        "active",
        "token_type",
        "username",
        "cnf",
        "act",
    ];
    let mut bad: Vec<(Value, String)> = names
        .iter()
        .map(|name| (json!({ *name: 1 }), (*name).to_owned()))
        .collect();
    bad.push((json!({"big": "x".repeat(1100)}), "1024".to_owned()));
    bad.push((json!({"deep": [[[[[1]]]]]}), "deep".to_owned()));
    bad.push((json!({"": 1}), "names".to_owned()));
    for (claims, word) in bad {
        let response = server
            .admin(Method::POST, "/clients")
            .json(&json!({"client_id": "bad", "claims": claims}))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{claims}");
        let response = body_of(response).await;
        let text = response["error_description"].as_str().unwrap();
        assert!(text.starts_with("claims ") && text.contains(&word), "{text}");
    }
    let shown = server.admin(Method::GET, "/clients/bad").send().await.unwrap();
    assert_eq!(shown.status(), StatusCode::NOT_FOUND, "nothing half done");
}
