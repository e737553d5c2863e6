//! Weak secrets in clear of exports: their clients keep them.

use oauth2_testkit::{DedicatedServer, Kind, Setup};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{exported_client, replaced, slow, status};
use crate::setup;

on_both_stores!(weak_secrets_of_exports_work_and_are_named);

/// 16 random characters.
const RANDOM: &str = "k3yK3yQw8Zr1Tn5v";

fn import(setup: &Setup, product: &str, export: &str) -> Value {
    let file = setup.directory().join("export");
    std::fs::write(&file, export).unwrap();
    let command = ["client", "import", "--from", product, file.to_str().unwrap(), "--json"];
    let output = setup.run(&command);
    assert_eq!(output.code, 0, "{product}: {}", output.stderr);
    assert!(!output.stdout.contains(RANDOM), "{}", output.stdout);
    serde_json::from_str(&output.stdout).unwrap()
}

async fn weak_secrets_of_exports_work_and_are_named(kind: Kind) {
    let server = DedicatedServer::start(setup(kind).await).await;
    let realm = json!({"clients": [
        {"clientId": "keycloak", "secret": RANDOM, "serviceAccountsEnabled": true,
            "attributes": {"client.secret.rotated": "hunter22", "client.secret.rotated.expiration.time": "4000000000"}},
        {"clientId": "strong", "secret": "Xy7Xy8Xy9Xy7Xy7Xy7Xy7X", "serviceAccountsEnabled": true},
    ]});
    let spring = format!(
        "client_id,client_secret,client_authentication_methods,authorization_grant_types\n\
         spring,{{noop}}{RANDOM},client_secret_basic,client_credentials\n"
    );
    let uaa = format!(
        "client_id,client_secret,authorized_grant_types\nuaa,{{noop}}hunter22 {{noop}}{RANDOM},client_credentials\n"
    );
    for (product, export, count) in [
        ("keycloak", &realm.to_string(), 2),
        ("spring", &spring, 1),
        ("uaa", &uaa, 1),
    ] {
        let result = import(&server.setup, product, export);
        assert_eq!(result["created"], count, "{result}");
        let reported = result["translation"]["fields"].to_string();
        assert!(reported.contains("client list --slow-secrets names"), "{reported}");
        let again = import(&server.setup, product, export);
        assert_eq!(again["unchanged"], count, "the same export changes nothing: {again}");
    }
    for (id, secret) in [
        ("keycloak", RANDOM),
        ("keycloak", "hunter22"),
        ("spring", RANDOM),
        ("uaa", RANDOM),
        ("uaa", "hunter22"),
        ("strong", "Xy7Xy8Xy9Xy7Xy7Xy7Xy7X"),
    ] {
        super::until(super::PATIENCE, "the client is known", async || {
            status(&server, id, secret).await == StatusCode::OK
        })
        .await;
        let wrong = secret.to_ascii_uppercase();
        assert_eq!(status(&server, id, &wrong).await, StatusCode::UNAUTHORIZED, "{id}");
    }
    assert_eq!(slow(&server).await, ["keycloak", "spring", "uaa"]);
    assert_eq!(replaced(&server).await, 0);
    let hash = exported_client(&server.setup, "spring")["client_secret_hash"].clone();
    assert!(
        hash.as_str().unwrap().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{hash}"
    );
    assert_eq!(
        status(&server, "spring", hash.as_str().unwrap()).await,
        StatusCode::UNAUTHORIZED
    );
}
