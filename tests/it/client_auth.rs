//! Client authentication (RFC 6749 section 2.3.1), at every endpoint that asks for it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oauth2_testkit::server::json;
use oauth2_testkit::{Credentials, Kind, Server};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::start;
use crate::token::refused;

on_both_stores!(
    both_methods_authenticate,
    exactly_one_method_a_request,
    wrong_credentials_are_told_apart_by_nobody,
    basic_credentials_are_form_encoded,
    a_disabled_client_is_refused_until_it_is_enabled,
    two_secrets_work_during_an_overlap,
    failures_are_counted,
);

const ENDPOINTS: [(&str, &str); 3] = [
    ("/oauth/token", "grant_type=client_credentials"),
    ("/oauth/introspect", "token=x"),
    ("/oauth/revoke", "token=x"),
];

/// Sends a form with these `Authorization` headers.
async fn send(server: &Server, path: &str, body: &str, headers: &[&str]) -> Response {
    let mut request = server
        .http
        .post(server.url(path))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.to_owned());
    for header in headers {
        request = request.header("authorization", *header);
    }
    request.send().await.unwrap()
}

/// Every 401 names a scheme, whether or not the header was used.
async fn challenged(answer: Response) -> Value {
    let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
    assert_eq!(challenge, r#"Basic realm="oauth2", charset="UTF-8""#);
    refused(answer, StatusCode::UNAUTHORIZED, "invalid_client").await
}

async fn both_methods_authenticate(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let (id, secret) = (&client.id, &client.secret);
    for (path, form) in ENDPOINTS {
        let basic = send(&server, path, form, &[&client.basic()]).await;
        assert_eq!(basic.status(), StatusCode::OK, "basic at {path}");
        let with_id = send(&server, path, &format!("{form}&client_id={id}"), &[&client.basic()]).await;
        assert_eq!(
            with_id.status(),
            StatusCode::OK,
            "the same id in the body is no second method"
        );
        let post = send(
            &server,
            path,
            &format!("{form}&client_id={id}&client_secret={secret}"),
            &[],
        )
        .await;
        assert_eq!(post.status(), StatusCode::OK, "post at {path}");
    }
}

async fn exactly_one_method_a_request(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let (id, secret, basic) = (&client.id, &client.secret, client.basic());
    for (path, form) in ENDPOINTS {
        for (body, headers) in [
            (
                format!("{form}&client_id={id}&client_secret={secret}"),
                vec![basic.as_str()],
            ),
            (format!("{form}&client_secret={secret}"), vec![&basic]),
            (format!("{form}&client_assertion=x"), vec![&basic]),
            (form.to_owned(), vec![&basic, &basic]),
            (format!("{form}&client_id=other"), vec![&basic]),
            (format!("{form}&client_secret={secret}"), vec![]),
            (
                format!("{form}&client_id={id}&client_secret={secret}&client_secret={secret}"),
                vec![],
            ),
        ] {
            let answer = send(&server, path, &body, &headers).await;
            refused(answer, StatusCode::BAD_REQUEST, "invalid_request").await;
        }
    }
}

async fn wrong_credentials_are_told_apart_by_nobody(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let wrong = Credentials::new(&*client.id, "oas_cs_wrong").basic();
    let unknown = Credentials::new("nobody", &*client.secret).basic();
    let no_colon = format!("Basic {}", STANDARD.encode("nothing"));
    let not_utf8 = format!("Basic {}", STANDARD.encode(b"a\xff:b"));
    for (path, form) in ENDPOINTS {
        let mut bodies = Vec::new();
        for header in [
            &*wrong,
            &unknown,
            &no_colon,
            &not_utf8,
            "Basic !!!",
            "Basic ",
            "Bearer x",
            "x",
            "",
        ] {
            let answer = send(&server, path, form, &[header]).await;
            bodies.push(challenged(answer).await);
        }
        let (id, secret) = (&client.id, &client.secret);
        for more in [
            String::new(),
            format!("&client_id={id}"),
            format!("&client_id={id}&client_secret=wrong"),
            format!("&client_id=nobody&client_secret={secret}"),
            format!("&client_id={id}&client_assertion_type=x&client_assertion=y"),
        ] {
            let answer = send(&server, path, &format!("{form}{more}"), &[]).await;
            bodies.push(challenged(answer).await);
        }
        assert!(
            bodies.windows(2).all(|pair| pair[0] == pair[1]),
            "one answer for all: {bodies:?}"
        );
    }
}

async fn basic_credentials_are_form_encoded(kind: Kind) {
    let server = start(kind).await;
    let secret = "a secret: with %, + and = in it, long enough";
    let client = server
        .register(json!({"client_id": "a.client-1", "client_secret": secret}))
        .await;
    assert_eq!(client.secret, secret);
    let encoded = "a+secret%3A+with+%25%2C+%2B+and+%3D+in+it%2C+long+enough";
    let form = "grant_type=client_credentials";
    let header = format!("Basic {}", STANDARD.encode(format!("a.client%2D1:{encoded}")));
    assert_eq!(
        send(&server, "/oauth/token", form, &[&header]).await.status(),
        StatusCode::OK
    );
    let body = format!("{form}&client_id=a.client-1&client_secret={encoded}");
    assert_eq!(send(&server, "/oauth/token", &body, &[]).await.status(), StatusCode::OK);
    let raw = format!("Basic {}", STANDARD.encode(format!("a.client-1:{secret}")));
    let answer = send(&server, "/oauth/token", form, &[&raw]).await;
    refused(answer, StatusCode::UNAUTHORIZED, "invalid_client").await;
}

async fn a_disabled_client_is_refused_until_it_is_enabled(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let watcher = server.register(json!({"resource_server": [server.issuer()]})).await;
    let token = server.token(&client).await;
    assert!(server.is_active(&watcher, &token).await);
    let switch = async |verb: &str| {
        let path = format!("/clients/{}/{verb}", client.id);
        let answer = server.admin(Method::POST, &path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        json(answer).await["disabled"].as_bool().unwrap()
    };
    assert!(switch("disable").await);
    let answer = server.ask_token(&client, &[]).await;
    refused(answer, StatusCode::UNAUTHORIZED, "invalid_client").await;
    assert!(
        !server.is_active(&watcher, &token).await,
        "nor are the tokens it had active"
    );
    assert!(!switch("enable").await);
    assert_eq!(server.ask_token(&client, &[]).await.status(), StatusCode::OK);
    assert!(server.is_active(&watcher, &token).await);
}

async fn two_secrets_work_during_an_overlap(kind: Kind) {
    let server = start(kind).await;
    let old = server.register(json!({"scope": "read"})).await;
    let rotate = async |overlap: u32| {
        let path = format!("/clients/{}/rotate-secret", old.id);
        let request = server
            .admin(Method::POST, &path)
            .json(&json!({"overlap_seconds": overlap}));
        Credentials::of(&json(request.send().await.unwrap()).await)
    };
    let new = rotate(600).await;
    assert_ne!(new.secret, old.secret);
    for client in [&old, &new] {
        assert_eq!(server.ask_token(client, &[]).await.status(), StatusCode::OK);
    }
    let newest = rotate(0).await;
    for client in [&old, &new] {
        let answer = server.ask_token(client, &[]).await;
        refused(answer, StatusCode::UNAUTHORIZED, "invalid_client").await;
    }
    assert_eq!(server.ask_token(&newest, &[]).await.status(), StatusCode::OK);
}

async fn failures_are_counted(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let wrong = Credentials::new(&*client.id, "wrong");
    let count = async || {
        let name = "oauth2_server_auth_failures_total";
        server.metric(name, &[]).await.expect("exported at 0 from the start")
    };
    let before = count().await;
    for _ in 0..3 {
        server.ask_token(&wrong, &[]).await;
    }
    assert!((count().await - before - 3.0).abs() < f64::EPSILON);
    assert_eq!(server.ask_token(&client, &[]).await.status(), StatusCode::OK);
}
