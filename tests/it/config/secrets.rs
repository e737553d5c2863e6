//! Secrets: given as text or as a file, generated, wrong.

use std::os::unix::fs::PermissionsExt;

use oauth2_testkit::{DedicatedServer, Kind, Setup};
use reqwest::{Method, StatusCode};

use crate::cli::{rejected, stdout_of};
use crate::{setup, start};

on_both_stores!(
    secrets_are_read_from_files,
    secret_given_as_value_and_file_is_rejected,
    secrets_are_not_printed,
    malformed_key_encryption_key_is_rejected,
    wrong_key_encryption_key_is_rejected,
);

const TOKEN: &str = "oas_ad_another-one-0123456789abcdefghijkl";
const KEY: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

fn write(setup: &Setup, name: &str, text: &str) {
    let path = setup.directory().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
}

/// Moves a variable into a file that `<name>_FILE` names.
fn as_file(setup: &mut Setup, name: &str, file: &str, text: &str) {
    write(setup, file, text);
    setup.unset(name);
    setup.set(&format!("{name}_FILE"), file);
}

async fn secrets_are_read_from_files(kind: Kind) {
    let mut setup = setup(kind).await;
    as_file(&mut setup, "OAUTH2_ADMIN_TOKEN", "token", &format!("{TOKEN}\n"));
    as_file(&mut setup, "OAUTH2_KEY_ENCRYPTION_KEY", "kek", &format!("{KEY}\r\n"));
    if let Some(url) = setup.database_url().map(str::to_owned) {
        as_file(&mut setup, "OAUTH2_DATABASE_URL", "url", &format!("{url}\n"));
    }
    let server = DedicatedServer::start(setup).await;
    let url = server.management_url("/admin/v1/clients");
    let ask = async |token: &str| {
        let request = server.http.request(Method::GET, &url).bearer_auth(token);
        request.send().await.unwrap().status()
    };
    assert_eq!(ask(TOKEN).await, StatusCode::OK);
    assert_eq!(ask(&TOKEN[1..]).await, StatusCode::UNAUTHORIZED);
    for name in ["admin_token", "key_encryption_key"] {
        let file = server.setup.directory().join("data").join(name);
        assert!(!file.exists(), "nothing is generated beside what is given: {name}");
    }
    assert_eq!(
        server.setup.json(&["doctor", "--json"])["ok"],
        true,
        "the same key opens the store"
    );
}

async fn secret_given_as_value_and_file_is_rejected(kind: Kind) {
    let mut setup = setup(kind).await;
    for (name, value) in [("OAUTH2_ADMIN_TOKEN", TOKEN), ("OAUTH2_KEY_ENCRYPTION_KEY", KEY)] {
        setup.set(name, value);
        setup.set(&format!("{name}_FILE"), "secret");
        write(&setup, "secret", value);
        let output = setup.run(&["serve"]);
        rejected(&output, 2, &[name, &format!("{name}_FILE"), "both"]);
        assert!(!output.stderr.contains(value), "{}", output.stderr);
        setup.unset(&format!("{name}_FILE"));
    }
    setup.unset("OAUTH2_ADMIN_TOKEN");
    setup.set("OAUTH2_ADMIN_TOKEN_FILE", "nowhere");
    rejected(
        &setup.run(&["serve"]),
        2,
        &["OAUTH2_ADMIN_TOKEN_FILE", "nowhere", "cannot be read"],
    );
    as_file(&mut setup, "OAUTH2_ADMIN_TOKEN", "empty", "\n");
    rejected(&setup.run(&["serve"]), 2, &["OAUTH2_ADMIN_TOKEN_FILE", "32"]);
}

async fn secrets_are_not_printed(kind: Kind) {
    let mut setup = setup(kind).await;
    setup.set("OAUTH2_ADMIN_TOKEN", TOKEN);
    setup.set("OAUTH2_KEY_ENCRYPTION_KEY", KEY);
    let secret = "0123456789abcdef0123456789abcdef";
    setup.set("OAUTH2_JWT_SECRET", secret);
    if kind == Kind::Postgres {
        setup.set(
            "OAUTH2_DATABASE_URL",
            "postgres://app:hunter2@db.example:5432/x?password=hunter2",
        );
    }
    for arguments in [&["config", "print"][..], &["config", "print", "--json"]] {
        let printed = stdout_of(&setup, arguments);
        for secret in [TOKEN, KEY, secret, "hunter2"] {
            assert!(!printed.contains(secret), "{printed}");
        }
        assert!(printed.matches("<redacted>").count() >= 3, "{printed}");
        assert!(printed.contains("environment OAUTH2_ADMIN_TOKEN"), "{printed}");
        assert!(kind == Kind::Sqlite || printed.contains("db.example:5432"), "{printed}");
    }
    setup.set("OAUTH2_ADMIN_TOKEN", "short-secret");
    let output = setup.run(&["serve"]);
    rejected(&output, 2, &["OAUTH2_ADMIN_TOKEN", "32"]);
    assert!(!output.stderr.contains("short-secret"), "{}", output.stderr);
}

async fn malformed_key_encryption_key_is_rejected(kind: Kind) {
    let mut setup = setup(kind).await;
    for value in [
        "AAAA",
        "not base64",
        &KEY[..43],
        "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj9A",
        "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj9=",
        "____________________________________________",
    ] {
        setup.set("OAUTH2_KEY_ENCRYPTION_KEY", value);
        let output = setup.run(&["serve"]);
        rejected(&output, 2, &["OAUTH2_KEY_ENCRYPTION_KEY", "base64", "32 bytes"]);
        assert!(value.is_empty() || !output.stderr.contains(value), "{}", output.stderr);
    }
    setup.unset("OAUTH2_KEY_ENCRYPTION_KEY");
    match kind {
        Kind::Postgres => {
            let words = ["OAUTH2_KEY_ENCRYPTION_KEY", "Postgres", "base64", "32 bytes"];
            rejected(&setup.run(&["serve"]), 2, &words);
        }
        Kind::Sqlite => {
            stdout_of(&setup, &["config", "check"]);
            setup.set("OAUTH2_ADMIN_TOKEN", TOKEN);
            DedicatedServer::start(setup).await;
        }
    }
}

async fn wrong_key_encryption_key_is_rejected(kind: Kind) {
    let mut server = start(kind).await;
    server.process.kill();
    let setup = &mut server.setup;
    setup.set("OAUTH2_KEY_ENCRYPTION_KEY", KEY);
    rejected(&setup.run(&["serve"]), 2, &["OAUTH2_KEY_ENCRYPTION_KEY"]);
    if kind == Kind::Sqlite {
        setup.unset("OAUTH2_KEY_ENCRYPTION_KEY");
        let path = setup.directory().join("data/key_encryption_key");
        std::fs::remove_file(&path).unwrap();
        // A new one would be made, and open nothing.
        rejected(&setup.run(&["serve"]), 2, &["OAUTH2_KEY_ENCRYPTION_KEY"]);
    }
}

#[tokio::test]
async fn secret_file_readable_by_others_is_rejected() {
    let mut server = start(Kind::Sqlite).await;
    server.process.kill();
    for name in ["admin_token", "key_encryption_key"] {
        let path = server.setup.directory().join("data").join(name);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        rejected(&server.setup.run(&["serve"]), 2, &[name, "chmod 600"]);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }
    server.start_again().await;
}
