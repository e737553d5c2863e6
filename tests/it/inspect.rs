//! `token inspect`: what it says of a token, and what it never calls good.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2_testkit::{DedicatedServer, Kind, Output, Server, ports};
use serde_json::{Value, json};

use crate::cli::rejected;
use crate::{setup, start};

on_both_stores!(
    token_is_inspected_with_and_without_a_store,
    opaque_token_is_verified_by_its_record,
    reason_for_an_inactive_stateless_token_is_reported,
    unavailable_store_is_an_error,
);

fn inspect(server: &Server, arguments: &[&str], token: &str) -> Output {
    server
        .setup
        .run_with_input(&[&["token", "inspect", "-"], arguments].concat(), token)
}

/// What stands on a line of the response.
fn field(output: &Output, name: &str) -> Option<String> {
    let found = output.stdout.lines().find_map(|line| line.strip_prefix(name));
    found
        .filter(|rest| rest.starts_with(' '))
        .map(|rest| rest.trim().to_owned())
}

fn fails(output: &Output, word: &str) {
    assert!(
        output.code == 2 && output.stderr.contains(word),
        "{} {}{}",
        output.code,
        output.stderr,
        output.stdout
    );
}

/// The token with one character of its signature changed.
fn altered(token: &str) -> String {
    // A PASETO's footer comes last.
    let end = if token.starts_with("v4.") {
        token.rfind('.').unwrap()
    } else {
        token.len()
    };
    let at = end - 9;
    let other = if &token[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

async fn token_is_inspected_with_and_without_a_store(kind: Kind) {
    let server = start(kind).await;
    let documents = [
        ("/.well-known/jwks.json", "jwks.json"),
        ("/.well-known/paseto-keys.json", "paseto.json"),
    ];
    for (path, name) in documents {
        let keys = server.get_json(server.url(path)).await;
        std::fs::write(server.setup.directory().join(name), keys.to_string()).unwrap();
    }
    let by_file = ["--keys", "jwks.json", "--keys", "paseto.json"];
    for format in ["paseto", "jwt"] {
        let client = server
            .register(json!({"scope": "read", "token_format": format, "claims": {"tenant": "acme"}}))
            .await;
        let token = server.token(&client).await;
        for arguments in [&[][..], &by_file] {
            let output = inspect(&server, arguments, &token);
            assert_eq!(output.code, 0, "{}", output.stderr);
            assert!(
                output.stdout.starts_with("signature "),
                "the verdict first: {}",
                output.stdout
            );
            assert_eq!(field(&output, "signature").as_deref(), Some("valid"));
            assert_eq!(field(&output, "claim.tenant").as_deref(), Some("acme"));
            assert_eq!(field(&output, "claim.client_id").as_deref(), Some(&*client.id));
            assert!(
                field(&output, "claim.exp").unwrap().contains("(in "),
                "{}",
                output.stdout
            );
            assert!(!output.stdout.contains(&token));
        }
        assert_eq!(
            field(&inspect(&server, &[], &token), "record").as_deref(),
            Some("active")
        );
        let response: Value = serde_json::from_str(&inspect(&server, &["--json"], &token).stdout).unwrap();
        assert_eq!(
            (&response["signature"], &response["record"], &response["format"]),
            (&json!("valid"), &json!("active"), &json!(format))
        );
        for arguments in [&[][..], &by_file] {
            let output = inspect(&server, arguments, &altered(&token));
            fails(&output, "signature is invalid");
            assert_eq!(field(&output, "signature").as_deref(), Some("invalid"));
        }
        server.revoke(&client, &token).await;
        fails(&inspect(&server, &[], &token), "revoked");
        assert_eq!(inspect(&server, &by_file, &token).code, 0, "keys alone do not know");
        // Somewhere without a store.
        let nowhere = tempfile::tempdir().unwrap();
        let mut alone = server.setup.command(&["token", "inspect", &token]);
        let alone = alone
            .current_dir(nowhere.path())
            .env_remove("OAUTH2_DATABASE_URL")
            .output()
            .unwrap();
        let (told, why) = (
            String::from_utf8_lossy(&alone.stdout),
            String::from_utf8_lossy(&alone.stderr),
        );
        assert!(told.contains("not verified") && told.contains("acme"), "{told}");
        assert!(alone.status.code() == Some(2) && why.contains("--keys"), "{alone:?}");
        assert!(!nowhere.path().join("data").exists(), "a look makes nothing");
    }
    let brief = server.register(json!({"access_token_lifetime": 1})).await;
    let token = server.token(&brief).await;
    while server.is_active(&brief, &token).await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let output = inspect(&server, &by_file, &token);
    fails(&output, "expired");
    assert!(output.stdout.contains("s ago"), "{}", output.stdout);
    for garbage in ["", "garbage", "a.b.c", "v4.public.AAAA", "oas_at_AAAA"] {
        fails(&inspect(&server, &[], garbage), "TOKEN must be");
    }
    fails(&inspect(&server, &["--keys", "nowhere"], &token), "nowhere");
}

/// An opaque token with other secret bytes, and perhaps another id, and a checksum that is right.
fn forged(token: &str, at: usize) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix("oas_at_").unwrap()).unwrap();
    bytes[at] ^= 1;
    let sum = crc32fast::hash(&bytes[..53]).to_be_bytes();
    bytes[53..].copy_from_slice(&sum);
    format!("oas_at_{}", URL_SAFE_NO_PAD.encode(bytes))
}

async fn opaque_token_is_verified_by_its_record(kind: Kind) {
    let server = start(kind).await;
    let client = server
        .register(json!({"client_id": "ref", "token_format": "opaque"}))
        .await;
    let token = server.token(&client).await;
    let output = inspect(&server, &[], &token);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(field(&output, "record").as_deref(), Some("active"));

    let other_secret = inspect(&server, &[], &forged(&token, 30));
    fails(&other_secret, "forged");
    assert_eq!(field(&other_secret, "record").as_deref(), Some("of another token"));
    let response = inspect(&server, &["--json"], &forged(&token, 52)).stdout;
    let response: Value = serde_json::from_str(&response).unwrap();
    assert_eq!(response["record"], "of another token");
    let unknown = inspect(&server, &[], &forged(&token, 15));
    fails(&unknown, "no record");
    assert_eq!(field(&unknown, "record").as_deref(), Some("not recorded"));
    // Without the store nobody vouches for it.
    std::fs::write(server.setup.directory().join("none.json"), r#"{"keys": []}"#).unwrap();
    fails(
        &inspect(&server, &["--keys", "none.json"], &token),
        "with the store only",
    );

    assert_eq!(server.setup.run(&["client", "disable", "ref"]).code, 0);
    let output = inspect(&server, &[], &token);
    fails(&output, "disabled");
    assert_eq!(field(&output, "record").as_deref(), Some("not active"));
}

async fn reason_for_an_inactive_stateless_token_is_reported(kind: Kind) {
    let server = start(kind).await;
    let client = server
        .register(json!({"client_id": "ci", "token_ledger": "stateless"}))
        .await;
    let token = server.token(&client).await;
    let output = inspect(&server, &[], &token);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(field(&output, "record").as_deref(), Some("not recorded"));
    assert_eq!(server.setup.run(&["client", "disable", "ci"]).code, 0);
    fails(&inspect(&server, &[], &token), "disabled");
    assert_eq!(server.setup.run(&["client", "enable", "ci"]).code, 0);
    assert_eq!(server.setup.run(&["token", "revoke", "--client", "ci"]).code, 0);
    fails(&inspect(&server, &[], &token), "revoked");
}

async fn unavailable_store_is_an_error(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"token_format": "jwt"})).await;
    let token = server.token(&client).await;
    let mut setup = setup(kind).await;
    // Without a schema, and for Postgres also where nobody listens.
    if kind == Kind::Sqlite {
        drop(setup.sqlite());
    }
    for token in [&token, &altered(&token)] {
        let word = if kind == Kind::Sqlite { "is empty" } else { "migrate" };
        rejected(&setup.run(&["token", "inspect", token]), 3, &[word]);
    }
    if kind == Kind::Postgres {
        setup.set(
            "OAUTH2_DATABASE_URL",
            format!("postgres://app@127.0.0.1:{}/x", ports::free()),
        );
        for token in [&token, &altered(&token)] {
            rejected(&setup.run(&["token", "inspect", token]), 3, &["127.0.0.1"]);
        }
    }
}

/// Where the secret that is shared with verifiers is all there is.
#[tokio::test]
async fn hs256_token_is_verified_with_the_shared_secret() {
    let secret = "0123456789abcdef0123456789abcdef";
    let server = DedicatedServer::start(setup(Kind::Sqlite).await.with("OAUTH2_JWT_SECRET", secret)).await;
    let client = server
        .register(json!({"token_format": "jwt", "signing_alg": "HS256"}))
        .await;
    let token = server.token(&client).await;
    let nowhere = setup(Kind::Sqlite).await.with("OAUTH2_JWT_SECRET", secret);
    // The secret is that of one issuer.
    fails(&nowhere.run(&["token", "inspect", &token]), "OAUTH2_ISSUER");
    let nowhere = nowhere.with("OAUTH2_ISSUER", server.issuer());
    let good = nowhere.run(&["token", "inspect", &token]);
    assert_eq!(good.code, 0, "{}{}", good.stderr, good.stdout);
    assert_eq!(field(&good, "signature").as_deref(), Some("valid"));
    fails(
        &nowhere.run(&["token", "inspect", &altered(&token)]),
        "signature is invalid",
    );
}

/// What a token says is a stranger's: it neither steers a terminal nor passes for the response.
#[tokio::test]
async fn forged_token_cannot_spoof_the_output() {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "EdDSA", "kid": "k\u{1b}[2J", "n\u{9b}31m": 1});
    let claims = json!({
        "signature": "valid", "record": "active", "\u{1b}]0;yours\u{7}": "x", "list": ["\u{9b}31m", "\u{7f}", "\u{202e}"],
        "line\nsignature  valid": 1, "exp": i64::MIN,
    });
    let token = format!("{}.{}.AA", part(header), part(claims));
    let setup = setup(Kind::Sqlite).await;
    for arguments in [&[][..], &["--json"]] {
        let output = setup.run_with_input(&[&["token", "inspect", "-"], arguments].concat(), &token);
        assert_eq!(output.code, 2, "{}", output.stderr);
        let steering = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!output.stdout.contains(steering), "{:?}", output.stdout);
        if arguments.is_empty() {
            assert!(output.stdout.starts_with("signature "), "{}", output.stdout);
            for line in output.stdout.lines() {
                let ours = ["signature ", "format ", "header.", "claim."];
                assert!(ours.iter().any(|name| line.starts_with(name)), "{line}");
            }
            assert_eq!(output.stdout.matches("\nsignature").count(), 0, "{}", output.stdout);
            assert_eq!(field(&output, "claim.record").as_deref(), Some("active"));
        }
    }
}
