//! What a client may do is judged by the client as it is now, not by what it was when it got a token, at every endpoint.

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, Kind, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::shared;

on_both_stores!(
    withdrawn_introspection_audience_ends_introspection,
    disabled_client_is_rejected_at_every_endpoint,
    narrowed_client_gets_no_reused_token,
    disabled_operator_is_rejected,
    operator_cannot_issue_more_than_the_client_has_now,
);

async fn change(server: &Server, client: &Credentials, change: Value) {
    let request = server.admin(Method::PATCH, &format!("/clients/{}", client.id));
    let response = request.json(&change).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{change}");
}

/// Introspects one token by itself and in a batch; both must agree.
async fn is_active(server: &Server, caller: &Credentials, token: &str) -> bool {
    let one = server.is_active(caller, token).await;
    let request = server.http.post(server.url("/oauth/introspect/batch"));
    let request = request.basic_auth(&*caller.id, Some(&*caller.secret));
    let many = body_of(request.json(&json!({"tokens": [token]})).send().await.unwrap()).await;
    assert_eq!(many[0]["active"], one, "{many}");
    one
}

async fn withdrawn_introspection_audience_ends_introspection(kind: Kind) {
    let server = shared(kind).await;
    let (api, other) = ("https://api.example", "https://other.example");
    for format in ["paseto", "jwt", "opaque"] {
        let resource = server.register(json!({"introspection_audiences": [api]})).await;
        let owner = json!({"scope": "read", "audience": [api, other], "token_format": format});
        let owner = server.register(owner).await;
        let token = server.token(&owner).await;
        assert!(is_active(&server, &resource, &token).await, "{format}");
        change(&server, &resource, json!({"introspection_audiences": [other]})).await;
        assert!(!is_active(&server, &resource, &token).await, "{format}");
        change(&server, &resource, json!({"introspection_audiences": [api, other]})).await;
        assert!(is_active(&server, &resource, &token).await, "{format}");
        change(&server, &resource, json!({"introspection_audiences": []})).await;
        assert!(!is_active(&server, &resource, &token).await, "{format}");
        assert!(
            is_active(&server, &owner, &token).await,
            "a client may introspect its own tokens"
        );
    }
}

async fn disabled_client_is_rejected_at_every_endpoint(kind: Kind) {
    let server = shared(kind).await;
    let api = "https://api.example";
    let owner = server.register(json!({"audience": [api]})).await;
    let token = server.token(&owner).await;
    let grants = ["client_credentials"];
    let resource = server
        .register(json!({"introspection_audiences": [api], "grant_types": grants}))
        .await;
    let own = server.token(&resource).await;
    assert!(is_active(&server, &resource, &token).await);
    change(&server, &resource, json!({"disabled": true})).await;
    for (path, form) in [
        ("/oauth/token", [("grant_type", "client_credentials")]),
        ("/oauth/introspect", [("token", token.as_str())]),
        ("/oauth/revoke", [("token", own.as_str())]),
    ] {
        let response = server.post(&resource, path, &form).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let batch = server.http.post(server.url("/oauth/introspect/batch"));
    let batch = batch
        .basic_auth(&*resource.id, Some(&*resource.secret))
        .json(&json!({"tokens": [token]}));
    assert_eq!(batch.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    change(&server, &resource, json!({"disabled": false})).await;
    assert!(is_active(&server, &resource, &own).await, "it was not revoked");
}

/// A token that was issued before its client was narrowed is not handed out again, whatever is requested.
async fn narrowed_client_gets_no_reused_token(kind: Kind) {
    let server = shared(kind).await;
    let (api, other) = ("https://api.example", "https://other.example");
    for format in ["paseto", "jwt"] {
        let client = json!({
            "scope": "read write", "audience": [api, other], "token_format": format, "reuse_percent": 90,
        });
        let client = server.register(client).await;
        let parameters: [&[(&str, &str)]; 3] = [&[], &[("scope", "read")], &[("resource", other)]];
        let mut issued = Vec::new();
        for parameters in parameters {
            let body = body_of(server.request_token(&client, parameters).await).await;
            let again = body_of(server.request_token(&client, parameters).await).await;
            assert_eq!(body["access_token"], again["access_token"], "{format}: it is reused");
            issued.push(body["access_token"].as_str().unwrap().to_owned());
        }
        for narrower in [json!({"scope": "read"}), json!({"audience": [api]})] {
            change(&server, &client, narrower).await;
            let before = issued.clone();
            for parameters in parameters {
                let response = server.request_token(&client, parameters).await;
                let status = response.status();
                let body = body_of(response).await;
                if status != StatusCode::OK {
                    assert_eq!(body["error"], "invalid_target", "{body}");
                    continue;
                }
                let token = body["access_token"].as_str().unwrap().to_owned();
                assert!(!before.contains(&token), "{format} {parameters:?}");
                let claims = server.introspect(&client, &token).await;
                assert_eq!(claims["scope"], "read", "{claims}");
                issued.push(token);
            }
        }
        let gone = server.request_token(&client, &[("resource", other)]).await;
        assert_eq!(gone.status(), StatusCode::BAD_REQUEST);
    }
}

async fn disabled_operator_is_rejected(kind: Kind) {
    let server = shared(kind).await;
    for format in ["paseto", "jwt", "opaque"] {
        let operator = server
            .register(json!({"scope": "oauth2.admin", "token_format": format}))
            .await;
        let token = server.token(&operator).await;
        let list = async || {
            let request = server
                .http
                .get(server.management_url("/admin/v1/keys"))
                .bearer_auth(&token);
            request.send().await.unwrap().status()
        };
        assert_eq!(list().await, StatusCode::OK);
        change(&server, &operator, json!({"disabled": true})).await;
        assert_eq!(list().await, StatusCode::UNAUTHORIZED, "{format}");
        change(&server, &operator, json!({"disabled": false})).await;
        assert_eq!(list().await, StatusCode::OK, "{format}: disabling revokes nothing");
    }
}

async fn operator_cannot_issue_more_than_the_client_has_now(kind: Kind) {
    let server = shared(kind).await;
    let client = server.register(json!({"scope": "read write"})).await;
    let order = json!({"client_id": &*client.id, "scope": "write"});
    let issue = async || {
        let request = server.admin(Method::POST, "/tokens:issue").json(&order);
        request.send().await.unwrap().status()
    };
    assert_eq!(issue().await, StatusCode::OK);
    change(&server, &client, json!({"scope": "read"})).await;
    assert_eq!(issue().await, StatusCode::BAD_REQUEST);
    let arguments = [
        "token", "issue", "--client", &client.id, "--scope", "write", "--out", "-",
    ];
    let output = server.setup.run(&arguments);
    assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{}", output.stderr);
}
