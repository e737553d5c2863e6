//! Client authentication (RFC 6749 section 2.3.1), at every endpoint that asks for it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oauth2_testkit::server::json;
use oauth2_testkit::{Credentials, Kind, Server};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::token::rejected;
use crate::{shared, start};

on_both_stores!(
    both_methods_authenticate,
    multiple_auth_methods_are_rejected,
    auth_failures_are_indistinguishable,
    basic_credentials_are_form_encoded,
    basic_credentials_without_encoding_are_accepted,
    disabled_client_is_rejected_until_enabled,
    both_secrets_are_valid_during_an_overlap,
    auth_failures_are_counted,
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
async fn challenged(response: Response) -> Value {
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert_eq!(challenge, r#"Basic realm="oauth2", charset="UTF-8""#);
    rejected(response, StatusCode::UNAUTHORIZED, "invalid_client").await
}

async fn both_methods_authenticate(kind: Kind) {
    let server = shared(kind).await;
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

async fn multiple_auth_methods_are_rejected(kind: Kind) {
    let server = shared(kind).await;
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
            let response = send(&server, path, &body, &headers).await;
            rejected(response, StatusCode::BAD_REQUEST, "invalid_request").await;
        }
    }
}

async fn auth_failures_are_indistinguishable(kind: Kind) {
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
            let response = send(&server, path, form, &[header]).await;
            bodies.push(challenged(response).await);
        }
        let (id, secret) = (&client.id, &client.secret);
        for more in [
            String::new(),
            format!("&client_id={id}"),
            format!("&client_id={id}&client_secret=wrong"),
            format!("&client_id=nobody&client_secret={secret}"),
            format!("&client_id={id}&client_assertion_type=x&client_assertion=y"),
        ] {
            let response = send(&server, path, &format!("{form}{more}"), &[]).await;
            bodies.push(challenged(response).await);
        }
        assert!(
            bodies.windows(2).all(|pair| pair[0] == pair[1]),
            "one response for all: {bodies:?}"
        );
    }
}

async fn basic_credentials_are_form_encoded(kind: Kind) {
    let server = shared(kind).await;
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
    let response = send(&server, "/oauth/token", form, &[&raw]).await;
    assert_eq!(response.status(), StatusCode::OK);
}

/// `curl -u` and many libraries send id and secret as they are (RFC 7617).
async fn basic_credentials_without_encoding_are_accepted(kind: Kind) {
    let server = shared(kind).await;
    let secret = "not+encoded%2B100%:and/with=colons";
    for id in ["raw:team:ci", "raw-ci"] {
        server
            .register(json!({"client_id": id, "client_secret": secret.replace(':', "_")}))
            .await;
        let raw = format!(
            "Basic {}",
            STANDARD.encode(format!("{id}:{}", secret.replace(':', "_")))
        );
        let form = "grant_type=client_credentials";
        assert_eq!(
            send(&server, "/oauth/token", form, &[&raw]).await.status(),
            StatusCode::OK,
            "{id}"
        );
        let with_id = format!("{form}&client_id={id}");
        assert_eq!(
            send(&server, "/oauth/token", &with_id, &[&raw]).await.status(),
            StatusCode::OK,
            "{id}"
        );
        let wrong = format!(
            "Basic {}",
            STANDARD.encode(format!("{id}:{}x", secret.replace(':', "_")))
        );
        challenged(send(&server, "/oauth/token", form, &[&wrong]).await).await;
    }
    server
        .register(json!({"client_id": "raw-colons", "client_secret": secret}))
        .await;
    let raw = format!("Basic {}", STANDARD.encode(format!("raw-colons:{secret}")));
    let response = send(&server, "/oauth/token", "grant_type=client_credentials", &[&raw]).await;
    assert_eq!(response.status(), StatusCode::OK);
}

async fn disabled_client_is_rejected_until_enabled(kind: Kind) {
    let server = shared(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let watcher = server
        .register(json!({"introspection_audiences": [server.issuer()]}))
        .await;
    let token = server.token(&client).await;
    assert!(server.is_active(&watcher, &token).await);
    let switch = async |verb: &str| {
        let path = format!("/clients/{}/{verb}", client.id);
        let response = server.admin(Method::POST, &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        json(response).await["disabled"].as_bool().unwrap()
    };
    assert!(switch("disable").await);
    let response = server.request_token(&client, &[]).await;
    rejected(response, StatusCode::UNAUTHORIZED, "invalid_client").await;
    assert!(
        !server.is_active(&watcher, &token).await,
        "nor are the tokens it had active"
    );
    assert!(!switch("enable").await);
    assert_eq!(server.request_token(&client, &[]).await.status(), StatusCode::OK);
    assert!(server.is_active(&watcher, &token).await);
}

async fn both_secrets_are_valid_during_an_overlap(kind: Kind) {
    let server = shared(kind).await;
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
        assert_eq!(server.request_token(client, &[]).await.status(), StatusCode::OK);
    }
    let newest = rotate(0).await;
    for client in [&old, &new] {
        let response = server.request_token(client, &[]).await;
        rejected(response, StatusCode::UNAUTHORIZED, "invalid_client").await;
    }
    assert_eq!(server.request_token(&newest, &[]).await.status(), StatusCode::OK);
}

async fn auth_failures_are_counted(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"scope": "read"})).await;
    let wrong = Credentials::new(&*client.id, "wrong");
    let count = async || {
        let name = "oauth2_server_auth_failures_total";
        server.metric(name, &[]).await.expect("exported at 0 from the start")
    };
    let before = count().await;
    for _ in 0..3 {
        server.request_token(&wrong, &[]).await;
    }
    assert!((count().await - before - 3.0).abs() < f64::EPSILON);
    assert_eq!(server.request_token(&client, &[]).await.status(), StatusCode::OK);
}
