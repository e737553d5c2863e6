//! Files with secrets that other users can read or replace: a warning, and an error with `--strict`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2_testkit::{DedicatedServer, Kind, Setup};
use serde_json::json;

use crate::setup;

const TOKEN: &str = "oas_ad_another-one-0123456789abcdefghijkl";
const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"given","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// Writes a file with a mode.
fn write(setup: &Setup, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = setup.directory().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    path
}

/// Checks the configuration: a warning with each of these words, which `--strict` makes an error. No word: no warning.
fn check(setup: &Setup, arguments: &[&str], words: &[&str]) {
    let output = setup.run(&[arguments, &["config", "check"]].concat());
    assert_eq!(output.code, 0, "{}", output.stderr);
    let strict = setup.run(&[arguments, &["config", "check", "--strict"]].concat());
    if words.is_empty() {
        assert_eq!((strict.code, strict.stderr.as_str()), (0, ""), "{}", output.stderr);
        return;
    }
    assert_eq!(strict.code, 2, "{}", strict.stderr);
    for (stderr, begin) in [(&output.stderr, "warning: "), (&strict.stderr, "error: ")] {
        let mut lines = stderr.lines();
        let found = lines.any(|line| line.starts_with(begin) && words.iter().all(|word| line.contains(word)));
        assert!(found, "{words:?}: {stderr}");
        assert!(!stderr.contains(TOKEN), "{stderr}");
    }
}

#[tokio::test]
async fn exposed_secret_files_are_named() {
    let mut setup = setup(Kind::Sqlite).await;
    setup.unset("OAUTH2_ADMIN_TOKEN");
    let token = write(&setup, "token", TOKEN, 0o644);
    let key = "OAUTH2_ADMIN_TOKEN_FILE";
    setup.set(key, "token");
    check(
        &setup,
        &[],
        &[key, token.to_str().unwrap(), "readable by every user", "0644"],
    );
    write(&setup, "token", TOKEN, 0o662);
    check(&setup, &[], &[key, "writable by every user", "0662"]);
    for mode in [0o600, 0o400, 0o440, 0o640] {
        write(&setup, "token", TOKEN, mode);
        check(&setup, &[], &[]);
    }
    // Users who can write to a directory can replace its files.
    let open = setup.directory().join("open");
    fs::create_dir(&open).unwrap();
    write(&setup, "open/token", TOKEN, 0o600);
    setup.set(key, "open/token");
    fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    check(&setup, &[], &[key, open.to_str().unwrap(), "replaced", "0777"]);
    fs::set_permissions(&open, PermissionsExt::from_mode(0o1777)).unwrap();
    check(&setup, &[], &[]);
    // As Kubernetes mounts a secret.
    let mounted = setup.directory().join("mounted");
    fs::create_dir_all(mounted.join("..2026_11_29")).unwrap();
    symlink("..2026_11_29", mounted.join("..data")).unwrap();
    symlink("..data/token", mounted.join("token")).unwrap();
    setup.set(key, "mounted/token");
    write(&setup, "mounted/..2026_11_29/token", TOKEN, 0o440);
    check(&setup, &[], &[]);
    write(&setup, "mounted/..2026_11_29/token", TOKEN, 0o444);
    check(&setup, &[], &[key, "mounted/token", "0444"]);
    setup.unset(key);

    // A configuration file with a secret in it; a password in a URL is one.
    let secret = format!("[admin]\ntoken = \"{TOKEN}\"\n");
    write(&setup, "oauth2.toml", &secret, 0o644);
    let file = ["--config", "oauth2.toml"];
    check(&setup, &file, &["admin.token", "oauth2.toml", "0644"]);
    write(&setup, "oauth2.toml", &secret, 0o600);
    check(&setup, &file, &[]);
    write(&setup, "oauth2.toml", "[tokens]\nformat = \"jwt\"\n", 0o644);
    check(&setup, &file, &[]);
    setup.unset("OAUTH2_DATABASE_URL");
    write(
        &setup,
        "oauth2.toml",
        "[database]\nurl = \"postgres://u:p@127.0.0.1/d\"\n",
        0o644,
    );
    setup.set(
        "OAUTH2_KEY_ENCRYPTION_KEY",
        "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
    );
    check(&setup, &file, &["database.url", "oauth2.toml", "0644"]);

    // What a connection to Postgres is opened with.
    write(&setup, "password", "p", 0o604);
    setup.set("OAUTH2_DATABASE_PASSWORD_FILE", "password");
    setup.set("OAUTH2_DATABASE_URL", "postgres://u@127.0.0.1/d");
    check(&setup, &[], &["OAUTH2_DATABASE_PASSWORD_FILE", "password", "0604"]);
    setup.unset("OAUTH2_DATABASE_PASSWORD_FILE");
    let tls = write(&setup, "client.key", "k", 0o644);
    let url = format!(
        "postgres://u@127.0.0.1/d?sslmode=require&sslcert=c&sslkey={}",
        tls.display()
    );
    setup.set("OAUTH2_DATABASE_URL", url);
    check(&setup, &[], &["OAUTH2_DATABASE_URL", "sslkey", "client.key", "0644"]);
}

#[tokio::test]
async fn server_warns_of_an_exposed_secret_and_strictly_refuses_to_start() {
    let mut setup = setup(Kind::Sqlite).await;
    setup.unset("OAUTH2_ADMIN_TOKEN");
    write(&setup, "token", TOKEN, 0o644);
    setup.set("OAUTH2_ADMIN_TOKEN_FILE", "token");
    for arguments in [&["serve", "--strict"][..], &["--strict"]] {
        let refused = setup.run(arguments);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains("OAUTH2_ADMIN_TOKEN_FILE"), "{}", refused.stderr);
    }
    let mut server = DedicatedServer::start(setup).await;
    let log = server.process.complete_log().await;
    server.process.wait(Duration::from_secs(30)).await;
    assert!(log.contains("warning: OAUTH2_ADMIN_TOKEN_FILE"), "{log}");
}

#[tokio::test]
async fn exposed_key_file_is_warned_of_at_its_import() {
    let setup = setup(Kind::Sqlite).await;
    assert_eq!(setup.run(&["migrate"]).code, 0);
    let key = write(&setup, "key.jwk", KEY, 0o644);
    let strict = setup.run(&["--strict", "key", "import", "key.jwk"]);
    assert_eq!(strict.code, 2, "{}", strict.stderr);
    for word in ["error: ", "key.jwk", "0644"] {
        assert!(strict.stderr.contains(word), "{}", strict.stderr);
    }
    // The file is judged before there is a key encryption key, which the import fails for.
    let lenient = setup.run(&["key", "import", "key.jwk"]);
    assert!(
        lenient
            .stderr
            .contains("warning: key.jwk is readable by every user (mode 0644)"),
        "{}",
        lenient.stderr
    );
    fs::set_permissions(&key, PermissionsExt::from_mode(0o440)).unwrap();
    let private = setup.run(&["--strict", "key", "import", "key.jwk"]);
    assert!(!private.stderr.contains("readable"), "{}", private.stderr);
}

/// Files of clients and of their secrets that a subcommand is given.
#[tokio::test]
async fn exposed_files_of_clients_are_named() {
    let setup = crate::cli::migrated(Kind::Sqlite).await;
    let rows = format!("{{\"client_id\": \"a\", \"client_secret\": \"{TOKEN}\"}}\n");
    write(&setup, "secrets.jsonl", &rows, 0o644);
    write(&setup, "plain.jsonl", "{\"client_id\": \"b\"}\n", 0o644);
    write(&setup, "b.secret", TOKEN, 0o644);
    let declared = "owner: x\nclients:\n  - {client_id: c, secret_file: b.secret}\n";
    write(&setup, "clients.yaml", declared, 0o644);
    let warned = |arguments: &[&str], file: Option<&str>| {
        let strict = setup.run(&[arguments, &["--strict"]].concat());
        let output = setup.run(arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
        let Some(file) = file else {
            assert_eq!(
                (strict.code, output.stderr.as_str()),
                (0, ""),
                "{arguments:?}: {}",
                strict.stderr
            );
            return;
        };
        assert_eq!(strict.code, 2, "{arguments:?}: {}", strict.stderr);
        for stderr in [&output.stderr, &strict.stderr] {
            assert!(
                stderr.contains(file) && stderr.contains("0644"),
                "{arguments:?}: {stderr}"
            );
        }
    };
    warned(
        &["client", "import", "plain.jsonl", "--dry-run", "--secrets-out", "one"],
        None,
    );
    warned(&["client", "import", "secrets.jsonl"], Some("secrets.jsonl"));
    warned(&["apply", "-f", "clients.yaml"], Some("b.secret"));
    fs::create_dir(setup.directory().join("export")).unwrap();
    let clients = json!([{
        "ClientId": "d", "ClientSecret": TOKEN, "AllowedOAuthFlows": ["client_credentials"], "AllowedOAuthScopes": ["api/read"],
    }]);
    write(&setup, "export/clients.json", &clients.to_string(), 0o644);
    let export = ["client", "import", "--from", "cognito", "export", "--dry-run"];
    warned(&export, Some("export/clients.json"));
    write(&setup, "export/clients.json", &clients.to_string(), 0o600);
    warned(&export, None);
    write(&setup, "b.secret", TOKEN, 0o640);
    warned(&["apply", "-f", "clients.yaml"], None);
    // Secrets in the file of clients itself, and tokens in a file.
    let inline = format!("owner: y\nclients:\n  - {{client_id: e, client_secret: {TOKEN}}}\n");
    write(&setup, "inline.yaml", &inline, 0o644);
    warned(&["apply", "-f", "inline.yaml"], Some("inline.yaml"));
    write(&setup, "inline.yaml", &inline, 0o640);
    warned(&["apply", "-f", "inline.yaml"], None);
    // A header, a payload with an id and an expiry, and a signature: revocation verifies none.
    let payload = r#"{"jti":"01990000-0000-7000-8000-000000000001","exp":4000000000}"#;
    let token = format!("e30.{}.AA\n", URL_SAFE_NO_PAD.encode(payload));
    write(&setup, "tokens", &token, 0o644);
    warned(&["token", "revoke", "--file", "tokens"], Some("tokens"));
    write(&setup, "ids", "01990000-0000-7000-8000-000000000000\n", 0o644);
    warned(&["token", "revoke", "--file", "ids"], None);
    write(
        &setup,
        "check.csv",
        &format!("client_id,client_secret\ne,{TOKEN}\n"),
        0o644,
    );
    let check = [
        "migrate-check",
        "--old",
        "http://127.0.0.1:1",
        "--new",
        "http://127.0.0.1:1",
        "--clients",
        "check.csv",
    ];
    let strict = setup.run(&[&check[..], &["--strict"]].concat());
    assert!(
        strict.code == 2 && strict.stderr.contains("check.csv is readable"),
        "{}",
        strict.stderr
    );
    let lenient = setup.run(&check);
    assert!(
        lenient.stderr.contains("warning: check.csv is readable"),
        "{}",
        lenient.stderr
    );
}
