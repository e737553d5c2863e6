//! Whatever is sent, the answer is this protocol's: never a 5xx, always JSON, and afterwards all is as before.

use oauth2_testkit::server::json;
use oauth2_testkit::{Credentials, Kind, Server};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::start;

on_both_stores!(no_input_causes_a_5xx, granted_scope_is_the_requested_and_allowed_one);

const ENDPOINTS: [&str; 4] = [
    "/oauth/token",
    "/oauth/introspect",
    "/oauth/revoke",
    "/oauth/introspect/batch",
];

const ALLOWED: [&str; 4] = ["read", "write", "admin:x", "a"];

fn runner(cases: u32) -> TestRunner {
    // No files: a failure prints its input, smallest form first.
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

/// Names that mean something, with values that may not.
fn parameter() -> impl Strategy<Value = (String, String)> {
    let name = prop::sample::select(vec![
        "grant_type",
        "scope",
        "audience",
        "resource",
        "client_id",
        "client_secret",
        "token",
        "token_type_hint",
        "client_assertion",
        "refresh_token",
        "code",
        "",
    ]);
    let value = prop_oneof![
        Just("client_credentials".to_owned()),
        Just("read".to_owned()),
        Just("demo".to_owned()),
        "v4\\.public\\.[A-Za-z0-9_-]{0,120}(\\.[A-Za-z0-9_-]{0,60})?",
        "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,90}",
        "oas_at_[A-Za-z0-9_-]{70,80}",
        ".{0,40}",
    ];
    (name.prop_map(str::to_owned), value)
}

fn encode(parameters: &[(String, String)]) -> Vec<u8> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(parameters).finish().into_bytes()
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(parameter(), 0..5).prop_map(|parameters| encode(&parameters)),
        1 => prop::collection::vec(any::<u8>(), 0..300),
        1 => "[a-z_=&%+;0-9]{0,80}".prop_map(String::into_bytes),
        1 => r#"\{"tokens":\[("[a-zA-Z0-9._\\-]{0,30}",?){0,3}\]?\}?"#.prop_map(String::into_bytes),
    ]
}

fn authorization(right: &Credentials) -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        3 => Just(Some(right.basic().into_bytes())),
        1 => Just(None),
        1 => "Basic [A-Za-z0-9+/=]{0,60}".prop_map(|text| Some(text.into_bytes())),
        1 => "[!-~]{0,20} [ -~]{0,40}".prop_map(|text| Some(text.into_bytes())),
    ]
}

fn content_type() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded",
        "application/json",
        "application/json; charset=utf-8",
        "text/plain",
        "",
    ])
}

async fn no_input_causes_a_5xx(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"scope": "read write"})).await;
    let endpoint = prop::sample::select(ENDPOINTS.to_vec());
    let strategy = (endpoint, body(), authorization(&client), content_type());
    let outcome = block_in_place(|| {
        runner(600).run(&strategy, |(path, body, authorization, content_type)| {
            Handle::current().block_on(is_a_proper_answer(&server, path, body, authorization, content_type))
        })
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    server.token(&client).await;
    assert_eq!(
        server
            .metric(
                "oauth2_server_http_requests_total",
                &[("status", "5xx"), ("method", "POST")]
            )
            .await,
        Some(0.0)
    );
}

async fn is_a_proper_answer(
    server: &Server,
    path: &str,
    body: Vec<u8>,
    authorization: Option<Vec<u8>>,
    content_type: &str,
) -> Result<(), TestCaseError> {
    let mut request = server
        .http
        .post(server.url(path))
        .header("content-type", content_type)
        .body(body);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let response = request.send().await.expect("an response");
    let status = response.status();
    prop_assert!(!status.is_server_error(), "{status}");
    prop_assert_eq!(&response.headers()["cache-control"], "no-store");
    let text = response.text().await.expect("a body");
    if status == StatusCode::OK && path == "/oauth/revoke" {
        prop_assert_eq!(text, "");
        return Ok(());
    }
    let json: Value = serde_json::from_str(&text).map_err(|_| TestCaseError::fail(text.clone()))?;
    if status != StatusCode::OK {
        let known = [
            "invalid_request",
            "invalid_client",
            "invalid_scope",
            "invalid_target",
            "unsupported_grant_type",
        ];
        prop_assert!(
            json["error"].as_str().is_some_and(|error| known.contains(&error)),
            "{}",
            text
        );
        let unauthorized = status == StatusCode::UNAUTHORIZED;
        prop_assert_eq!(unauthorized, json["error"] == "invalid_client", "{}", text);
    }
    Ok(())
}

async fn granted_scope_is_the_requested_and_allowed_one(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"scope": ALLOWED.join(" ")})).await;
    let word = prop_oneof![4 => prop::sample::select(ALLOWED.to_vec()).prop_map(str::to_owned), 1 => "[!-~]{1,8}"];
    let asked = prop::collection::vec(word, 1..6).prop_map(|words| words.join(" "));
    let outcome = block_in_place(|| {
        runner(150).run(&asked, |asked| {
            let response = Handle::current().block_on(async {
                let response = server.request_token(&client, &[("scope", &*asked)]).await;
                (response.status(), json(response).await)
            });
            let allowed = asked.split(' ').all(|scope| ALLOWED.contains(&scope));
            if allowed {
                let mut expected: Vec<&str> = Vec::new();
                for scope in asked.split(' ').filter(|scope| !scope.is_empty()) {
                    if !expected.contains(&scope) {
                        expected.push(scope);
                    }
                }
                prop_assert_eq!(response.0, StatusCode::OK);
                prop_assert_eq!(&response.1["scope"], &json!(expected.join(" ")));
            } else {
                prop_assert_eq!(response.0, StatusCode::BAD_REQUEST);
                prop_assert_eq!(&response.1["error"], "invalid_scope");
            }
            Ok(())
        })
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
