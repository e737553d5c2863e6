//! Postgres servers and databases that cannot serve: a standby, an encoding, a password with a percent sign.

use std::time::Duration;

use oauth2_testkit::postgres::{PASSWORD_ROLE, connect};
use oauth2_testkit::{DedicatedServer, Kind, Postgres, Setup, until};
use reqwest::StatusCode;
use serde_json::json;

use super::postgres_url::sentences;
use crate::cli::{rejected, stdout_of};
use crate::{BINARY, setup};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server that begins on a standby waits, says why, and serves once the standby is promoted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standby_is_named_and_awaited() {
    let primary = Postgres::start(false);
    let mut server = DedicatedServer::start(Setup::on_postgres(BINARY, &primary).await).await;
    let client = server.register(json!({"scope": "read"})).await;
    let token = server.token(&client).await;
    server.process.kill();
    let standby = tokio::task::block_in_place(|| primary.standby());
    let name = server
        .setup
        .database_url()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    let setup = server.setup.clone().with("OAUTH2_DATABASE_URL", standby.url(&name));

    let doctor = setup.run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);
    let line = doctor.stdout.lines().find(|line| line.starts_with("writes")).unwrap();
    assert!(
        line.contains("FAILED") && line.contains("standby") && line.contains("primary"),
        "{line}"
    );
    rejected(&setup.run(&["migrate"]), 3, &["standby", "primary"]);
    rejected(
        &setup.run(&["client", "disable", &client.id]),
        3,
        &["standby", "primary"],
    );
    assert!(
        stdout_of(&setup, &["client", "list"]).contains(&client.id),
        "reads work"
    );

    let process = setup.spawn();
    let http = reqwest::Client::new();
    let ready = format!("http://127.0.0.1:{}/ready", setup.management);
    until(PATIENCE, "the log says that the server waits", async || {
        process.stderr().contains("waiting for the store")
    })
    .await;
    let response = http.get(&ready).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let checks: serde_json::Value = response.json().await.unwrap();
    assert_eq!(checks["checks"]["writes"], false, "{checks}");
    let promote = connect(&standby.url("postgres")).await;
    promote.query_one("SELECT pg_promote()", &[]).await.unwrap();
    let mut server = DedicatedServer::from_process(setup, process).await;
    assert!(server.is_active(&client, &token).await);
    server.token(&client).await;
    let log = server.process.complete_log().await;
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("waiting for the store"))
        .collect();
    assert!(
        lines.len() == 1 && lines[0].contains("standby") && lines[0].contains("primary"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn database_with_another_encoding_is_rejected() {
    let admin = connect(&Postgres::shared().url("postgres")).await;
    let create = "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
    admin.batch_execute(create).await.unwrap();
    let setup = setup(Kind::Postgres)
        .await
        .with("OAUTH2_DATABASE_URL", Postgres::shared().url("latin"));
    sentences(&setup, &["LATIN1", "UTF8"], true);
}

/// In a URL a `%` begins an encoded byte; in a file it does not.
#[tokio::test(flavor = "multi_thread")]
async fn percent_sign_in_a_password() {
    let postgres = Postgres::start(false);
    // A password is hashed thousands of times for each connection.
    let setup = Setup::on_postgres(BINARY, &postgres)
        .await
        .with("OAUTH2_DATABASE_ACQUIRE_TIMEOUT_MS", "5000");
    let url = setup.database_url().unwrap().to_owned();
    let role = format!("CREATE ROLE {PASSWORD_ROLE} LOGIN SUPERUSER PASSWORD 'a%41b'");
    connect(&url).await.batch_execute(&role).await.unwrap();
    let with = |password: &str| {
        let user = format!("{PASSWORD_ROLE}{password}@");
        setup
            .clone()
            .with("OAUTH2_DATABASE_URL", url.replace("postgres@", &user))
    };
    sentences(
        &with(":a%41b"),
        &["password", "%25", "OAUTH2_DATABASE_PASSWORD_FILE"],
        true,
    );
    stdout_of(&with(":a%2541b"), &["migrate"]);
    let file = setup.directory().join("password");
    std::fs::write(&file, "a%41b\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    stdout_of(
        &with("").with("OAUTH2_DATABASE_PASSWORD_FILE", file.to_str().unwrap()),
        &["client", "list"],
    );
}

/// The role of `deploy/postgres`: it owns the ledger, may write every table, and may not set a sequence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn role_without_sequences_serves_a_current_schema() {
    let postgres = Postgres::start(false);
    let mut server = DedicatedServer::start(Setup::on_postgres(BINARY, &postgres).await).await;
    let client = server.register(json!({"scope": "read"})).await;
    server.process.kill();
    server
        .setup
        .sql(
            "CREATE ROLE narrow LOGIN; GRANT USAGE, CREATE ON SCHEMA public TO narrow;
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO narrow;
             DO $$ DECLARE ledger regclass; BEGIN
                 FOR ledger IN SELECT oid::regclass FROM pg_class
                     WHERE relnamespace = 'public'::regnamespace AND (relkind = 'p' OR relispartition AND relkind = 'r')
                 LOOP EXECUTE format('ALTER TABLE %s OWNER TO narrow', ledger); END LOOP;
             END $$",
        )
        .await;
    let url = server.setup.database_url().unwrap().replace("postgres@", "narrow@");
    server.setup.set("OAUTH2_DATABASE_URL", url);
    server.start_again().await;
    server.token(&client).await;
    server.register(json!({"scope": "read"})).await;
}
