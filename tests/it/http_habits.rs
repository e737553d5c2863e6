//! How the listeners answer beyond the protocol: hosts, other origins, compression, spellings of paths, a path prefix.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use oauth2_testkit::{DedicatedServer, Kind, Server};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::token::rejected;
use crate::{setup, shared, unique};

/// Sends bytes and reads until the server closes.
fn raw(port: u16, bytes: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// A page of another origin cannot read the management listener through a name that it lets resolve to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn management_listener_answers_for_known_hosts_only() {
    let setup = setup(Kind::Sqlite)
        .await
        .with("OAUTH2_MANAGEMENT_HOSTS", "ops.example,*.svc.cluster.local");
    let server = DedicatedServer::start(setup).await;
    let port = server.setup.management;
    let status = async |path: &str, host: &str| {
        let request = server.http.get(server.management_url(path)).header("host", host);
        let response = request.bearer_auth(server.admin_token()).send().await.unwrap();
        response.status()
    };
    for path in ["/metrics", "/health", "/ready", "/openapi.json", "/admin/v1/clients"] {
        for host in [
            "localhost",
            &format!("localhost:{port}"),
            &format!("127.0.0.1:{port}"),
            "10.0.0.7:8081",
            "[::1]:8081",
            "ops.example",
            "oauth2.prod.svc.cluster.local:8081",
        ] {
            assert_eq!(status(path, host).await, StatusCode::OK, "{path} {host}");
        }
        for host in [
            "evil.example",
            &format!("evil.example:{port}"),
            "localhost.evil.example",
            "ops.example.evil",
        ] {
            let request = server.http.get(server.management_url(path)).header("host", host);
            let response = request.bearer_auth(server.admin_token()).send().await.unwrap();
            let error = rejected(response, StatusCode::MISDIRECTED_REQUEST, "invalid_request").await;
            assert!(
                error["error_description"]
                    .as_str()
                    .unwrap()
                    .contains("OAUTH2_MANAGEMENT_HOSTS")
            );
        }
    }
    let absolute = "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(raw(port, absolute).starts_with("HTTP/1.1 421 "));
    assert!(raw(port, "GET /health HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200 "));
    let counted = server
        .metric(
            "oauth2_server_reject_total",
            &[("endpoint", "ops"), ("reason", "unknown_host")],
        )
        .await;
    assert_eq!(counted, Some(17.0));
    // The public listener serves whatever name leads to it.
    let public = server.http.get(server.url("/health")).header("host", "auth.example");
    assert_eq!(public.send().await.unwrap().status(), StatusCode::OK);
}

fn preflight(server: &Server, url: String, origin: &str, method: &str) -> RequestBuilder {
    server
        .http
        .request(Method::OPTIONS, url)
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", "authorization,content-type")
}

fn allowed_origin(headers: &HeaderMap) -> Option<&str> {
    assert!(!headers.contains_key("access-control-allow-credentials"));
    let origin = headers.get("access-control-allow-origin");
    origin.map(|origin| origin.to_str().unwrap())
}

const PAGE: &str = "https://app.example";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configured_origins_may_request_tokens() {
    let setup = setup(Kind::Sqlite)
        .await
        .with("OAUTH2_SERVER_CORS_ORIGINS", format!("{PAGE}, http://localhost:3000"));
    let server = DedicatedServer::start(setup).await;
    let client = server.register(json!({"client_id": "spa"})).await;
    let token = |origin: &str, client: &oauth2_testkit::Credentials| {
        let request = server.http.post(server.url("/oauth/token")).header("origin", origin);
        let request = request.header("authorization", client.basic());
        request.form(&[("grant_type", "client_credentials")])
    };
    for origin in [PAGE, "http://localhost:3000"] {
        let response = preflight(&server, server.url("/oauth/token"), origin, "POST")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        let headers = response.headers();
        assert_eq!(allowed_origin(headers), Some(origin));
        assert_eq!(headers["access-control-allow-methods"], "POST");
        assert_eq!(
            headers["access-control-allow-headers"],
            "authorization, content-type, x-request-id"
        );
        assert_eq!(headers["vary"], "Origin");
        assert_eq!(response.text().await.unwrap(), "");
        let issued = token(origin, &client).send().await.unwrap();
        assert_eq!(issued.status(), StatusCode::OK);
        assert_eq!(allowed_origin(issued.headers()), Some(origin));
        assert_eq!(issued.headers()["vary"], "Origin");
        let failed = token(origin, &oauth2_testkit::Credentials::new("spa", "wrong"))
            .send()
            .await
            .unwrap();
        assert_eq!(failed.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(allowed_origin(failed.headers()), Some(origin), "a script reads why");
    }
    for origin in [
        "https://evil.example",
        "https://app.example.evil",
        "http://app.example",
        "null",
    ] {
        let response = preflight(&server, server.url("/oauth/token"), origin, "POST")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(allowed_origin(response.headers()), None);
        let issued = token(origin, &client).send().await.unwrap();
        assert_eq!(allowed_origin(issued.headers()), None);
        assert_eq!(issued.headers()["vary"], "Origin");
    }
    for url in [
        server.url("/oauth/introspect"),
        server.url("/oauth/revoke"),
        server.management_url("/admin/v1/clients"),
        server.management_url("/metrics"),
        server.management_url("/openapi.json"),
    ] {
        let response = preflight(&server, url.clone(), PAGE, "POST").send().await.unwrap();
        assert!(response.status().is_client_error(), "{url}");
        assert_eq!(allowed_origin(response.headers()), None, "{url}");
        let read = server.http.get(&url).header("origin", PAGE).send().await.unwrap();
        assert_eq!(allowed_origin(read.headers()), None, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_readable_by_scripts_of_any_origin() {
    let server = shared(Kind::Sqlite).await;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
        "/.well-known/paseto-keys.json",
    ] {
        let response = preflight(&server, server.url(path), PAGE, "GET").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{path}");
        assert_eq!(allowed_origin(response.headers()), Some("*"));
        assert_eq!(response.headers()["access-control-allow-methods"], "GET, HEAD");
        let read = server
            .http
            .get(server.url(path))
            .header("origin", PAGE)
            .send()
            .await
            .unwrap();
        assert_eq!(allowed_origin(read.headers()), Some("*"));
    }
    // Without configuration, no origin may request tokens.
    let response = preflight(&server, server.url("/oauth/token"), PAGE, "POST")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["allow"], "POST");
    rejected(response, StatusCode::METHOD_NOT_ALLOWED, "invalid_request").await;
    // Not a preflight request.
    let options = server
        .http
        .request(Method::OPTIONS, server.url("/.well-known/jwks.json"));
    let response = options.send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET, HEAD");
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

/// Requests `url` with gzip accepted, and decompresses the body by the system's gzip if it is compressed.
async fn read(server: &Server, url: &str) -> (bool, HeaderMap, Value) {
    let request = server.http.get(url).bearer_auth(server.admin_token());
    let response = request.header("accept-encoding", "gzip, deflate").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{url}");
    let headers = response.headers().clone();
    let compressed = headers
        .get("content-encoding")
        .is_some_and(|encoding| encoding == "gzip");
    let mut body = response.bytes().await.unwrap().to_vec();
    if compressed {
        let mut gzip = Command::new("gzip");
        let mut gzip = gzip
            .arg("-d")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Far smaller than a pipe's buffer.
        gzip.stdin.take().unwrap().write_all(&body).unwrap();
        body = gzip.wait_with_output().unwrap().stdout;
    }
    let text = String::from_utf8(body).unwrap();
    (
        compressed,
        headers,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_compressed_and_tokens_are_not() {
    let server = shared(Kind::Sqlite).await;
    let prefix = unique("list");
    for at in 0..10 {
        server
            .register(json!({"client_id": format!("{prefix}-{at}"), "client_name": "x".repeat(100)}))
            .await;
    }
    let id = format!("{prefix}-all");
    let client = server.register(json!({"client_id": id, "scope": "read"})).await;
    for path in ["/admin/v1/clients", "/admin/v1/audit", "/metrics", "/openapi.json"] {
        let (compressed, headers, body) = read(&server, &server.management_url(path)).await;
        assert!(compressed, "{path}");
        assert_eq!(headers["vary"], "Accept-Encoding", "{path}");
        assert!(
            body.is_object() || body.as_str().unwrap().contains("oauth2_server_"),
            "{path}"
        );
        let plain = server
            .http
            .get(server.management_url(path))
            .bearer_auth(server.admin_token());
        let plain = plain.send().await.unwrap();
        assert_eq!(plain.headers().get("content-encoding"), None);
        assert_eq!(plain.headers()["vary"], "Accept-Encoding", "{path}");
    }
    let url = server.url("/.well-known/oauth-authorization-server");
    let (_, headers, metadata) = read(&server, &url).await;
    assert_eq!(headers["vary"], "Accept-Encoding");
    assert_eq!(metadata["issuer"], server.issuer());
    let tag = headers["etag"].to_str().unwrap();
    let plain = server.http.get(&url).header("if-none-match", tag).send().await.unwrap();
    assert_eq!(plain.status(), StatusCode::NOT_MODIFIED, "the same document");
    let token = server
        .http
        .post(server.url("/oauth/token"))
        .header("authorization", client.basic())
        .header("accept-encoding", "gzip")
        .form(&[("grant_type", "client_credentials")]);
    let token = token.send().await.unwrap();
    assert_eq!(token.headers().get("content-encoding"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slash_at_the_end_is_named_in_the_error() {
    let server = shared(Kind::Sqlite).await;
    for (url, path) in [
        (server.url("/oauth/token/"), "/oauth/token"),
        (server.url("/.well-known/jwks.json/"), "/.well-known/jwks.json"),
        (server.management_url("/metrics/"), "/metrics"),
        (server.management_url("/admin/v1/clients/"), "/admin/v1/clients"),
    ] {
        for method in [Method::GET, Method::POST] {
            let request = server.http.request(method, &url).bearer_auth(server.admin_token());
            let error = rejected(request.send().await.unwrap(), StatusCode::NOT_FOUND, "not_found").await;
            let description = error["error_description"].as_str().unwrap().to_owned();
            assert!(description.ends_with(&format!(" it is {path}")), "{description}");
        }
    }
    for path in ["//oauth/token", "/oauth/token//", "/nothing/", "/"] {
        let response = server.http.get(server.url(path)).send().await.unwrap();
        let error = rejected(response, StatusCode::NOT_FOUND, "not_found").await;
        assert_eq!(error["error_description"], "there is nothing at this URL", "{path}");
    }
}

/// A proxy that passes paths on as they came, and one that removes the prefix, lead to the same endpoints.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_are_served_below_a_path_prefix() {
    let mut setup = setup(Kind::Sqlite).await;
    let origin = format!("http://127.0.0.1:{}", setup.public);
    setup.set("OAUTH2_ISSUER", format!("{origin}/tenant"));
    setup.set("OAUTH2_SERVER_PATH_PREFIX", "/tenant");
    let server = DedicatedServer::start(setup).await;
    let client = server.register(json!({"client_id": "ci", "scope": "read"})).await;
    let inserted = server
        .get_json(server.url("/.well-known/oauth-authorization-server/tenant"))
        .await;
    assert_eq!(inserted["issuer"], format!("{origin}/tenant"));
    for path in [
        "/tenant/.well-known/oauth-authorization-server",
        "/tenant/.well-known/openid-configuration",
        "/.well-known/openid-configuration/tenant",
        "/.well-known/openid-configuration",
    ] {
        let document = server.get_json(server.url(path)).await;
        for (name, value) in inserted.as_object().unwrap() {
            assert_eq!(document[name], *value, "{path} {name}");
        }
    }
    // The URLs of the metadata lead here without any proxy.
    let endpoint = |name: &str| inserted[name].as_str().unwrap().to_owned();
    assert_eq!(endpoint("token_endpoint"), format!("{origin}/tenant/oauth/token"));
    let request = server
        .http
        .post(endpoint("token_endpoint"))
        .header("authorization", client.basic());
    let response = request
        .form(&[("grant_type", "client_credentials")])
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    for name in ["jwks_uri", "paseto_keys_uri"] {
        assert!(
            !server.get_json(endpoint(name)).await["keys"]
                .as_array()
                .unwrap()
                .is_empty()
        );
    }
    server.token(&client).await;
    for path in ["/tenant/health", "/health", "/tenant/ready"] {
        assert_eq!(
            server.http.get(server.url(path)).send().await.unwrap().status(),
            StatusCode::OK,
            "{path}"
        );
    }
    for path in [
        "/tenant",
        "/tenant/",
        "/tenant/tenant/health",
        "/tenants/health",
        "/other/.well-known/openid-configuration",
    ] {
        let response = server.http.get(server.url(path)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let wrong = server.http.get(server.url("/tenant/oauth/token")).send().await.unwrap();
    assert_eq!(wrong.headers()["allow"], "POST");
    // Counted as the same endpoint.
    let counted = [("route", "/oauth/token"), ("status", "2xx")];
    assert_eq!(
        server.metric("oauth2_server_http_requests_total", &counted).await,
        Some(2.0)
    );
}

/// Without a prefix of its own, the endpoints are below the issuer, and the proxy removes the path of the issuer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_without_an_issuer_path_moves_the_endpoints_only() {
    let mut setup = setup(Kind::Sqlite).await;
    let origin = format!("http://127.0.0.1:{}", setup.public);
    setup.set("OAUTH2_SERVER_PATH_PREFIX", "/auth");
    let server = DedicatedServer::start(setup).await;
    let metadata = server
        .get_json(server.url("/.well-known/oauth-authorization-server"))
        .await;
    assert_eq!(metadata["issuer"], origin);
    assert_eq!(metadata["jwks_uri"], format!("{origin}/auth/.well-known/jwks.json"));
    server.get_json(metadata["jwks_uri"].as_str().unwrap().to_owned()).await;
}
