//! `POST /oauth/token`: what is granted, and each refusal of RFC 6749 and RFC 8707.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2_testkit::server::json;
use oauth2_testkit::{Credentials, DedicatedServer, Kind, Server};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::{setup, shared};

on_both_stores!(
    every_format_is_issued_introspected_and_revoked,
    jwt_has_the_configured_typ,
    scope_is_a_subset_of_the_registered_scope,
    resource_must_be_an_allowed_audience,
    invalid_requests_are_rejected_with_the_oauth_error,
    responses_are_not_cacheable,
    lifetime_and_ledger_follow_the_client,
);

const FORMATS: [&str; 3] = ["paseto", "jwt", "opaque"];

pub async fn rejected(response: Response, status: StatusCode, error: &str) -> Value {
    let found = response.status();
    let body = json(response).await;
    assert_eq!((found, body["error"].as_str()), (status, Some(error)), "{body}");
    assert!(
        body["error_description"].as_str().is_some_and(|text| text.len() > 10),
        "{body}"
    );
    body
}

async fn every_format_is_issued_introspected_and_revoked(kind: Kind) {
    let server = shared(kind).await;
    for format in FORMATS {
        let client = server
            .register(json!({"scope": "read write", "token_format": format}))
            .await;
        let response = server.request_token(&client, &[("scope", "read")]).await;
        assert_eq!(response.status(), StatusCode::OK);
        let body = json(response).await;
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["expires_in"], 1800);
        assert_eq!(body["scope"], "read");
        let token = body["access_token"].as_str().unwrap();
        has_shape_of(token, format);

        let claims = server.introspect(&client, token).await;
        assert_eq!(claims["active"], true, "{claims}");
        for (name, expected) in [
            ("iss", json!(server.issuer())),
            ("sub", json!(client.id)),
            ("client_id", json!(client.id)),
            ("aud", json!(server.issuer())),
            ("scope", json!("read")),
            ("token_type", json!("Bearer")),
        ] {
            assert_eq!(claims[name], expected, "{name} of {format}");
        }
        let (issued, expires) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        assert_eq!(expires - issued, 1800);
        let id: uuid::Uuid = claims["jti"].as_str().unwrap().parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_timestamp().unwrap().to_unix().0 as i64, issued);

        server.revoke(&client, token).await;
        assert_eq!(server.introspect(&client, token).await, json!({"active": false}));
    }
}

/// Many verifiers reject `at+jwt`: the client's `typ` decides, else the server's.
async fn jwt_has_the_configured_typ(kind: Kind) {
    let configured = setup(kind).await.with("OAUTH2_TOKENS_TYP", "JWT");
    let server = DedicatedServer::start(configured).await;
    let header = |token: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
    };
    for (typ, alg, expected) in [
        (json!(null), "ES256", "JWT"),
        (json!("JWT"), "EdDSA", "JWT"),
        (json!("at+jwt"), "ES256", "at+jwt"),
        (json!("at+jwt"), "RS256", "at+jwt"),
    ] {
        let client = json!({"token_format": "jwt", "signing_alg": alg, "token_typ": typ});
        let client = server.register(client).await;
        let token = server.token(&client).await;
        assert_eq!(
            (&header(&token)["typ"], &header(&token)["alg"]),
            (&json!(expected), &json!(alg))
        );
        assert!(server.is_active(&client, &token).await, "{alg} {expected}");
    }
    let paseto = json!({"token_format": "paseto", "token_typ": "JWT"});
    let response = server
        .admin(Method::POST, "/clients")
        .json(&paseto)
        .send()
        .await
        .unwrap();
    rejected(response, StatusCode::BAD_REQUEST, "invalid_client_metadata").await;
}

fn has_shape_of(token: &str, format: &str) {
    let decode = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    match format {
        "paseto" => {
            let parts: Vec<_> = token.split('.').collect();
            assert_eq!(&parts[..2], ["v4", "public"]);
            let footer = URL_SAFE_NO_PAD.decode(parts[3]).unwrap();
            let kid = decode(parts[3])["kid"].as_str().unwrap().to_owned();
            assert_eq!(footer, format!(r#"{{"kid":"{kid}"}}"#).as_bytes());
            assert!(kid.starts_with("k4.pid."));
        }
        "jwt" => {
            let header = decode(token.split('.').next().unwrap());
            assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("ES256")));
        }
        _ => {
            assert!(token.starts_with("oas_at_"));
            assert!(
                token
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            );
        }
    }
}

async fn scope_is_a_subset_of_the_registered_scope(kind: Kind) {
    let server = shared(kind).await;
    let client = server.register(json!({"scope": "read write admin:x"})).await;
    let scope = async |asked: &[(&str, &str)]| -> Value {
        json(server.request_token(&client, asked).await).await["scope"].clone()
    };
    assert_eq!(scope(&[]).await, "read write admin:x", "all of them when none is asked");
    assert_eq!(scope(&[("scope", "write read")]).await, "write read");
    assert_eq!(scope(&[("scope", "read read")]).await, "read");
    for asked in ["other", "read other", "READ", "read\u{e9}", "read\"", "read\\"] {
        let response = server.request_token(&client, &[("scope", asked)]).await;
        rejected(response, StatusCode::BAD_REQUEST, "invalid_scope").await;
    }
    let none = server.register(json!({"scope": ""})).await;
    let response = json(server.request_token(&none, &[]).await).await;
    assert_eq!(response.get("scope"), None, "{response}");
}

async fn resource_must_be_an_allowed_audience(kind: Kind) {
    let server = shared(kind).await;
    let (a, b) = ("https://a.example", "https://b.example/x");
    let client = server.register(json!({"scope": "read", "audience": [a, b]})).await;
    let audience = async |asked: &[(&str, &str)]| -> Value {
        let response = json(server.request_token(&client, asked).await).await;
        let token = response["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{response}"));
        server.introspect(&client, token).await["aud"].clone()
    };
    assert_eq!(audience(&[]).await, a, "the first when none is asked");
    assert_eq!(audience(&[("audience", b)]).await, b);
    assert_eq!(audience(&[("resource", b)]).await, b);
    assert_eq!(audience(&[("resource", b), ("resource", b)]).await, b);
    assert_eq!(audience(&[("resource", b), ("audience", b)]).await, b);
    for asked in [
        &[("resource", a), ("resource", b)][..],
        &[("resource", a), ("audience", b)],
        &[("audience", "https://c.example")],
        &[("resource", "https://a.example/")],
        &[("resource", "not a uri")],
        &[("resource", "https://a.example#fragment")],
    ] {
        rejected(
            server.request_token(&client, asked).await,
            StatusCode::BAD_REQUEST,
            "invalid_target",
        )
        .await;
    }
    let repeated = server.request_token(&client, &[("audience", a), ("audience", a)]).await;
    rejected(repeated, StatusCode::BAD_REQUEST, "invalid_request").await;
}

async fn invalid_requests_are_rejected_with_the_oauth_error(kind: Kind) {
    let server = shared(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let ask = async |body: &str| send(&server, Some(&client), body, "application/x-www-form-urlencoded").await;
    let bad = StatusCode::BAD_REQUEST;

    rejected(ask("").await, bad, "invalid_request").await;
    rejected(ask("scope=read").await, bad, "invalid_request").await;
    rejected(ask("grant_type=").await, bad, "invalid_request").await;
    rejected(
        ask("grant_type=password&username=a&password=b").await,
        bad,
        "unsupported_grant_type",
    )
    .await;
    rejected(
        ask("grant_type=authorization_code&code=x").await,
        bad,
        "unsupported_grant_type",
    )
    .await;
    rejected(
        ask("grant_type=client_credentials&grant_type=client_credentials").await,
        bad,
        "invalid_request",
    )
    .await;
    rejected(
        ask("grant_type=client_credentials&scope=read&scope=read").await,
        bad,
        "invalid_request",
    )
    .await;
    rejected(
        ask("grant_type=client_credentials&scope=%zz").await,
        bad,
        "invalid_request",
    )
    .await;
    rejected(
        ask("grant_type=client_credentials&scope=%ff").await,
        bad,
        "invalid_request",
    )
    .await;
    for unknown in ["application/json", "text/plain", ""] {
        let response = send(&server, Some(&client), "grant_type=client_credentials", unknown).await;
        rejected(response, bad, "invalid_request").await;
    }
    let with_charset = "application/x-www-form-urlencoded; charset=UTF-8";
    let response = send(
        &server,
        Some(&client),
        "grant_type=client_credentials&unknown=1",
        with_charset,
    )
    .await;
    assert_eq!(
        response.status(),
        StatusCode::OK,
        "unknown parameters are ignored (RFC 6749 section 3.2)"
    );

    let large = format!("grant_type=client_credentials&padding={}", "x".repeat(16 * 1024));
    rejected(ask(&large).await, StatusCode::PAYLOAD_TOO_LARGE, "invalid_request").await;

    // Authentication comes before any check of the grant.
    let stranger = Credentials::new("stranger", "wrong");
    let response = send(
        &server,
        Some(&stranger),
        "grant_type=nonsense",
        "application/x-www-form-urlencoded",
    )
    .await;
    rejected(response, StatusCode::UNAUTHORIZED, "invalid_client").await;

    let got = server.http.get(server.url("/oauth/token")).send().await.unwrap();
    assert_eq!(got.headers()["allow"], "POST");
    rejected(got, StatusCode::METHOD_NOT_ALLOWED, "invalid_request").await;
}

pub async fn send(server: &Server, client: Option<&Credentials>, body: &str, content_type: &str) -> Response {
    let mut request = server.http.post(server.url("/oauth/token")).body(body.to_owned());
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    if let Some(client) = client {
        request = request.header("authorization", client.basic());
    }
    request.send().await.unwrap()
}

async fn responses_are_not_cacheable(kind: Kind) {
    let server = shared(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let good = server.request_token(&client, &[]).await;
    let bad = server.request_token(&client, &[("scope", "other")]).await;
    for response in [good, bad] {
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["pragma"], "no-cache");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert!(response.headers().contains_key("x-request-id"));
    }
}

async fn lifetime_and_ledger_follow_the_client(kind: Kind) {
    let server = shared(kind).await;
    let short = server
        .register(json!({"scope": "read", "access_token_lifetime": 60}))
        .await;
    assert_eq!(json(server.request_token(&short, &[]).await).await["expires_in"], 60);

    let stateless = server
        .register(json!({"scope": "read", "token_ledger": "stateless"}))
        .await;
    let row_of = async |client: &Credentials, token: &str| {
        let claims = server.introspect(client, token).await;
        let path = format!("/tokens/{}", claims["jti"].as_str().unwrap());
        server.admin(reqwest::Method::GET, &path).send().await.unwrap()
    };
    let token = server.token(&stateless).await;
    let row = row_of(&stateless, &token).await;
    assert_eq!(row.status(), StatusCode::NOT_FOUND, "a stateless token has no row");
    server.revoke(&stateless, &token).await;
    assert!(!server.is_active(&stateless, &token).await);

    let durable = server.token(&short).await;
    let row = row_of(&short, &durable).await;
    assert_eq!(row.status(), StatusCode::OK);
    assert_eq!(json(row).await["client_id"], short.id);

    // Only what is self-contained can go without a row.
    let body = json!({"scope": "read", "token_ledger": "stateless", "token_format": "opaque"});
    let response = server
        .admin(reqwest::Method::POST, "/clients")
        .json(&body)
        .send()
        .await
        .unwrap();
    rejected(response, StatusCode::BAD_REQUEST, "invalid_client_metadata").await;
}
