//! The documents that tell clients and verifiers where and by which keys.

use oauth2_testkit::Kind;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::token::rejected;
use crate::{setup, shared, start};

on_both_stores!(
    metadata_matches_the_endpoints,
    openid_clients_find_the_metadata,
    keys_of_the_default_algorithm_are_listed_first,
    documents_support_conditional_requests,
    published_keys_contain_no_private_key,
    keys_are_unchanged_after_a_restart,
);

const DOCUMENTS: [&str; 3] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/jwks.json",
    "/.well-known/paseto-keys.json",
];

async fn metadata_matches_the_endpoints(kind: Kind) {
    let server = shared(kind).await;
    let metadata = server.get_json(server.url(DOCUMENTS[0])).await;
    assert_eq!(metadata["issuer"], server.issuer());
    assert_eq!(metadata["grant_types_supported"], json!(["client_credentials"]));
    assert_eq!(metadata["response_types_supported"], json!([]));
    let client = server.register(json!({"scope": "read"})).await;
    for (name, form) in [
        ("token_endpoint", vec![("grant_type", "client_credentials")]),
        ("introspection_endpoint", vec![("token", "x")]),
        ("revocation_endpoint", vec![("token", "x")]),
    ] {
        let url = metadata[name].as_str().unwrap();
        let methods = &metadata[format!("{name}_auth_methods_supported")];
        assert_eq!(*methods, json!(["client_secret_basic", "client_secret_post"]), "{name}");
        let basic = server
            .http
            .post(url)
            .header("authorization", client.basic())
            .form(&form);
        assert_eq!(basic.send().await.unwrap().status(), StatusCode::OK, "{name}");
        let mut form = form;
        form.extend([("client_id", &*client.id), ("client_secret", &*client.secret)]);
        assert_eq!(
            server.http.post(url).form(&form).send().await.unwrap().status(),
            StatusCode::OK,
            "{name}"
        );
    }
    for name in ["jwks_uri", "paseto_keys_uri"] {
        let url = metadata[name].as_str().unwrap().to_owned();
        assert!(
            !server.get_json(url).await["keys"].as_array().unwrap().is_empty(),
            "{name}"
        );
    }
}

/// For clients of `OpenID` Connect, which look nowhere else: the same facts, and the two members that they require.
async fn openid_clients_find_the_metadata(kind: Kind) {
    let server = shared(kind).await;
    let metadata = server.get_json(server.url(DOCUMENTS[0])).await;
    let response = server
        .http
        .get(server.url("/.well-known/openid-configuration"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let openid = oauth2_testkit::server::json(response).await;
    for (name, value) in metadata.as_object().unwrap() {
        assert_eq!(openid[name], *value, "{name}");
    }
    assert_eq!(openid["subject_types_supported"], json!(["public"]));
    let published = server.get_json(server.url("/.well-known/jwks.json")).await;
    let algorithms = openid["id_token_signing_alg_values_supported"].as_array().unwrap();
    for key in published["keys"].as_array().unwrap() {
        assert!(algorithms.contains(&key["alg"]), "{key}");
    }
    assert!(!algorithms.contains(&json!("HS256")));
}

/// Some verifiers stop at the first key that they cannot read, or cannot use for the algorithm of the token.
async fn keys_of_the_default_algorithm_are_listed_first(kind: Kind) {
    let server = start(kind).await;
    server
        .register(json!({"token_format": "jwt", "signing_alg": "RS256"}))
        .await;
    // The newest key is an OKP one.
    let rotated = server
        .admin(Method::POST, "/keys/rotate")
        .json(&json!({"algorithm": "EdDSA"}));
    assert_eq!(rotated.send().await.unwrap().status(), StatusCode::OK);
    let published = server.get_json(server.url("/.well-known/jwks.json")).await;
    let types: Vec<_> = published["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["kty"])
        .collect();
    assert_eq!(types, ["EC", "RSA", "OKP", "OKP"], "{published}");
}

async fn documents_support_conditional_requests(kind: Kind) {
    let server = start(kind).await;
    for path in DOCUMENTS {
        let first = server.http.get(server.url(path)).send().await.unwrap();
        assert_eq!(first.headers()["content-type"], "application/json");
        assert_eq!(first.headers()["cache-control"], "public, max-age=300");
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"other\", {tag}"),
            "*".to_owned(),
        ] {
            let again = server
                .http
                .get(server.url(path))
                .header("if-none-match", known)
                .send()
                .await
                .unwrap();
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
            assert_eq!(again.headers()["etag"], tag.as_str());
        }
        let other = server
            .http
            .get(server.url(path))
            .header("if-none-match", "\"other\"")
            .send()
            .await
            .unwrap();
        assert_eq!(other.status(), StatusCode::OK);
        let head = server.http.head(server.url(path)).send().await.unwrap();
        assert_eq!(
            (head.status(), head.headers()["etag"].to_str().unwrap()),
            (StatusCode::OK, tag.as_str())
        );
        let post = server.http.post(server.url(path)).send().await.unwrap();
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(post.headers()["allow"], "GET, HEAD");
    }
}

async fn published_keys_contain_no_private_key(kind: Kind) {
    let server = shared(kind).await;
    let jwks = server.get_json(server.url(DOCUMENTS[1])).await;
    let mut algorithms = Vec::new();
    for key in jwks["keys"].as_array().unwrap() {
        assert_eq!(key["use"], "sig");
        assert!(key["kid"].as_str().is_some_and(|kid| !kid.is_empty()));
        for private in ["d", "p", "q", "k"] {
            assert_eq!(key.get(private), None);
        }
        algorithms.push(key["alg"].as_str().unwrap().to_owned());
    }
    algorithms.sort();
    assert_eq!(algorithms, ["ES256", "EdDSA"]);
    let paseto = server.get_json(server.url(DOCUMENTS[2])).await;
    for key in paseto["keys"].as_array().unwrap() {
        let names: Vec<_> = key.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["kid", "paserk"]);
        assert!(key["kid"].as_str().unwrap().starts_with("k4.pid."));
        assert!(key["paserk"].as_str().unwrap().starts_with("k4.public."));
    }
}

async fn keys_are_unchanged_after_a_restart(kind: Kind) {
    let mut server = start(kind).await;
    let documents = async |server: &oauth2_testkit::Server| -> Vec<Value> {
        let mut found = Vec::new();
        for path in DOCUMENTS {
            found.push(server.get_json(server.url(path)).await);
        }
        found
    };
    let before = documents(&server).await;
    server.process.kill();
    server.start_again().await;
    assert_eq!(documents(&server).await, before);
}

#[tokio::test]
async fn configured_issuer_is_published() {
    let setup = setup(Kind::Sqlite)
        .await
        .with("OAUTH2_ISSUER", "https://id.example/tenant");
    let server = oauth2_testkit::DedicatedServer::start(setup).await;
    let metadata = server.get_json(server.url(DOCUMENTS[0])).await;
    assert_eq!(metadata["issuer"], "https://id.example/tenant");
    assert_eq!(metadata["token_endpoint"], "https://id.example/tenant/oauth/token");
    let client = server.register(json!({"scope": "read"})).await;
    let token = server.token(&client).await;
    let claims = server.introspect(&client, &token).await;
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&metadata["issuer"], &metadata["issuer"])
    );
}

/// RFC 8414 section 3.1: the issuer's path comes after the well-known one.
#[tokio::test]
async fn metadata_of_an_issuer_with_a_path_is_at_the_rfc_8414_location() {
    let setup = setup(Kind::Sqlite)
        .await
        .with("OAUTH2_ISSUER", "https://id.example/a%20b/tenant");
    let server = oauth2_testkit::DedicatedServer::start(setup).await;
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    let before = series(&server.metrics().await);
    let at = |tail: &str| server.url(&format!("{}{tail}", DOCUMENTS[0]));
    let metadata = server.get_json(at("")).await;
    assert_eq!(metadata["issuer"], "https://id.example/a%20b/tenant");
    for tail in ["/a%20b/tenant", "/a%20b/%74enant"] {
        assert_eq!(server.get_json(at(tail)).await, metadata);
    }
    let openid = server
        .get_json(server.url("/a%20b/tenant/.well-known/openid-configuration"))
        .await;
    assert_eq!(openid["jwks_uri"], metadata["jwks_uri"]);
    let elsewhere = server.http.get(server.url("/other/.well-known/openid-configuration"));
    rejected(elsewhere.send().await.unwrap(), StatusCode::NOT_FOUND, "not_found").await;
    let head = server.http.head(at("/a%20b/tenant")).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    let post = server.http.post(at("/a%20b/tenant")).send().await.unwrap();
    assert_eq!(post.headers()["allow"], "GET, HEAD");
    rejected(post, StatusCode::METHOD_NOT_ALLOWED, "invalid_request").await;
    for tail in [
        "/",
        "/a%20b",
        "/a%20b/tenant/",
        "/a%20b/tenants",
        "//a%20b/tenant",
        "/other",
    ] {
        for method in [Method::GET, Method::POST] {
            let response = server.http.request(method, at(tail)).send().await.unwrap();
            rejected(response, StatusCode::NOT_FOUND, "not_found").await;
        }
    }
    assert_eq!(series(&server.metrics().await), before);
    let counted = [("route", DOCUMENTS[0]), ("status", "2xx")];
    let counted = server.metric("oauth2_server_http_requests_total", &counted).await;
    assert_eq!(counted, Some(4.0), "one endpoint, wherever it is asked for");
}
