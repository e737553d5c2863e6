//! Where values come from: the environment over the file over the defaults.

use oauth2_testkit::{Credentials, DedicatedServer, Kind, Process, Setup};
use serde_json::{Value, json};

use crate::cli::{first_token, rejected, stdout_of};
use crate::setup;

on_both_stores!(server_is_configured_by_a_file, kubernetes_service_variables_are_ignored,);

/// Writes the configuration file; answers its name for `--config`.
fn file(setup: &Setup, text: &str) -> &'static str {
    std::fs::write(setup.directory().join("oauth2.toml"), text).unwrap();
    "oauth2.toml"
}

/// One key as `config print --json` shows it.
fn entry(printed: &Value, key: &str) -> Value {
    let items = printed["items"].as_array().unwrap();
    let found = items.iter().find(|item| item["key"] == key);
    found.unwrap_or_else(|| panic!("{key} is missing in {printed}")).clone()
}

async fn server_is_configured_by_a_file(kind: Kind) {
    let mut setup = setup(kind).await;
    let mut text = format!(
        "[server]\nport = {}\nworkers = 1\n[management]\nport = {}\n[tokens]\nformat = \"jwt\"\n[access_token]\nexpiration = 60\n",
        setup.public, setup.management
    );
    setup.unset("OAUTH2_SERVER_PORT");
    setup.unset("OAUTH2_MANAGEMENT_PORT");
    // The environment wins.
    setup.set("OAUTH2_ACCESS_TOKEN_EXPIRATION", "90");
    if let Some(url) = setup.database_url().map(str::to_owned) {
        text.extend(["[database]\nurl = \"", &url, "\"\n"]);
        setup.unset("OAUTH2_DATABASE_URL");
    }
    let name = file(&setup, &text);
    let log = setup.directory().join("stderr.log");
    let process = Process::start(&mut setup.command(&["--config", name]), &log);
    let server = DedicatedServer::from_process(setup, process).await;
    let made = server
        .setup
        .json(&["--config", name, "client", "create", "--scope", "read", "--json"]);
    let made = Credentials::of(&made);
    let token = first_token(&server, &made).await;
    assert_eq!(token.split('.').count(), 3, "as JWT: {token}");
    let told = server.introspect(&made, &token).await;
    assert_eq!(told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap(), 90);
    assert_eq!(stdout_of(&server.setup, &["healthcheck", "--config", name]), "ready\n");
}

async fn kubernetes_service_variables_are_ignored(kind: Kind) {
    let mut setup = setup(kind).await;
    let port = setup.public;
    // For a Service of this name, which would make OAUTH2_SERVER_PORT an address: then the file says the port.
    setup.set("OAUTH2_SERVER_PORT", "tcp://10.0.0.1:8080");
    for (name, value) in [
        ("OAUTH2_SERVER_SERVICE_HOST", "10.0.0.1"),
        ("OAUTH2_SERVER_SERVICE_PORT", "8080"),
        ("OAUTH2_SERVER_SERVICE_PORT_HTTP", "8080"),
        ("OAUTH2_SERVER_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("OAUTH2_SERVER_PORT_8080_TCP_PROTO", "tcp"),
        ("OAUTH2_SERVER_PORT_8080_TCP_PORT", "8080"),
        ("OAUTH2_SERVER_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("OAUTH2_SERVER_PORT_9090_UDP_ADDR", "10.0.0.1"),
    ] {
        setup.set(name, value);
    }
    let name = file(&setup, &format!("[server]\nport = {port}\n"));
    let printed = setup.json(&["config", "print", "--json", "--config", name]);
    let found = entry(&printed, "server.port");
    assert_eq!(
        (&found["value"], &found["origin"]),
        (&json!(port.to_string()), &json!("file"))
    );
    assert_eq!(
        entry(&setup.json(&["config", "print", "--json"]), "server.port")["value"],
        "8080",
        "without a file the default holds"
    );
    let log = setup.directory().join("stderr.log");
    let process = Process::start(&mut setup.command(&["--config", name]), &log);
    let mut server = DedicatedServer::from_process(setup, process).await;
    let document = server
        .get_json(server.url("/.well-known/oauth-authorization-server"))
        .await;
    assert_eq!(document["issuer"], server.issuer());
    let log = server.process.complete_log().await;
    assert!(!log.contains("warning"), "{log}");
}

#[tokio::test]
async fn every_value_is_printed_with_its_origin() {
    let mut setup = setup(Kind::Sqlite).await;
    setup.set("OAUTH2_ISSUER", "https://id.example/");
    let name = file(
        &setup,
        "issuer = \"https://other.example\"\n\n[log]\nlevel = \"warn\"\n",
    );
    let printed = setup.json(&["config", "print", "--json", "--config", name]);
    for (key, variable, value, origin, source) in [
        (
            "issuer",
            "OAUTH2_ISSUER",
            "https://id.example/",
            "env",
            "environment OAUTH2_ISSUER",
        ),
        ("log.level", "OAUTH2_LOG_LEVEL", "warn", "file", "oauth2.toml:4"),
        ("tokens.format", "OAUTH2_TOKENS_FORMAT", "paseto", "default", "default"),
    ] {
        let expected = json!({"key": key, "variable": variable, "value": value, "origin": origin, "source": source});
        assert_eq!(entry(&printed, key), expected);
    }
    let table = stdout_of(&setup, &["config", "print", "--config", name]);
    let line = |key: &str| {
        let line = table.lines().find(|line| line.starts_with(&format!("{key} ")));
        line.unwrap_or_else(|| panic!("{key}: {table}")).to_owned()
    };
    assert!(line("log.level").ends_with("oauth2.toml:4"), "{table}");
    assert!(line("issuer").ends_with("environment OAUTH2_ISSUER"), "{table}");
    assert_eq!(table.lines().count(), 1 + printed["items"].as_array().unwrap().len());
    assert!(!setup.directory().join("data").exists(), "a look makes nothing");
}

#[tokio::test]
async fn valid_configuration_passes_the_check() {
    let setup = setup(Kind::Sqlite).await;
    assert_eq!(stdout_of(&setup, &["config", "check"]), "the configuration is valid\n");
    assert!(!setup.directory().join("data").exists(), "a look makes nothing");
}

#[tokio::test]
async fn unknown_name_is_rejected_with_a_suggestion() {
    let mut setup = setup(Kind::Sqlite).await;
    setup.set("OAUTH2_SEVER_PORT", "8080");
    let words = ["OAUTH2_SEVER_PORT", "did you mean OAUTH2_SERVER_PORT?"];
    // Every subcommand stops, the server first of all.
    for arguments in [
        &[][..],
        &["serve"],
        &["config", "check"],
        &["config", "print"],
        &["client", "list"],
    ] {
        rejected(&setup.run(arguments), 2, &words);
    }
    setup.unset("OAUTH2_SEVER_PORT");

    let name = file(&setup, "[server]\nprot = 1\n");
    let words = ["server.prot", "oauth2.toml:2", "did you mean server.port?"];
    rejected(&setup.run(&["config", "check", "--config", name]), 2, &words);
    file(&setup, "port = 1\n");
    rejected(
        &setup.run(&["config", "check", "--config", name]),
        2,
        &["unknown", "port", "oauth2.toml:1"],
    );
    setup.set("OAUTH2_ADMIN_TOKEN_FIEL", "x");
    rejected(&setup.run(&["config", "check"]), 2, &["OAUTH2_ADMIN_TOKEN_FILE?"]);
}

#[tokio::test]
async fn all_errors_are_reported_at_once() {
    let mut setup = setup(Kind::Sqlite).await;
    setup.set("OAUTH2_TOKENS_FORMAT", "saml");
    setup.set("OAUTH2_SEVER_PORT", "1");
    let name = file(&setup, "[log]\nformat = \"xml\"\n");
    let output = setup.run(&["config", "check", "--config", name]);
    assert_eq!((output.code, output.stdout.as_str()), (2, ""));
    let lines: Vec<_> = output.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{}", output.stderr);
    for word in [
        "OAUTH2_TOKENS_FORMAT",
        "OAUTH2_SEVER_PORT",
        "log.format (oauth2.toml:2)",
    ] {
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("error: ") && line.contains(word)),
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn invalid_toml_is_rejected_with_its_line() {
    let setup = setup(Kind::Sqlite).await;
    let name = file(&setup, "[admin]\ntoken = \"hunter2hunter2\n");
    let output = setup.run(&["config", "check", "--config", name]);
    rejected(&output, 2, &["oauth2.toml:2", "TOML"]);
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    rejected(&setup.run(&["--config", "."]), 2, &["cannot be read"]);
}

#[tokio::test]
async fn settings_without_effect_cause_one_warning() {
    let secret = "0123456789abcdef0123456789abcdef";
    let setup = setup(Kind::Sqlite)
        .await
        .with("OAUTH2_SESSION_KEY", secret)
        .with("OAUTH2_REFRESH_TOKEN_EXPIRATION", "604800");
    let warned = |stderr: &str| {
        let warnings: Vec<_> = stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert_eq!(warnings.len(), 1, "{stderr}");
        for name in ["OAUTH2_SESSION_KEY", "OAUTH2_REFRESH_TOKEN_EXPIRATION"] {
            assert!(warnings[0].contains(name), "{stderr}");
        }
        assert!(!stderr.contains(secret), "{stderr}");
    };
    let output = setup.run(&["config", "check"]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (0, "the configuration is valid\n")
    );
    warned(&output.stderr);
    let mut server = DedicatedServer::start(setup).await;
    warned(&server.process.complete_log().await);
}
