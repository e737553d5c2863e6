//! Introspection (RFC 7662), one token and many at a time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use oauth2_testkit::server::json;
use oauth2_testkit::{Credentials, Kind, Server};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::shared;
use crate::token::rejected;

on_both_stores!(
    only_owner_and_audience_see_a_token,
    forged_tokens_are_inactive,
    opaque_token_with_wrong_secret_is_inactive,
    malformed_tokens_are_inactive,
    expired_tokens_are_inactive,
    malformed_requests_are_rejected,
    batch_results_are_in_order,
    batch_may_mix_formats,
    batch_size_is_limited,
    body_of_an_unauthenticated_batch_is_not_read,
);

async fn only_owner_and_audience_see_a_token(kind: Kind) {
    let server = shared(kind).await;
    let api = "https://api.example";
    let resource = server.register(json!({"introspection_audiences": [api]})).await;
    let stranger = server
        .register(json!({"introspection_audiences": ["https://other.example"]}))
        .await;
    for format in ["paseto", "jwt", "opaque"] {
        let metadata = json!({"scope": "read", "audience": [api], "token_format": format});
        let owner = server.register(metadata).await;
        let token = server.token(&owner).await;
        assert!(server.is_active(&owner, &token).await);
        assert!(server.is_active(&resource, &token).await, "the audience of {format}");
        assert_eq!(server.introspect(&stranger, &token).await, json!({"active": false}));
        let hinted = [("token", token.as_str()), ("token_type_hint", "refresh_token")];
        let response = server.post(&owner, "/oauth/introspect", &hinted).await;
        assert_eq!(
            json(response).await["active"],
            true,
            "a wrong hint costs nothing (RFC 7662 section 2.1)"
        );
    }
}

/// A token with its characters changed one at a time, all over.
fn forgeries(token: &str) -> Vec<String> {
    let mut forged: Vec<String> = Vec::new();
    let last = token.len() - 1;
    for at in (0..token.len()).step_by(7).chain([last - 1, last]) {
        for other in ['A', 'B', '_'] {
            let mut changed = token.to_owned();
            changed.replace_range(at..=at, &other.to_string());
            if changed != token {
                forged.push(changed);
            }
        }
    }
    // Characters that differ in nothing but bits that base64 leaves unused.
    for digit in 'a'..='z' {
        let mut changed = token.to_owned();
        changed.replace_range(last..=last, &digit.to_string());
        if changed != token {
            forged.push(changed);
        }
    }
    forged.push(token[..last].to_owned());
    forged.push(token[..token.len() / 2].to_owned());
    forged.push(format!("{token}A"));
    forged.push(format!("{token}."));
    forged.push(format!("{token}="));
    forged.push(format!(" {token}"));
    forged
}

async fn forged_tokens_are_inactive(kind: Kind) {
    let server = shared(kind).await;
    for format in ["paseto", "jwt", "opaque"] {
        let client = server.register(json!({"scope": "read", "token_format": format})).await;
        let token = server.token(&client).await;
        // The first one fills the cache of verified tokens: it must not help the others.
        assert!(server.is_active(&client, &token).await);
        let forged = forgeries(&token);
        let answers = batch(&server, &client, &forged).await;
        for (token, response) in forged.iter().zip(answers.as_array().unwrap()) {
            assert_eq!(*response, json!({"active": false}), "{format}: {token}");
        }
        assert!(server.is_active(&client, &token).await);
    }
}

/// Id, expiry and checksum are right, so that the row is found and nothing but the secret is wrong.
async fn opaque_token_with_wrong_secret_is_inactive(kind: Kind) {
    let server = shared(kind).await;
    let client = server
        .register(json!({"scope": "read", "token_format": "opaque"}))
        .await;
    let token = server.token(&client).await;
    let bytes = BASE64URL.decode(token.strip_prefix("oas_at_").unwrap()).unwrap();
    let body = &bytes[..53];
    let write = |body: &[u8]| {
        let sum = crc32fast::hash(body).to_be_bytes();
        format!("oas_at_{}", BASE64URL.encode([body, &sum].concat()))
    };
    assert_eq!(write(body), token);
    for at in [21, 52] {
        let mut other = body.to_vec();
        other[at] ^= 1;
        let other = write(&other);
        assert_eq!(server.introspect(&client, &other).await, json!({"active": false}));
        server.revoke(&client, &other).await;
        assert!(server.is_active(&client, &token).await, "nor does it revoke");
    }
}

async fn malformed_tokens_are_inactive(kind: Kind) {
    let server = shared(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiJhIn0.";
    let long = "x".repeat(9000);
    for token in [
        "x",
        "v4.public.",
        "v4.local.AAAA",
        "v2.public.AAAA",
        "oas_at_",
        "a.b.c",
        "..",
        none,
        &long,
        "\u{fe}",
        "\0",
    ] {
        assert_eq!(
            server.introspect(&client, token).await,
            json!({"active": false}),
            "{token}"
        );
        server.revoke(&client, token).await;
    }
}

async fn expired_tokens_are_inactive(kind: Kind) {
    let server = shared(kind).await;
    for format in ["paseto", "jwt", "opaque"] {
        let metadata = json!({"scope": "read", "token_format": format, "access_token_lifetime": 1});
        let client = server.register(metadata).await;
        let token = server.token(&client).await;
        let gone = async {
            while server.is_active(&client, &token).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(10), gone).await;
        assert!(in_time.is_ok(), "{format} outlived its second");
    }
}

async fn malformed_requests_are_rejected(kind: Kind) {
    let server = shared(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        for form in [
            &[][..],
            &[("token", "")],
            &[("token", "a"), ("token", "b")],
            &[("token_type_hint", "x")],
        ] {
            let response = server.post(&client, path, form).await;
            rejected(response, StatusCode::BAD_REQUEST, "invalid_request").await;
        }
        let response = server.http.get(server.url(path)).send().await.unwrap();
        assert_eq!(response.headers()["allow"], "POST");
        rejected(response, StatusCode::METHOD_NOT_ALLOWED, "invalid_request").await;
    }
}

pub async fn send_batch(server: &Server, client: &Credentials, body: String) -> Response {
    let request = server.http.post(server.url("/oauth/introspect/batch")).body(body);
    let request = request
        .header("authorization", client.basic())
        .header("content-type", "application/json");
    request.send().await.unwrap()
}

pub async fn batch(server: &Server, client: &Credentials, tokens: &[String]) -> Value {
    let response = send_batch(server, client, json!({"tokens": tokens}).to_string()).await;
    let (status, body) = (response.status(), json(response).await);
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body.as_array().unwrap().len(), tokens.len());
    body
}

async fn batch_results_are_in_order(kind: Kind) {
    let server = shared(kind).await;
    let mut tokens = Vec::new();
    let owner = server.register(json!({"scope": "read"})).await;
    let stranger = server.register(json!({"scope": "read"})).await;
    for (client, revoked) in [(&owner, false), (&owner, true), (&stranger, false), (&owner, false)] {
        let token = server.token(client).await;
        if revoked {
            server.revoke(client, &token).await;
        }
        tokens.push(token);
    }
    tokens.insert(2, "garbage".to_owned());
    tokens.push(tokens[0].clone());
    let answers = batch(&server, &owner, &tokens).await;
    let active: Vec<_> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|response| response["active"].as_bool().unwrap())
        .collect();
    assert_eq!(active, [true, false, false, false, true, true]);
    assert_eq!(
        answers[0],
        server.introspect(&owner, &tokens[0]).await,
        "the same response as alone"
    );
    assert_eq!(batch(&server, &owner, &[]).await, json!([]));
}

/// The same id and expiry with another secret, and a checksum that is right.
fn with_another_secret(opaque: &str) -> String {
    let mut bytes = BASE64URL.decode(opaque.strip_prefix("oas_at_").unwrap()).unwrap();
    bytes[30] ^= 1;
    let sum = crc32fast::hash(&bytes[..53]).to_be_bytes();
    bytes[53..].copy_from_slice(&sum);
    format!("oas_at_{}", BASE64URL.encode(bytes))
}

async fn batch_may_mix_formats(kind: Kind) {
    let server = shared(kind).await;
    let resource = server
        .register(json!({"introspection_audiences": [server.issuer()]}))
        .await;
    let mut tokens = Vec::new();
    for format in ["opaque", "paseto", "opaque", "jwt", "opaque"] {
        let client = server.register(json!({"scope": "read", "token_format": format})).await;
        let (kept, revoked) = (server.token(&client).await, server.token(&client).await);
        server.revoke(&client, &revoked).await;
        tokens.extend([(kept, true), (revoked, false)]);
    }
    let first = tokens[0].0.clone();
    tokens.insert(3, (with_another_secret(&first), false));
    tokens.insert(5, ("oas_at_".to_owned(), false));
    tokens.push((first, true));
    let asked: Vec<String> = tokens.iter().map(|(token, _)| token.clone()).collect();
    let answers = batch(&server, &resource, &asked).await;
    for ((token, active), response) in tokens.iter().zip(answers.as_array().unwrap()) {
        assert_eq!(response["active"], *active, "{token}");
        assert_eq!(
            *response,
            server.introspect(&resource, token).await,
            "the same as alone"
        );
    }
}

async fn batch_size_is_limited(kind: Kind) {
    let server = shared(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let many = |n: usize| json!({"tokens": vec!["x"; n]}).to_string();
    assert_eq!(send_batch(&server, &client, many(1000)).await.status(), StatusCode::OK);
    let too_large = StatusCode::PAYLOAD_TOO_LARGE;
    rejected(
        send_batch(&server, &client, many(1001)).await,
        too_large,
        "invalid_request",
    )
    .await;
    let large = json!({"tokens": ["x".repeat(1024 * 1024)]}).to_string();
    rejected(send_batch(&server, &client, large).await, too_large, "invalid_request").await;
    for body in [
        "",
        "{}",
        "[]",
        r#"{"tokens":"x"}"#,
        r#"{"tokens":[1]}"#,
        r#"{"tokens":[],"more":1}"#,
        "{\"tokens\":[\"x\"",
    ] {
        let response = send_batch(&server, &client, body.to_owned()).await;
        rejected(response, StatusCode::BAD_REQUEST, "invalid_request").await;
    }
    let wrong = Credentials::new("nobody", "x");
    rejected(
        send_batch(&server, &wrong, many(1)).await,
        StatusCode::UNAUTHORIZED,
        "invalid_client",
    )
    .await;
    let got = server
        .http
        .request(Method::PUT, server.url("/oauth/introspect/batch"))
        .send()
        .await
        .unwrap();
    rejected(got, StatusCode::METHOD_NOT_ALLOWED, "invalid_request").await;
}

/// The body never ends, so an response shows that it was not waited for.
async fn body_of_an_unauthenticated_batch_is_not_read(kind: Kind) {
    let server = shared(kind).await;
    let wrong = format!("Authorization: {}\r\n", Credentials::new("nobody", "x").basic());
    for authorization in ["", &wrong] {
        let mut stream = TcpStream::connect(("127.0.0.1", server.setup.public)).unwrap();
        // Less than the 5 s that a body may take.
        stream.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
        let head = "POST /oauth/introspect/batch HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
        let unfinished = format!("{head}{authorization}Content-Length: 1000000\r\n\r\n{{\"tokens\":[");
        stream.write_all(unfinished.as_bytes()).unwrap();
        let mut response = [0; 12];
        stream.read_exact(&mut response).expect("an answer in time");
        assert_eq!(&response, b"HTTP/1.1 401");
    }
}
