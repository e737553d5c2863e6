//! Values that make no sense.

use oauth2_testkit::{DedicatedServer, Kind};

use crate::cli::{rejected, stdout_of};
use crate::setup;

on_both_stores!(configured_issuer_is_in_every_token);

#[tokio::test]
async fn invalid_value_is_rejected_with_its_variable() {
    for (name, value) in [
        ("OAUTH2_SERVER_HOST", "example.com"),
        ("OAUTH2_SERVER_PORT", "0"),
        ("OAUTH2_SERVER_PORT", "65536"),
        ("OAUTH2_SERVER_WORKERS", "0"),
        ("OAUTH2_SERVER_WORKERS", "many"),
        ("OAUTH2_SERVER_DRAIN_DELAY", "-1"),
        ("OAUTH2_SERVER_DRAIN_DELAY", "1m"),
        ("OAUTH2_MANAGEMENT_HOST", "*"),
        ("OAUTH2_MANAGEMENT_PORT", "x"),
        ("OAUTH2_DATABASE_URL", "mysql://localhost/x"),
        ("OAUTH2_DATABASE_URL", "sqlite://"),
        ("OAUTH2_DATABASE_URL", "sqlite://:memory:"),
        ("OAUTH2_DATABASE_MAX_CONNECTIONS", "1"),
        ("OAUTH2_DATABASE_MIN_CONNECTIONS", "-1"),
        ("OAUTH2_DATABASE_CONNECT_TIMEOUT", "0"),
        ("OAUTH2_DATABASE_IDLE_TIMEOUT", "x"),
        ("OAUTH2_DATABASE_ACQUIRE_TIMEOUT_MS", "0"),
        ("OAUTH2_ISSUER", "http://id.example"),
        ("OAUTH2_TOKENS_LEDGER", "Durable"),
        ("OAUTH2_TOKENS_FORMAT", "saml"),
        ("OAUTH2_ACCESS_TOKEN_EXPIRATION", "0"),
        ("OAUTH2_ACCESS_TOKEN_EXPIRATION", "2592001"),
        ("OAUTH2_REFRESH_TOKEN_EXPIRATION", "soon"),
        ("OAUTH2_LOG_LEVEL", "a=b=c"),
        // Each would be taken for a target, and nothing else would be logged.
        ("OAUTH2_LOG_LEVEL", "warning"),
        ("OAUTH2_LOG_LEVEL", "oauth2_server"),
        ("OAUTH2_LOG_LEVEL", "info,inof"),
        ("OAUTH2_LOG_LEVEL", "warn, info"),
        ("OAUTH2_LOG_FORMAT", "xml"),
    ] {
        let setup = setup(Kind::Sqlite).await.with(name, value);
        for arguments in [&["config", "check"][..], &["serve"]] {
            let output = setup.run(arguments);
            rejected(&output, 2, &[name, "must "]);
            assert!(
                value.is_empty() || name == "OAUTH2_DATABASE_URL" || output.stderr.contains(value),
                "{}",
                output.stderr
            );
        }
    }
}

/// As an editor or a shell leaves them: another name of a database would be another, new issuer.
#[tokio::test]
async fn control_characters_are_rejected() {
    let path = setup(Kind::Sqlite).await;
    let url = path.database_file().display().to_string();
    for (name, value) in [
        ("OAUTH2_DATABASE_URL", format!("sqlite://{url}\nx")),
        ("OAUTH2_ISSUER", "https://id.example\u{7f}".to_owned()),
        ("OAUTH2_ADMIN_TOKEN", format!("{}\t", "a".repeat(40))),
    ] {
        let setup = path.clone().with(name, value);
        for arguments in [&["config", "check"][..], &["serve"]] {
            rejected(&setup.run(arguments), 2, &[name, "control characters"]);
        }
    }
    // A line end at the end is that of an editor or of a YAML block, as in a file; a list may take several lines.
    let mut usual = path.clone().with("OAUTH2_DATABASE_URL", format!("sqlite://{url}\n"));
    usual.set("OAUTH2_SERVER_TRUSTED_PROXIES", "\n10.0.0.0/8,\n\t192.168.0.0/16\n");
    let checked = usual.run(&["config", "check"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    let two_lines = path.directory().join("url");
    std::fs::write(&two_lines, format!("sqlite://{url}\nsqlite://{url}\n")).unwrap();
    let mut setup = path.with("OAUTH2_DATABASE_URL_FILE", two_lines.display().to_string());
    setup.unset("OAUTH2_DATABASE_URL");
    rejected(
        &setup.run(&["config", "check"]),
        2,
        &["OAUTH2_DATABASE_URL_FILE", "control characters"],
    );
}

/// More workers than connections of the pool: on a machine with many cores that is the default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_start() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let setup = setup(kind).await.with("OAUTH2_SERVER_WORKERS", "48");
        let server = oauth2_testkit::DedicatedServer::start(setup).await;
        let client = server.register(serde_json::json!({"scope": "read"})).await;
        server.token(&client).await;
    }
}

#[tokio::test]
async fn contradicting_values_are_rejected() {
    let setup = setup(Kind::Sqlite).await;
    let port = setup.public.to_string();
    let same = setup.with("OAUTH2_MANAGEMENT_PORT", port);
    rejected(&same.run(&[]), 2, &["OAUTH2_MANAGEMENT_PORT", "OAUTH2_SERVER_PORT"]);
    let stateless = crate::setup(Kind::Sqlite)
        .await
        .with("OAUTH2_TOKENS_FORMAT", "opaque")
        .with("OAUTH2_TOKENS_LEDGER", "stateless");
    rejected(
        &stateless.run(&[]),
        2,
        &["OAUTH2_TOKENS_LEDGER", "OAUTH2_TOKENS_FORMAT"],
    );
}

#[tokio::test]
async fn non_loopback_listener_requires_an_https_issuer() {
    for host in ["0.0.0.0", "::", "10.1.2.3"] {
        let mut setup = setup(Kind::Sqlite).await.with("OAUTH2_SERVER_HOST", host);
        rejected(&setup.run(&["serve"]), 2, &["OAUTH2_ISSUER", "https", host]);
        for issuer in [
            "http://id.example",
            "id.example",
            "https://id.example?x=1",
            "https://id.example/#x",
            "https://user:pw@id.example",
            "https:id.example",
        ] {
            setup.set("OAUTH2_ISSUER", issuer);
            rejected(&setup.run(&["serve"]), 2, &["OAUTH2_ISSUER", "https"]);
        }
        setup.set("OAUTH2_ISSUER", "https://id.example/tenant");
        assert_eq!(stdout_of(&setup, &["config", "check"]), "the configuration is valid\n");
    }
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let setup = setup(Kind::Sqlite).await.with("OAUTH2_SERVER_HOST", host);
        stdout_of(&setup, &["config", "check"]);
    }
}

async fn configured_issuer_is_in_every_token(kind: Kind) {
    let setup = setup(kind).await.with("OAUTH2_ISSUER", "https://id.example/");
    let server = DedicatedServer::start(setup).await;
    let client = server.register(serde_json::json!({"scope": "read"})).await;
    let token = server.token(&client).await;
    let told = server.introspect(&client, &token).await;
    assert_eq!(told["iss"], "https://id.example/");
    assert_eq!(told["aud"], "https://id.example/");
    let document = server
        .get_json(server.url("/.well-known/oauth-authorization-server"))
        .await;
    assert_eq!(document["issuer"], "https://id.example/");
    assert_eq!(document["token_endpoint"], "https://id.example/oauth/token");
}
