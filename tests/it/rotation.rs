//! Secrets of the server are replaced without a gap: two values are accepted while nodes are restarted in turn.

use oauth2_testkit::{DedicatedServer, Kind};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::cli::rejected;
use super::setup;

on_both_stores!(
    two_admin_tokens_are_accepted_while_one_is_replaced,
    tokens_of_the_previous_shared_secret_stay_active,
    previous_secrets_differ_from_the_current_ones,
);

const OLD: &str = "the-old-secret-of-thirty-two-characters";
const NEW: &str = "the-new-secret-of-thirty-two-characters";

async fn status(server: &DedicatedServer, token: &str) -> StatusCode {
    let url = server.management_url("/admin/v1/clients");
    let request = server.http.request(Method::GET, url).bearer_auth(token);
    request.send().await.unwrap().status()
}

async fn two_admin_tokens_are_accepted_while_one_is_replaced(kind: Kind) {
    let both = setup(kind)
        .await
        .with("OAUTH2_ADMIN_TOKEN", NEW)
        .with("OAUTH2_ADMIN_TOKEN_PREVIOUS", OLD);
    let mut server = DedicatedServer::start(both).await;
    assert_eq!(status(&server, OLD).await, StatusCode::OK);
    assert_eq!(status(&server, NEW).await, StatusCode::OK);
    // The log says which of them was used.
    for token in [OLD, NEW] {
        let url = server.management_url("/admin/v1/clients");
        let request = server.http.request(Method::POST, url).bearer_auth(token);
        assert!(request.json(&json!({})).send().await.unwrap().status().is_success());
    }
    let rows = server.setup.audit(&["--actor", "admin"]).await;
    let credentials: std::collections::HashSet<_> = rows["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["detail"]["credential"].to_string())
        .collect();
    assert_eq!(credentials.len(), 2, "{rows}");
    server.process.complete_log().await;
    server.setup.unset("OAUTH2_ADMIN_TOKEN_PREVIOUS");
    let server = DedicatedServer::start(server.setup.clone()).await;
    assert_eq!(status(&server, OLD).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&server, NEW).await, StatusCode::OK);
}

async fn tokens_of_the_previous_shared_secret_stay_active(kind: Kind) {
    let mut server = DedicatedServer::start(setup(kind).await.with("OAUTH2_JWT_SECRET", OLD)).await;
    let client = json!({"client_id": "ci", "scope": "read", "token_format": "jwt", "signing_alg": "HS256"});
    let client = server.register(client).await;
    let old = server.token(&client).await;
    server.process.complete_log().await;
    let restarted = |previous: Option<&str>| {
        let mut setup = server.setup.clone().with("OAUTH2_JWT_SECRET", NEW);
        if let Some(previous) = previous {
            setup.set("OAUTH2_JWT_SECRET_PREVIOUS", previous);
        }
        DedicatedServer::start(setup)
    };
    let mut both = restarted(Some(OLD)).await;
    assert!(both.is_active(&client, &old).await);
    let new = both.token(&client).await;
    assert!(both.is_active(&client, &new).await);
    for token in [&old, &new] {
        let inspected = both.setup.run(&["token", "inspect", token]);
        assert_eq!(inspected.code, 0, "{}", inspected.stderr);
    }
    both.process.complete_log().await;
    let replaced = restarted(None).await;
    assert!(replaced.is_active(&client, &new).await, "the new secret signs");
    assert!(!replaced.is_active(&client, &old).await);
}

async fn previous_secrets_differ_from_the_current_ones(kind: Kind) {
    for key in ["OAUTH2_ADMIN_TOKEN", "OAUTH2_JWT_SECRET"] {
        let previous = format!("{key}_PREVIOUS");
        let same = setup(kind).await.with(key, NEW).with(&previous, NEW);
        rejected(
            &same.run(&["config", "check"]),
            2,
            &[&previous, "must differ from", key],
        );
        let short = setup(kind).await.with(&previous, "short");
        rejected(&short.run(&["config", "check"]), 2, &[&previous, "at least 32"]);
    }
}
