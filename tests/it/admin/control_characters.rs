//! Control characters in every text parameter of the admin API: rejected with the parameter's name, and never with a sentence of the
//! database.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2_testkit::Kind;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{shared, unique};

on_both_stores!(control_characters_are_rejected);

const CONTROLS: [&str; 6] = ["\u{0}", "\u{1}", "\n", "\u{1b}", "\u{7f}", "\u{85}"];

/// Words of the databases.
const FOREIGN: [&str; 8] = [
    "SQLSTATE",
    "byte sequence",
    "encoding",
    "0x00",
    "UTF8",
    "constraint",
    "sqlite",
    "unexpected null",
];

/// A cursor with a valid checksum.
fn cursor(list: &str, position: &str) -> String {
    let text = format!("{list}\n{position}");
    let sum = crc32fast::hash(text.as_bytes()).to_be_bytes();
    URL_SAFE_NO_PAD.encode([text.as_bytes(), &sum].concat())
}

async fn control_characters_are_rejected(kind: Kind) {
    let server = shared(kind).await;
    let client = server
        .register(json!({"client_id": unique("plain"), "scope": "read"}))
        .await;
    let id = &client.id;
    for control in CONTROLS {
        let text = format!("a{control}b");
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let uri = format!("https://api.example/{text}");
        let none = || Value::Null;
        let paged = |list: &str| cursor(list, &text);
        let cases: Vec<(&str, Method, String, Value)> = vec![
            ("client", Method::GET, format!("/clients/{encoded}"), none()),
            ("client", Method::PATCH, format!("/clients/{encoded}"), json!({})),
            ("client", Method::DELETE, format!("/clients/{encoded}"), none()),
            ("client", Method::POST, format!("/clients/{encoded}/disable"), none()),
            ("client", Method::POST, format!("/clients/{encoded}/enable"), none()),
            (
                "client",
                Method::POST,
                format!("/clients/{encoded}/rotate-secret"),
                none(),
            ),
            ("client", Method::GET, format!("/clients/{encoded}/usage"), none()),
            ("client", Method::GET, format!("/clients/{encoded}/tokens"), none()),
            (
                "client",
                Method::POST,
                format!("/clients/{encoded}/tokens:revoke-all"),
                none(),
            ),
            ("jti", Method::GET, format!("/tokens/{encoded}"), none()),
            ("jti", Method::POST, format!("/tokens/{encoded}/revoke"), none()),
            ("kid", Method::POST, format!("/keys/{encoded}/revoke"), none()),
            ("prefix", Method::GET, format!("/clients?prefix={encoded}"), none()),
            ("cursor", Method::GET, format!("/clients?cursor={encoded}"), none()),
            (
                "cursor",
                Method::GET,
                format!("/clients?cursor={}", paged("clients")),
                none(),
            ),
            (
                "cursor",
                Method::GET,
                format!("/audit?cursor={}", paged("audit")),
                none(),
            ),
            (
                "cursor",
                Method::GET,
                format!("/clients/{id}/tokens?cursor={}", paged(&format!("tokens of {id}"))),
                none(),
            ),
            ("limit", Method::GET, format!("/clients?limit={encoded}"), none()),
            ("client_id", Method::GET, format!("/audit?client_id={encoded}"), none()),
            ("kind", Method::GET, format!("/audit?kind={encoded}"), none()),
            ("since", Method::GET, format!("/audit?since={encoded}"), none()),
            ("until", Method::GET, format!("/audit?until={encoded}"), none()),
            (
                "client_id",
                Method::POST,
                "/clients".to_owned(),
                json!({"client_id": text}),
            ),
            (
                "client_name",
                Method::POST,
                "/clients".to_owned(),
                json!({"client_name": text}),
            ),
            (
                "client_secret",
                Method::POST,
                "/clients".to_owned(),
                json!({"client_secret": format!("{}{text}", "s".repeat(40))}),
            ),
            ("scope", Method::POST, "/clients".to_owned(), json!({"scope": text})),
            (
                "audience",
                Method::POST,
                "/clients".to_owned(),
                json!({"audience": [uri]}),
            ),
            (
                "introspection_audiences",
                Method::POST,
                "/clients".to_owned(),
                json!({"introspection_audiences": [uri]}),
            ),
            (
                "grant_types",
                Method::POST,
                "/clients".to_owned(),
                json!({"grant_types": [text]}),
            ),
            (
                "token_format",
                Method::POST,
                "/clients".to_owned(),
                json!({"token_format": text}),
            ),
            (
                "client_name",
                Method::PATCH,
                format!("/clients/{id}"),
                json!({"client_name": text}),
            ),
            ("scope", Method::PATCH, format!("/clients/{id}"), json!({"scope": text})),
            (
                "client_id",
                Method::POST,
                "/tokens:issue".to_owned(),
                json!({"client_id": text}),
            ),
            (
                "scope",
                Method::POST,
                "/tokens:issue".to_owned(),
                json!({"client_id": id, "scope": text}),
            ),
            (
                "",
                Method::POST,
                "/tokens:issue".to_owned(),
                json!({"client_id": id, "audience": uri}),
            ),
            ("", Method::POST, "/keys/rotate".to_owned(), json!({"algorithm": text})),
            ("", Method::POST, "/clients".to_owned(), json!({(text.clone()): 1})),
        ];
        for (name, method, path, body) in cases {
            let mut request = server.admin(method.clone(), &path);
            if !body.is_null() {
                request = request.json(&body);
            }
            let response = request.send().await.unwrap();
            let (status, text) = (response.status(), response.text().await.unwrap());
            let case = format!("{control:?} {method} {path}: {status} {text}");
            assert!(
                [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND].contains(&status),
                "{case}"
            );
            for word in FOREIGN {
                assert!(!text.contains(word), "{word}: {case}");
            }
            let found: Value = serde_json::from_str(&text).unwrap();
            assert!(
                found["error_description"].as_str().unwrap().contains(name),
                "{name}: {case}"
            );
        }
    }
    // Bytes that are not UTF-8.
    for path in ["/keys/%FF/revoke", "/clients/%FF/disable", "/tokens/%FF/revoke"] {
        let response = server.admin(Method::POST, path).send().await.unwrap();
        let status = response.status();
        assert!(
            [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND].contains(&status),
            "{path}: {status}"
        );
        let found: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert!(found["error"].is_string(), "{path}: {found}");
    }
}
