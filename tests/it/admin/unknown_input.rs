//! Requests with parameters that their endpoint does not have: none of them takes effect.

use oauth2_testkit::{Kind, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::shared;

on_both_stores!(
    endpoints_reject_unknown_parameters_before_they_do_anything,
    rejected_bodies_are_not_repeated,
);

/// Sends a request without a body, or with this one. The status, and the body of the response.
async fn sent(server: &Server, method: &Method, path: &str, body: Option<&str>) -> (StatusCode, Value) {
    let mut request = server.admin(method.clone(), path);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_owned());
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

async fn endpoints_reject_unknown_parameters_before_they_do_anything(kind: Kind) {
    let server = shared(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let token = server.token(&client).await;
    let id = &client.id;
    let of_client = |rest: &str| format!("/clients/{id}{rest}");
    let jti = "01990000-0000-7000-8000-000000000000";
    let without_input = [
        (Method::POST, "/tokens:revoke-all".to_owned()),
        (Method::POST, of_client("/tokens:revoke-all")),
        (Method::POST, of_client("/disable")),
        (Method::POST, of_client("/enable")),
        (Method::DELETE, of_client("")),
        (Method::GET, of_client("")),
        (Method::GET, of_client("/usage")),
        (Method::GET, format!("/tokens/{jti}")),
        (Method::POST, format!("/tokens/{jti}/revoke")),
        (Method::POST, "/cutoffs/1/correct".to_owned()),
        (Method::GET, "/groups".to_owned()),
        (Method::GET, "/groups/none".to_owned()),
        (Method::DELETE, "/groups/none".to_owned()),
        (Method::GET, "/keys".to_owned()),
        (Method::GET, "/keys/verifiers".to_owned()),
        (Method::POST, "/keys/none/revoke".to_owned()),
    ];
    for (method, path) in &without_input {
        for query in ["?client_id=x", "?dry_run=true", "?limit=1"] {
            let (status, body) = sent(&server, method, &format!("{path}{query}"), None).await;
            assert_eq!(
                (status, &body["error"]),
                (StatusCode::BAD_REQUEST, &json!("invalid_request")),
                "{method} {path}{query}: {body}"
            );
        }
        for given in [
            r#"{"client_id":"ci","dry_run":true}"#,
            "[]",
            "client_id=ci",
            r#"{"a":1"#,
        ] {
            let (status, body) = sent(&server, method, path, Some(given)).await;
            assert_eq!(
                (status, &body["error"]),
                (StatusCode::BAD_REQUEST, &json!("invalid_request")),
                "{method} {path} {given}: {body}"
            );
        }
    }
    for (method, path) in [
        (Method::GET, "/clients?prefx=a"),
        (Method::GET, "/clients:top?grp=a"),
        (Method::GET, "/cutoffs?client_id=a"),
        (Method::GET, "/groups:usage?untill=2026-01"),
        (Method::GET, "/groups:top?group=a"),
        (Method::GET, "/audit?client=a"),
        (Method::POST, "/clients?dry_run=true"),
        (Method::POST, "/keys/rotate?algorithm=EdDSA"),
        (Method::POST, "/tokens:issue?count=0"),
    ] {
        let (status, body) = sent(&server, &method, path, None).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{method} {path}: {body}");
    }
    let (status, body) = sent(&server, &Method::GET, &of_client("/tokens?limt=1"), None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert!(server.is_active(&client, &token).await, "nothing happened");
    for given in [None, Some(""), Some("{}"), Some(" { } "), Some("null")] {
        for path in ["/disable", "/enable"] {
            let (status, body) = sent(&server, &Method::POST, &of_client(path), given).await;
            assert_eq!(status, StatusCode::OK, "{path} {given:?}: {body}");
        }
    }
}

/// Values of a rejected body are neither in the response nor in the audit log, and no name that may be a secret.
async fn rejected_bodies_are_not_repeated(kind: Kind) {
    let server = shared(kind).await;
    let number = "1234567890123456789";
    let secret = "oas_cs_hunter2-hunter2";
    for (body, expected) in [
        (
            format!(r#"{{"client_secret":{number}}}"#),
            "client_secret must be a string",
        ),
        (
            format!(r#"{{"access_token_lifetime":"{secret}"}}"#),
            "access_token_lifetime must be an integer",
        ),
        (format!(r#"{{"audience":"{secret}"}}"#), "audience must be a list"),
        (format!(r#"{{"{secret}":1}}"#), "unknown field at line 1 column "),
        (
            format!(r#"{{"claims":{{"{secret}":1,"{secret}":2}}}}"#),
            "is there twice",
        ),
        (r#"{"scpoe":"read"}"#.to_owned(), "unknown field `scpoe`"),
        (
            r#"{"claims":{"role":"user","role":"admin"}}"#.to_owned(),
            "member role is there twice",
        ),
        (r#"{"scope":"a","scope":"b"}"#.to_owned(), "member scope is there twice"),
    ] {
        let (status, response) = sent(&server, &Method::POST, "/clients", Some(&body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{response}");
        let description = response["error_description"].as_str().unwrap();
        assert!(description.contains(expected), "{description}");
        assert!(
            !description.contains(number) && !description.contains("hunter2"),
            "{description}"
        );
    }
    let (_, log) = sent(&server, &Method::GET, "/audit?kind=change.rejected&limit=50", None).await;
    assert!(log["items"].is_array(), "{log}");
    let log = log.to_string();
    assert!(!log.contains(number) && !log.contains("hunter2"), "{log}");
}
