//! What is refused leaves everything as it was.

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{DedicatedServer, Kind, Output, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{brisk, published, restart, until};
use crate::cli::rejected;
use crate::{setup, start};

on_both_stores!(
    wrong_key_encryption_key_writes_nothing,
    key_limit_is_reported_and_affects_nothing_else,
    revoked_key_cannot_be_imported_again,
    rejected_client_creates_no_key,
    failed_start_creates_no_secret,
);

/// Standard base64 of 32 bytes, under which nothing is sealed.
const WRONG: &str = "//////////////////////////////////////////8=";

const JWK: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn kids(server: &Server) -> Vec<String> {
    let keys = server.setup.json(&["key", "list", "--json"]);
    let of = |key: &Value| {
        format!(
            "{} {}",
            key["algorithm"].as_str().unwrap(),
            key["kid"].as_str().unwrap()
        )
    };
    keys["items"].as_array().unwrap().iter().map(of).collect()
}

async fn wrong_key_encryption_key_writes_nothing(store: Kind) {
    let server = start(store).await;
    let client = server.register(json!({"client_id": "ci", "token_format": "jwt"})).await;
    let before = kids(&server);
    let (_, kid) = before[0].split_once(' ').unwrap();
    let wrong = |arguments: &[&str], input: &str| {
        let mut command = server.setup.command(arguments);
        Output::with_input(command.env("OAUTH2_KEY_ENCRYPTION_KEY", WRONG), input)
    };
    let rsa = ["--format", "jwt", "--signing-alg", "RS256"];
    let line = r#"{"client_id":"bulk","client_secret":"0123456789abcdef0123456789abcdef","token_format":"jwt","signing_alg":"PS256"}"#;
    for (arguments, input) in [
        (vec!["key", "revoke", kid], ""),
        (vec!["key", "rotate"], ""),
        (vec!["key", "import", "-", "--alg", "EdDSA"], JWK),
        (vec!["key", "rewrap"], ""),
        ([&["client", "create", "--id", "new"], &rsa[..]].concat(), ""),
        ([&["client", "update", "ci"], &rsa[..]].concat(), ""),
        (vec!["client", "import", "-", "--format", "jsonl"], line),
    ] {
        let refused = wrong(&arguments, input);
        assert!(
            refused.code == 2 && refused.stderr.contains("OAUTH2_KEY_ENCRYPTION_KEY"),
            "{arguments:?}: {} {}",
            refused.code,
            refused.stderr
        );
        assert_eq!(kids(&server), before, "{arguments:?}");
    }
    for name in ["new", "bulk"] {
        assert_eq!(server.setup.run(&["client", "show", name]).code, 2, "{name}");
    }
    assert!(server.is_active(&client, &server.token(&client).await).await);
}

async fn key_limit_is_reported_and_affects_nothing_else(store: Kind) {
    let mut server = DedicatedServer::start(brisk(setup(store).await)).await;
    let rotate = async |body: Value| {
        let response = server.admin(Method::POST, "/keys/rotate").json(&body).send().await;
        response.unwrap().status()
    };
    let mut status = StatusCode::OK;
    while status == StatusCode::OK {
        status = rotate(json!({"algorithm": "ES256"})).await;
    }
    assert_eq!(status, StatusCode::CONFLICT);
    let count = |server: &Server, algorithm: &str| kids(server).iter().filter(|key| key.starts_with(algorithm)).count();
    let before = (count(&server, "v4.public"), count(&server, "EdDSA"));
    assert_eq!(rotate(json!({})).await, StatusCode::CONFLICT);
    let refused = server.setup.run(&["key", "rotate"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("64 keys for ES256"),
        "{} {}",
        refused.code,
        refused.stderr
    );
    assert_eq!(
        (count(&server, "v4.public"), count(&server, "EdDSA")),
        before,
        "all of them or none"
    );
    // Keys are to follow by age now, for which there is no room until old ones go.
    server.setup.set("OAUTH2_KEYS_ROTATION_DAYS", "0.000025");
    restart(&mut server).await;
    until("old keys are removed", async || count(&server, "ES256") < 32).await;
    let log = server.process.complete_log().await;
    let told = log.lines().filter(|line| line.contains("64 keys for ES256"));
    assert!(told.filter(|line| line.contains("WARN")).count() == 1, "{log}");
}

async fn revoked_key_cannot_be_imported_again(store: Kind) {
    let server = start(store).await;
    let import = || {
        server
            .setup
            .run_with_input(&["key", "import", "-", "--alg", "EdDSA", "--json"], JWK)
    };
    let taken: Value = serde_json::from_str(&import().stdout).unwrap();
    let kid = taken["items"][0]["kid"].as_str().unwrap();
    assert_eq!(server.setup.run(&["key", "revoke", kid]).code, 0);
    rejected(&import(), 2, &["revoked", kid]);
}

async fn rejected_client_creates_no_key(store: Kind) {
    let server = start(store).await;
    server.register(json!({"client_id": "ci"})).await;
    let before = published(&server).await;
    let again = json!({"client_id": "ci", "token_format": "jwt", "signing_alg": "PS256"});
    let response = server
        .admin(Method::POST, "/clients")
        .json(&again)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::CONFLICT);
    let why = body_of(response).await["error_description"]
        .as_str()
        .unwrap()
        .to_owned();
    let refused = server.setup.run(&[
        "client",
        "create",
        "--id",
        "ci",
        "--format",
        "jwt",
        "--signing-alg",
        "PS256",
    ]);
    assert!(refused.code == 2 && refused.stderr.contains(&why), "{}", refused.stderr);
    assert_eq!(kids(&server).len(), 3);
    assert_eq!(published(&server).await, before);
}

async fn failed_start_creates_no_secret(store: Kind) {
    // On Postgres it has to be given.
    if store == Kind::Postgres {
        return;
    }
    let mut server = DedicatedServer::start(setup(store).await.with("OAUTH2_KEY_ENCRYPTION_KEY", WRONG)).await;
    server.process.kill();
    server.setup.unset("OAUTH2_KEY_ENCRYPTION_KEY");
    let refused = server.setup.run(&[]);
    assert!(
        refused.code == 2 && refused.stderr.contains("OAUTH2_KEY_ENCRYPTION_KEY"),
        "{} {}",
        refused.code,
        refused.stderr
    );
    assert!(!server.setup.directory().join("data/key_encryption_key").exists());
    server.setup.set("OAUTH2_KEY_ENCRYPTION_KEY", WRONG);
    server.start_again().await;
}
