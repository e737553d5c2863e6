//! Where signing keys come from, and what they rest under.

use std::process::Command;
use std::time::Duration;

use oauth2_testkit::{Credentials, Kind, Output, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{kid_of, published, restart, until};
use crate::start;

on_both_stores!(
    imported_key_signs,
    imported_key_keeps_its_kid,
    unusable_key_is_rejected_with_its_reason,
    key_encryption_key_is_replaced_by_rewrap,
    key_that_cannot_be_unwrapped_does_not_affect_others,
);

/// A key of RFC 8037, appendix A.
const JWK: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

async fn imported_key_signs(store: Kind) {
    let server = start(store).await;
    let client = server
        .register(json!({"token_format": "jwt", "signing_alg": "EdDSA"}))
        .await;
    let before = kid_of(&server.token(&client).await);
    let taken = server
        .setup
        .run_with_input(&["key", "import", "-", "--alg", "EdDSA", "--published", "--json"], JWK);
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    let taken: Value = serde_json::from_str(&taken.stdout).unwrap();
    // The thumbprint that the RFC gives.
    let kid = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    assert_eq!(
        (&taken["items"][0]["kid"], &taken["items"][0]["state"]),
        (&json!(kid), &json!("signing"))
    );
    until("the server signs with it", async || {
        kid_of(&server.token(&client).await) == kid
    })
    .await;
    assert!(
        published(&server).await.contains(&before),
        "what it has signed can be verified on"
    );
    let again = server
        .setup
        .run_with_input(&["key", "import", "-", "--alg", "EdDSA"], JWK);
    assert!(again.code == 2 && again.stderr.contains("already"), "{}", again.stderr);
    // One that nobody knows yet is published first.
    let pem = Command::new("openssl")
        .args(["genpkey", "-algorithm", "ed25519"])
        .output()
        .unwrap()
        .stdout;
    let file = server.setup.directory().join("key.pem");
    std::fs::write(&file, pem).unwrap();
    let taken = server
        .setup
        .json(&["key", "import", file.to_str().unwrap(), "--alg", "v4.public", "--json"]);
    assert_eq!(taken["items"][0]["state"], "published");
}

async fn imported_key_keeps_its_kid(store: Kind) {
    let server = start(store).await;
    let client = server
        .register(json!({"token_format": "jwt", "signing_alg": "EdDSA"}))
        .await;
    let import = |arguments: &[&str], text: &str| {
        server
            .setup
            .run_with_input(&[&["key", "import", "-", "--json"], arguments].concat(), text)
    };
    let named = |kid: &str| JWK.replacen('{', &format!(r#"{{"kid":"{kid}","#), 1);
    let done = import(&["--alg", "EdDSA", "--published"], &named("2026.their-key_1"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    until("the server signs with it", async || {
        kid_of(&server.token(&client).await) == "2026.their-key_1"
    })
    .await;
    let token = server.token(&client).await;
    assert!(server.is_active(&client, &token).await);
    assert!(published(&server).await.contains(&"2026.their-key_1".to_owned()));
    let refused = import(&["--alg", "EdDSA"], &named("ä"));
    assert!(
        refused.code == 2 && refused.stderr.contains("kid"),
        "{}",
        refused.stderr
    );
    let rsa = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .unwrap();
    let rsa = String::from_utf8(rsa.stdout).unwrap();
    assert_eq!(import(&["--alg", "RS256"], &rsa).code, 0);
    let refused = import(&["--alg", "PS256"], &rsa);
    assert!(
        refused.code == 2 && refused.stderr.contains("one key cannot sign for two algorithms"),
        "{}",
        refused.stderr
    );

    // The key is the same under whatever name, also when it was revoked.
    let renamed = import(&["--alg", "EdDSA"], &named("another"));
    assert!(
        renamed.code == 2 && renamed.stderr.contains("2026.their-key_1"),
        "{}",
        renamed.stderr
    );
    assert_eq!(server.setup.run(&["key", "revoke", "2026.their-key_1"]).code, 0);
    for name in ["2026.their-key_1", "another"] {
        let again = import(&["--alg", "EdDSA"], &named(name));
        assert!(again.code == 2 && again.stderr.contains("revoked"), "{}", again.stderr);
    }
}

async fn unusable_key_is_rejected_with_its_reason(store: Kind) {
    let setup = crate::cli::migrated(store).await;
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).output().unwrap();
        String::from_utf8(made.stdout).unwrap()
    };
    let small = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    let curve = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    let off = JWK.replace("11qY", "11qZ");
    for (text, alg, word) in [
        (&*small, Some("RS256"), "2048"),
        (&*curve, None, "curve"),
        (JWK, None, "--alg"),
        (JWK, Some("ES256"), "ES256"),
        (&*off, Some("EdDSA"), "do not match"),
        ("no key", None, "PEM"),
        ("", None, "PEM"),
    ] {
        let mut arguments = vec!["key", "import", "-"];
        arguments.extend(alg.iter().flat_map(|alg| ["--alg", alg]));
        let output = setup.run_with_input(&arguments, text);
        assert_eq!(output.code, 2, "{}", output.stdout);
        assert!(
            output.stderr.contains("stdin") && output.stderr.contains(word),
            "{} lacks {word}",
            output.stderr
        );
        assert!(!output.stderr.contains("nWGx"), "nothing of the key is told");
    }
    let missing = setup.run(&["key", "import", "nowhere.pem"]);
    assert!(
        missing.code == 2 && missing.stderr.contains("nowhere.pem"),
        "{}",
        missing.stderr
    );
    let unknown = setup.run(&["key", "rotate", "--alg", "none"]);
    assert!(
        unknown.code == 2 && unknown.stderr.contains("PS256"),
        "{}",
        unknown.stderr
    );
}

const NEW: &str = "//////////////////////////////////////////8=";

fn key_encryption_key(server: &Server) -> String {
    match server.setup.variable("OAUTH2_KEY_ENCRYPTION_KEY") {
        Some(given) => given.to_owned(),
        None => std::fs::read_to_string(server.setup.directory().join("data/key_encryption_key"))
            .unwrap()
            .trim()
            .to_owned(),
    }
}

async fn key_encryption_key_is_replaced_by_rewrap(store: Kind) {
    let mut server = start(store).await;
    let client = server.register(json!({})).await;
    let token = server.token(&client).await;
    let old = key_encryption_key(&server);
    // The overlap: every node knows both, then the keys are wrapped with the new one, then the old one goes.
    server.setup.set("OAUTH2_KEY_ENCRYPTION_KEY", NEW);
    server.setup.set("OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS", &*old);
    restart(&mut server).await;
    let doctor = server.setup.run(&["doctor"]);
    assert!(doctor.stdout.contains("key rewrap"), "{}", doctor.stdout);
    assert!(server.is_active(&client, &token).await);
    assert_eq!(server.setup.json(&["key", "rewrap", "--json"])["rewrapped"], 3);
    assert_eq!(
        server.setup.json(&["key", "rewrap", "--json"])["rewrapped"],
        0,
        "again changes nothing"
    );
    assert!(server.setup.run(&["doctor"]).stdout.contains("not needed any more"));
    assert!(
        server.is_active(&client, &server.token(&client).await).await,
        "the server goes on meanwhile"
    );
    server.setup.unset("OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS");
    restart(&mut server).await;
    assert!(server.is_active(&client, &server.token(&client).await).await);
    server.setup.set("OAUTH2_KEY_ENCRYPTION_KEY", &*old);
    let refused = server.setup.run(&["key", "rotate"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("OAUTH2_KEY_ENCRYPTION_KEY"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        server.setup.run(&["doctor"]).code,
        1,
        "the old key opens nothing any more"
    );
}

async fn key_that_cannot_be_unwrapped_does_not_affect_others(store: Kind) {
    let server = start(store).await;
    let client = server
        .register(json!({"token_format": "jwt", "signing_alg": "EdDSA"}))
        .await;
    let before = published(&server).await;
    let old = key_encryption_key(&server);
    // As another node does that has been given the new one already.
    let ahead = |current: &str, previous: &str, arguments: &[&str]| {
        let mut command = server.setup.command(arguments);
        command.env("OAUTH2_KEY_ENCRYPTION_KEY", current);
        let done = Output::of(command.env("OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS", previous));
        assert_eq!(done.code, 0, "{arguments:?}: {}", done.stderr);
        serde_json::from_str::<Value>(&done.stdout).unwrap()
    };
    let rotated = ahead(NEW, &old, &["key", "rotate", "--json"]);
    let rsa = [
        "client",
        "create",
        "--format",
        "jwt",
        "--signing-alg",
        "RS256",
        "--json",
    ];
    let rsa = Credentials::of(&ahead(NEW, &old, &rsa));
    until("public halves are published all the same", async || {
        published(&server).await.len() == before.len() + 3
    })
    .await;
    until("clients are followed", async || {
        // Nobody else could sign it here.
        server.request_token(&rsa, &[]).await.status() == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    // Longer than answers may be given without news of the store.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let token = server.token(&client).await;
    assert!(before.contains(&kid_of(&token)) && server.is_active(&client, &token).await);
    let ready = server.http.get(server.url("/ready")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    let log = server.process.stderr();
    let told = log
        .lines()
        .filter(|line| line.contains("ERROR") && line.contains("cannot be unwrapped"));
    assert_eq!(told.count(), 4, "each is told of once: {log}");
    let doctor = server.setup.run(&["doctor"]);
    assert!(
        doctor.code == 1 && doctor.stdout.contains("4 of 7 signing keys"),
        "{}",
        doctor.stdout
    );
    assert_eq!(server.setup.run(&["key", "rotate"]).code, 2);
    // A running node's own key encryption key is known to be right, and an operator may need to revoke just such a key.
    let kid = rotated["items"][0]["kid"].as_str().unwrap();
    let revoked = server.admin(Method::POST, &format!("/keys/{kid}/revoke"));
    assert_eq!(revoked.json(&json!({})).send().await.unwrap().status(), StatusCode::OK);
    // Sealed under what this node knows, they are of use at once.
    assert_eq!(ahead(&old, NEW, &["key", "rewrap", "--json"])["rewrapped"], 3);
    until("it signs for the new client", async || {
        server.request_token(&rsa, &[]).await.status() == StatusCode::OK
    })
    .await;
}
