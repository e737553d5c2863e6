//! URLs of Postgres that lead nowhere.

use std::time::Duration;

use oauth2_testkit::postgres::{PASSWORD_ROLE, connect};
use oauth2_testkit::{Kind, Postgres, Setup, ports};
use reqwest::StatusCode;

use crate::cli::{rejected, stdout_of};
use crate::setup;

const PASSWORD: &str = "hunter2-is-not-it";

/// The database of a setup, as somebody else or somewhere else.
async fn elsewhere(change: impl Fn(&str) -> String) -> Setup {
    let setup = setup(Kind::Postgres).await;
    let url = change(setup.database_url().unwrap());
    setup.with("OAUTH2_DATABASE_URL", url)
}

pub(super) fn sentences(setup: &Setup, words: &[&str], serve: bool) {
    let commands = [
        &["migrate"][..],
        &["client", "list"],
        &["client", "create"],
        &["key", "list"],
        &["serve"],
    ];
    for arguments in &commands[..commands.len() - usize::from(!serve)] {
        let output = setup.run(arguments);
        rejected(&output, 3, words);
        assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    }
    let doctor = setup.run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);
    let told = doctor.stdout + &doctor.stderr;
    assert!(told.contains("FAILED") && !told.contains("hunter2"), "{told}");
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_is_reported_and_not_printed() {
    let url = Postgres::shared().url("postgres");
    let role = format!("CREATE ROLE {PASSWORD_ROLE} LOGIN PASSWORD 'the-right-one'");
    connect(&url).await.batch_execute(&role).await.unwrap();
    let with = |user: String| elsewhere(move |url| url.replace("postgres@", &user));
    let wrong = with(format!("{PASSWORD_ROLE}:{PASSWORD}@")).await;
    sentences(&wrong, &["password", PASSWORD_ROLE, "database URL"], true);
    let none = with(format!("{PASSWORD_ROLE}@")).await;
    sentences(&none, &["password", "database URL"], true);
    let right = with(format!("{PASSWORD_ROLE}:the-right-one@")).await;
    rejected(&right.run(&["client", "list"]), 3, &["oauth2_server migrate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_database_or_role_is_named() {
    let missing = elsewhere(|url| format!("{}/nothing-here", url.rsplit_once('/').unwrap().0)).await;
    sentences(&missing, &["nothing-here", "does not exist"], true);
    let nobody = elsewhere(|url| url.replace("postgres@", &format!("nobody:{PASSWORD}@"))).await;
    sentences(&nobody, &["nobody", "does not exist"], true);
}

/// Before anything is opened, and with the name of the parameter.
#[tokio::test]
async fn invalid_url_is_a_configuration_error() {
    let parameters = |text: &str| format!("postgres://app:{PASSWORD}@127.0.0.1:5432/x?{text}");
    for (url, words) in [
        (
            format!("postgres://app:{PASSWORD}@127.0.0.1:port/x"),
            ["cannot be read", "must "],
        ),
        (
            parameters(&format!("nonsense={PASSWORD}")),
            ["\"nonsense\"", "remove it"],
        ),
        (parameters("sslcrl=x.pem"), ["\"sslcrl\"", "remove it"]),
        (parameters("SSLMODE=require"), ["\"SSLMODE\"", "remove it"]),
        (parameters("sslmode=full"), ["sslmode", "verify-full"]),
        (parameters("sslmode=verify-full"), ["sslmode", "sslrootcert"]),
        (parameters("sslmode=verify-full&sslrootcert="), ["sslrootcert", "empty"]),
        (
            parameters("sslmode=require&sslrootcert=system"),
            ["sslmode", "verify-full"],
        ),
        (parameters("sslmode=require&ssl%6Dode=disable"), ["sslmode", "twice"]),
    ] {
        let mut setup = elsewhere(|_| url.clone()).await;
        for arguments in [&["config", "check"][..], &["client", "list"], &["doctor"], &["serve"]] {
            let output = setup.run(arguments);
            rejected(&output, 2, &["OAUTH2_DATABASE_URL"]);
            rejected(&output, 2, &words);
            assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
        }
        let file = setup.directory().join("url");
        std::fs::write(&file, &url).unwrap();
        setup.unset("OAUTH2_DATABASE_URL");
        setup.set("OAUTH2_DATABASE_URL_FILE", file.to_str().unwrap());
        rejected(&setup.run(&["config", "check"]), 2, &["OAUTH2_DATABASE_URL_FILE"]);
    }
    // What depends on files is found where they are opened.
    let missing = elsewhere(|_| parameters("sslmode=verify-full&sslrootcert=nowhere.pem")).await;
    stdout_of(&missing, &["config", "check"]);
    sentences(&missing, &["nowhere.pem", "cannot be read"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn password_with_an_unescaped_at_sign_is_not_printed() {
    for password in ["oops@hunter2", "oops@hunter2/x"] {
        let setup = elsewhere(|_| format!("postgres://app:{password}@127.0.0.1:{}/x", ports::free())).await;
        sentences(&setup, &["%40"], false);
    }
}

/// A server waits for its database; a subcommand fails at once.
#[tokio::test(flavor = "multi_thread")]
async fn only_serve_waits_for_an_unreachable_database() {
    let port = ports::free();
    let setup = elsewhere(|_| format!("postgres://app:{PASSWORD}@127.0.0.1:{port}/x")).await;
    sentences(&setup, &[&format!("127.0.0.1:{port}"), "refused"], false);

    let mut process = setup.spawn();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = async |path: &str| {
        let response = http
            .get(format!("http://127.0.0.1:{}{path}", setup.public))
            .send()
            .await;
        response.map(|response| response.status()).ok()
    };
    let up = tokio::time::timeout(Duration::from_secs(20), async {
        while status("/health").await != Some(StatusCode::OK) || !process.stderr().contains("waiting for the store") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    up.await.expect("the process is healthy while it waits");
    assert_eq!(status("/ready").await, Some(StatusCode::SERVICE_UNAVAILABLE));
    rejected(&setup.run(&["healthcheck"]), 3, &["not ready"]);
    assert!(process.exit_status().is_none());
    stdout_of(&setup, &["config", "check"]);
    process.signal("TERM");
    assert_eq!(process.wait(Duration::from_secs(20)).await.code(), Some(0));
    let log = process.stderr();
    assert!(!log.contains("hunter2"), "{log}");
}
