//! Control characters in every text parameter of the admin API: rejected with the parameter's name, and never with a sentence of the
//! database.

use std::fmt::Write as _;

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

/// The parameter that the response names, the method, the path and the JSON body. `{x}` is the text with a control character, encoded
/// as its place requires; `{id}` is a client.
const CASES: &[(&str, &str, &str, &str)] = &[
    ("client", "GET", "/clients/{x}", ""),
    ("client", "PATCH", "/clients/{x}", "{}"),
    ("client", "DELETE", "/clients/{x}", ""),
    ("client", "POST", "/clients/{x}/disable", ""),
    ("client", "POST", "/clients/{x}/enable", ""),
    ("client", "POST", "/clients/{x}/rotate-secret", ""),
    ("client", "GET", "/clients/{x}/usage", ""),
    ("client", "GET", "/clients/{x}/tokens", ""),
    ("client", "POST", "/clients/{x}/tokens:revoke-all", ""),
    ("jti", "GET", "/tokens/{x}", ""),
    ("jti", "POST", "/tokens/{x}/revoke", ""),
    ("kid", "POST", "/keys/{x}/revoke", ""),
    ("prefix", "GET", "/clients?prefix={x}", ""),
    ("cursor", "GET", "/clients?cursor={x}", ""),
    ("cursor", "GET", "/clients?cursor={clients}", ""),
    ("cursor", "GET", "/audit?cursor={audit}", ""),
    ("cursor", "GET", "/clients/{id}/tokens?cursor={tokens of {id}}", ""),
    ("limit", "GET", "/clients?limit={x}", ""),
    ("client_id", "GET", "/audit?client_id={x}", ""),
    ("kind", "GET", "/audit?kind={x}", ""),
    ("since", "GET", "/audit?since={x}", ""),
    ("until", "GET", "/audit?until={x}", ""),
    ("client_id", "POST", "/clients", r#"{"client_id": "{x}"}"#),
    ("client_name", "POST", "/clients", r#"{"client_name": "{x}"}"#),
    (
        "client_secret",
        "POST",
        "/clients",
        r#"{"client_secret": "a-secret-of-more-than-32-characters-{x}"}"#,
    ),
    ("scope", "POST", "/clients", r#"{"scope": "{x}"}"#),
    (
        "audience",
        "POST",
        "/clients",
        r#"{"audience": ["https://a.example/{x}"]}"#,
    ),
    (
        "introspection_audiences",
        "POST",
        "/clients",
        r#"{"introspection_audiences": ["https://a.example/{x}"]}"#,
    ),
    ("grant_types", "POST", "/clients", r#"{"grant_types": ["{x}"]}"#),
    ("token_format", "POST", "/clients", r#"{"token_format": "{x}"}"#),
    ("client_name", "PATCH", "/clients/{id}", r#"{"client_name": "{x}"}"#),
    ("scope", "PATCH", "/clients/{id}", r#"{"scope": "{x}"}"#),
    ("client_id", "POST", "/tokens:issue", r#"{"client_id": "{x}"}"#),
    (
        "scope",
        "POST",
        "/tokens:issue",
        r#"{"client_id": "{id}", "scope": "{x}"}"#,
    ),
    (
        "",
        "POST",
        "/tokens:issue",
        r#"{"client_id": "{id}", "audience": "https://a.example/{x}"}"#,
    ),
    ("", "POST", "/keys/rotate", r#"{"algorithm": "{x}"}"#),
    ("", "POST", "/clients", r#"{"{x}": 1}"#),
];

/// The path of a case.
fn path(template: &str, text: &str, id: &str) -> String {
    let encoded = text.bytes().fold(String::new(), |mut encoded, byte| {
        let _ = write!(encoded, "%{byte:02X}");
        encoded
    });
    template
        .replace("{tokens of {id}}", &cursor(&format!("tokens of {id}"), text))
        .replace("{clients}", &cursor("clients", text))
        .replace("{audit}", &cursor("audit", text))
        .replace("{id}", id)
        .replace("{x}", &encoded)
}

/// The JSON body of a case.
fn body(template: &str, text: &str, id: &str) -> String {
    let encoded = Value::from(text).to_string();
    template.replace("{id}", id).replace("{x}", encoded.trim_matches('"'))
}

async fn control_characters_are_rejected(kind: Kind) {
    let server = shared(kind).await;
    let client = server
        .register(json!({"client_id": unique("plain"), "scope": "read"}))
        .await;
    for control in CONTROLS {
        let text = format!("a{control}b");
        for (name, method, path_template, body_template) in CASES {
            let path = path(path_template, &text, &client.id);
            let request = server.admin(Method::from_bytes(method.as_bytes()).unwrap(), &path);
            let request = request.header("content-type", "application/json");
            let response = request
                .body(body(body_template, &text, &client.id))
                .send()
                .await
                .unwrap();
            let (status, text) = (response.status(), response.text().await.unwrap());
            let case = format!("{control:?} {method} {path} {body_template}: {status} {text}");
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
