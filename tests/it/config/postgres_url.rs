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

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_makes_no_sense_is_refused() {
    for url in [
        format!("postgres://app:{PASSWORD}@127.0.0.1:port/x"),
        format!("postgres://app:{PASSWORD}@127.0.0.1:5432/x?nonsense={PASSWORD}"),
        format!("postgres://app:{PASSWORD}@127.0.0.1:5432/x?sslmode=verify-full"),
    ] {
        let setup = elsewhere(|_| url.clone()).await;
        sentences(&setup, &["database URL"], true);
    }
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
