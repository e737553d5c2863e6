//! No secret is in any log, metric, response or table: uses known secrets, then searches for them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oauth2_testkit::{Credentials, DedicatedServer, Kind, Postgres, Server};
use reqwest::Method;
use serde_json::json;

use crate::setup;

on_both_stores!(secrets_do_not_leak);

async fn secrets_do_not_leak(kind: Kind) {
    let mut server = DedicatedServer::start(setup(kind).await.with("OAUTH2_LOG_LEVEL", "trace")).await;
    let mut secrets = vec!["canary-in-a-wrong-secret-0123456789abcdef".to_owned()];
    let mut seen = String::new();
    for format in ["paseto", "jwt", "opaque"] {
        let client = server.register(json!({"scope": "read", "token_format": format})).await;
        let token = server.token(&client).await;
        server.introspect(&client, &token).await;
        let forged = format!("{}A", &token[..token.len() - 1]);
        let wrong = Credentials::new(&*client.id, &*secrets[0]);
        let posted = [
            ("grant_type", "client_credentials"),
            ("client_id", &*client.id),
            ("client_secret", &*client.secret),
        ];
        let posted = server.http.post(server.url("/oauth/token")).form(&posted).send().await;
        assert_eq!(posted.unwrap().status(), reqwest::StatusCode::OK);
        for response in [
            server.request_token(&wrong, &[]).await,
            server.request_token(&client, &[("scope", &*token)]).await,
            server.request_token(&client, &[("resource", &*token)]).await,
            server.post(&client, "/oauth/introspect", &[("token", &forged)]).await,
            server.post(&client, "/oauth/revoke", &[("token", &forged)]).await,
            server
                .post(&client, "/oauth/token", &[("grant_type", &*client.secret)])
                .await,
            server
                .http
                .get(server.url(&format!("/{token}?{token}")))
                .send()
                .await
                .unwrap(),
            server
                .admin(Method::GET, &format!("/tokens/{token}"))
                .send()
                .await
                .unwrap(),
            server
                .admin(Method::POST, "/clients")
                .body(token.clone())
                .send()
                .await
                .unwrap(),
            server
                .http
                .get(server.management_url("/admin/v1/keys"))
                .bearer_auth(&token)
                .send()
                .await
                .unwrap(),
        ] {
            let headers = format!("{:?}", response.headers());
            seen.extend([headers, response.text().await.unwrap()]);
        }
        server.revoke(&client, &token).await;
        secrets.push(STANDARD.encode(format!("{}:{}", client.id, client.secret)));
        secrets.push(client.secret);
        secrets.push(token);
    }
    secrets.extend(operators_secrets(&server));
    let (stored, metrics) = (stored(&server), server.metrics().await);
    let dropped = server.metric("oauth2_server_log_lines_dropped_total", &[]).await;
    assert_eq!(dropped, Some(0.0), "the log is complete");
    let log = server.process.complete_log().await;
    for (source, text) in [
        ("the responses", seen.as_bytes()),
        ("the log", log.as_bytes()),
        ("the metrics", metrics.as_bytes()),
        ("the store", &stored),
    ] {
        assert!(text.len() > 1000, "{source}: too short, nothing would be found");
        for secret in &secrets {
            let found = text.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{source} contain a secret that begins with {}", &secret[..8]);
        }
    }
}

fn operators_secrets(server: &Server) -> Vec<String> {
    let printed = server.setup.run(&["config", "print"]).stdout;
    let from_files = ["admin_token", "key_encryption_key", "demo_client_secret"]
        .iter()
        .filter_map(|name| std::fs::read_to_string(server.setup.directory().join("data").join(name)).ok())
        .map(|secret| secret.trim().to_owned());
    let from_environment = ["OAUTH2_ADMIN_TOKEN", "OAUTH2_KEY_ENCRYPTION_KEY"]
        .iter()
        .filter_map(|name| server.setup.variable(name).map(str::to_owned));
    let secrets: Vec<_> = from_files.chain(from_environment).collect();
    assert!(secrets.len() >= 2);
    assert!(
        secrets.iter().all(|secret| !printed.contains(secret)),
        "config print redacts secrets"
    );
    secrets
}

/// The content of the store: a dump of Postgres, or the files of `SQLite`.
fn stored(server: &Server) -> Vec<u8> {
    if let Some(url) = server.setup.database_url() {
        return Postgres::shared().dump(url).into_bytes();
    }
    let file = server.setup.database_file();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend(std::fs::read(file.with_extension("db-wal")).unwrap_or_default());
    bytes
}
