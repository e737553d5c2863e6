//! URLs of Postgres that lead nowhere.

use std::time::Duration;

use oauth2_testkit::postgres::{GUARDED, connect};
use oauth2_testkit::{Kind, Postgres, Setup, ports};
use reqwest::StatusCode;

use crate::cli::{answer, refused};
use crate::setup;

const PASSWORD: &str = "hunter2-is-not-it";

/// The database of a setup, as somebody else or somewhere else.
async fn elsewhere(change: impl Fn(&str) -> String) -> Setup {
    let setup = setup(Kind::Postgres).await;
    let url = change(setup.database_url().unwrap());
    setup.with("OAUTH2_DATABASE_URL", url)
}

fn sentences(setup: &Setup, words: &[&str], serve: bool) {
    let commands = [
        &["migrate"][..],
        &["client", "list"],
        &["client", "create"],
        &["key", "list"],
        &["serve"],
    ];
    for arguments in &commands[..commands.len() - usize::from(!serve)] {
        let output = setup.run(arguments);
        refused(&output, 3, words);
        assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    }
    let doctor = setup.run(&["doctor"]);
    assert_eq!(doctor.code, 3, "{}", doctor.stdout);
    let told = doctor.stdout + &doctor.stderr;
    assert!(told.contains("FAILED") && !told.contains("hunter2"), "{told}");
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_never_shown() {
    let url = Postgres::shared().url("postgres");
    let role = format!("CREATE ROLE {GUARDED} LOGIN PASSWORD 'the-right-one'");
    connect(&url).await.batch_execute(&role).await.unwrap();
    let with = |user: String| elsewhere(move |url| url.replace("postgres@", &user));
    let wrong = with(format!("{GUARDED}:{PASSWORD}@")).await;
    sentences(&wrong, &["password", GUARDED, "database URL"], true);
    let none = with(format!("{GUARDED}@")).await;
    sentences(&none, &["password", "database URL"], true);
    let right = with(format!("{GUARDED}:the-right-one@")).await;
    refused(&right.run(&["client", "list"]), 3, &["oauth2_server migrate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_or_user_that_is_not_there_is_named() {
    let missing = elsewhere(|url| format!("{}/nothing-here", url.rsplit_once('/').unwrap().0)).await;
    sentences(&missing, &["nothing-here", "does not exist"], true);
    let nobody = elsewhere(|url| url.replace("postgres@", &format!("nobody:{PASSWORD}@"))).await;
    sentences(&nobody, &["nobody", "does not exist"], true);
}

/// Before anything is opened, and with the name of the parameter.
#[tokio::test]
async fn a_url_that_makes_no_sense_is_a_mistake_of_the_configuration() {
    let parameters = |text: &str| format!("postgres://app:{PASSWORD}@127.0.0.1:5432/x?{text}");
    for (url, words) in [
        (
            format!("postgres://app:{PASSWORD}@127.0.0.1:port/x"),
            ["cannot be read", "must "],
        ),
        (
            parameters(&format!("nonsense={PASSWORD}")),
            ["\"nonsense\"", "take it out"],
        ),
        (parameters("sslcrl=x.pem"), ["\"sslcrl\"", "take it out"]),
        (parameters("SSLMODE=require"), ["\"SSLMODE\"", "take it out"]),
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
            refused(&output, 2, &["OAUTH2_DATABASE_URL"]);
            refused(&output, 2, &words);
            assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
        }
        let file = setup.directory().join("url");
        std::fs::write(&file, &url).unwrap();
        setup.unset("OAUTH2_DATABASE_URL");
        setup.set("OAUTH2_DATABASE_URL_FILE", file.to_str().unwrap());
        refused(&setup.run(&["config", "check"]), 2, &["OAUTH2_DATABASE_URL_FILE"]);
    }
    // What depends on files is found where they are opened.
    let missing = elsewhere(|_| parameters("sslmode=verify-full&sslrootcert=nowhere.pem")).await;
    answer(&missing, &["config", "check"]);
    sentences(&missing, &["nowhere.pem", "cannot be read"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_an_at_sign_in_a_password_is_not_shown() {
    for password in ["oops@hunter2", "oops@hunter2/x"] {
        let setup = elsewhere(|_| format!("postgres://app:{password}@127.0.0.1:{}/x", ports::free())).await;
        sentences(&setup, &["%40"], false);
    }
}

/// A server waits for its database; whoever asks one question is told at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_is_waited_for_by_serve_alone() {
    let port = ports::free();
    let setup = elsewhere(|_| format!("postgres://app:{PASSWORD}@127.0.0.1:{port}/x")).await;
    sentences(&setup, &[&format!("127.0.0.1:{port}"), "refused"], false);

    let mut process = setup.spawn();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = async |path: &str| {
        let answer = http
            .get(format!("http://127.0.0.1:{}{path}", setup.public))
            .send()
            .await;
        answer.map(|answer| answer.status()).ok()
    };
    let up = tokio::time::timeout(Duration::from_secs(20), async {
        while status("/health").await != Some(StatusCode::OK) || !process.stderr().contains("waiting for the store") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    up.await.expect("the process is healthy while it waits");
    assert_eq!(status("/ready").await, Some(StatusCode::SERVICE_UNAVAILABLE));
    refused(&setup.run(&["healthcheck"]), 3, &["not ready"]);
    assert!(process.ended().is_none());
    let log = process.stderr();
    assert!(!log.contains("hunter2"), "{log}");
    answer(&setup, &["config", "check"]);
    process.signal("TERM");
    assert_eq!(process.wait(Duration::from_secs(20)).await.code(), Some(0));
}
