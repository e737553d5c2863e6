//! The load test of `loadtest/`, run as people run it: `run.sh` with a real k6. Whether its exit code and its report can be
//! trusted; never how fast anything is.

mod desk;
mod peer;
mod peers;
mod restraints;

use std::path::Path;
use std::process::Command;

use oauth2_testkit::{Kind, Output, Process};
use serde_json::json;

use self::desk::{Desk, Liar, PATIENCE, clients, pointed_at, under_load, with};
use crate::start;

on_both_stores!(
    a_smoke_run_of_a_server_of_its_own_holds,
    a_crossed_threshold_is_told_and_nothing_is_left_behind,
);

async fn a_smoke_run_of_a_server_of_its_own_holds(kind: Kind) {
    let desk = Desk::take().await;
    let store = match kind {
        Kind::Sqlite => "sqlite",
        Kind::Postgres => "postgres",
    };
    let output = desk.run(&[("PROFILE", "smoke"), ("STORE", store)]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(
        output.stdout.contains("Load test smoke: thresholds held"),
        "{}",
        output.stdout
    );
    assert!(desk.read_results(&["--report"]).starts_with("ok: 0 of "));

    let summary = desk.summary();
    let scenarios = summary["scenarios"].as_array().unwrap();
    let names: Vec<_> = scenarios.iter().map(|one| one["name"].as_str().unwrap()).collect();
    let expected = [
        "client_credentials_paseto",
        "client_credentials_jwt",
        "client_credentials_opaque",
        "introspect",
        "introspect_batch",
        "revoke",
        "discovery",
        "mix",
        "herd",
        "bad_secrets",
        "bad_secrets_good",
        "limits",
        "limits_good",
        "quotas",
        "auth_failures",
        "auth_failures_good",
        "watch",
    ];
    assert_eq!(names, expected);
    for one in scenarios {
        assert!(one["requests"].as_u64().unwrap() > 0, "{one}");
        assert_eq!(one["failed"], 0, "{one}");
    }
    assert_eq!(summary["exit_code"], 0);
    assert_eq!(summary["configuration"]["STORE"], store);
    let server = &summary["server"];
    assert_eq!(server["version"], env!("CARGO_PKG_VERSION"), "{server}");
    // Nobody else asks this server, so both sides must have counted the same tokens.
    assert_eq!(server["tokens_issued"], server["tokens_received_by_k6"], "{server}");
    assert!(server["commits"].as_u64().unwrap() > 0, "{server}");
    let generator = &summary["generator"];
    for cpu in ["cpu_seconds", "server_cpu_seconds"] {
        assert!(generator[cpu].as_f64().unwrap() > 0.0, "{cpu}: {generator}");
    }
    let url = summary["configuration"]["BASE_URL"].as_str().unwrap();
    assert!(
        reqwest::get(format!("{url}/health")).await.is_err(),
        "its server still answers"
    );
}

async fn a_crossed_threshold_is_told_and_nothing_is_left_behind(kind: Kind) {
    let desk = Desk::take().await;
    let server = start(kind).await;
    let token = server.admin_token().to_owned();
    let place = pointed_at(&server, &token);
    let output = desk.run(&with(&place, &[("DURATION", "3s"), ("P95_MAX", "0.001")]));
    assert_eq!(output.code, 99, "{}{}", output.stdout, output.stderr);
    let told = desk.read_results(&["--secret", &token]);
    assert!(!told.starts_with("ok: 0 of "), "{told}");
    let summary = desk.summary();
    assert_eq!(summary["verdict"], "thresholds crossed");
    assert_eq!(summary["exit_code"], 99);
    let thresholds = summary["thresholds"].as_array().unwrap();
    let crossed = thresholds.iter().filter(|one| one["verdict"] == "crossed");
    for one in crossed {
        assert_eq!(one["expected"], "p(95)<0.001", "{one}");
    }
    assert_eq!(clients(&server).await, Vec::<String>::new());
    assert!(!output.stdout.contains(&token) && !output.stderr.contains(&token));
}

#[test]
fn the_scripts_are_clean() {
    let loadtest = Path::new(env!("CARGO_MANIFEST_DIR")).join("loadtest");
    let output = Output::of(
        Command::new("shellcheck")
            .current_dir(loadtest)
            .args(["-x", "run.sh", "k6.sh"]),
    );
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
}

/// The exit code, a part of what is said, and the environment that leads to it.
type Case<'a> = (i32, &'a str, &'a [(&'a str, &'a str)]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_run_says_why() {
    let desk = Desk::take().await;
    let server = start(Kind::Sqlite).await;
    let (base, admin) = (server.issuer(), server.management_url(""));
    let token = server.admin_token().to_owned();
    let wrong = "an-admin-token-that-is-not-the-right-one";
    let cases: &[Case] = &[
        (2, "PROFILE must be one of smoke, load", &[("PROFILE", "smok")]),
        (2, "SCENARIOS has mixx, which is none of", &[("SCENARIOS", "mixx")]),
        (2, "STORE must be sqlite or postgres", &[("STORE", "mysql")]),
        (2, "DURATION must be a time", &[("DURATION", "soon")]),
        (2, "BASE_URL is missing", &[("ADMIN_TOKEN", wrong)]),
        (
            2,
            "BASE_URL and TOKEN_URL are both given",
            &[("BASE_URL", &base), ("TOKEN_URL", &base)],
        ),
        (2, "TOKEN_URL is missing: REVOKE_URL", &[("REVOKE_URL", &base)]),
        (
            2,
            "CLIENT_AUTH must be one of basic, post, none",
            &[("TOKEN_URL", &base), ("CLIENT_AUTH", "guess")],
        ),
        (
            2,
            "SCENARIOS has mix, which needs endpoints that only oauth2_server has",
            &[
                ("TOKEN_URL", &base),
                ("CLIENT_ID", "one"),
                ("CLIENT_SECRET", wrong),
                ("SCENARIOS", "mix"),
            ],
        ),
        (
            2,
            "SCENARIOS has introspect, which needs an endpoint: give INTROSPECT_URL",
            &[
                ("TOKEN_URL", &base),
                ("CLIENT_ID", "one"),
                ("CLIENT_SECRET", wrong),
                ("SCENARIOS", "introspect"),
            ],
        ),
        (
            2,
            "SCENARIOS has quotas, whose clients ask 80 times: too seldom to pass a quota of 50",
            &[("SCENARIOS", "quotas"), ("QUOTA", "50")],
        ),
        (2, "K6_DURATION would change", &[("K6_DURATION", "1s")]),
        (2, "PROFILE smoke needs a client", &[("BASE_URL", &base)]),
        (
            3,
            "401: ADMIN_TOKEN is not its admin token",
            &[("BASE_URL", &base), ("ADMIN_URL", &admin), ("ADMIN_TOKEN", wrong)],
        ),
        (
            3,
            "BASE_URL http://127.0.0.1:1 does not answer",
            &[
                ("BASE_URL", "http://127.0.0.1:1"),
                ("ADMIN_URL", &admin),
                ("ADMIN_TOKEN", &token),
            ],
        ),
        (
            3,
            "is CLIENT_SECRET its secret?",
            &[("BASE_URL", &base), ("CLIENT_ID", "demo"), ("CLIENT_SECRET", wrong)],
        ),
    ];
    for (index, (code, sentence, environment)) in cases.iter().enumerate() {
        let results = desk.path(&format!("results-{index}"));
        let mut all = environment.to_vec();
        all.push(("RESULTS_DIR", results.to_str().unwrap()));
        let output = desk.run(&all);
        assert_eq!(output.code, *code, "{environment:?}: {}", output.stderr);
        assert!(output.stderr.contains(sentence), "{environment:?}: {}", output.stderr);
        assert!(!output.stderr.contains(wrong), "{}", output.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_existing_client_is_enough() {
    let desk = Desk::take().await;
    let server = start(Kind::Sqlite).await;
    // Encoded in the Authorization header, or it does not get through.
    let secret = "50 % of it: +/&= and \"quotes\", 'both'";
    let client = json!({"scope": "read write", "token_format": "jwt", "client_secret": secret});
    let client = server.register(client).await;
    std::fs::write(desk.path("secret"), format!("{}\n", client.secret)).unwrap();
    let metrics = server.management_url("/metrics");
    let base = server.issuer();
    let output = desk.run(&[
        ("BASE_URL", &base),
        ("METRICS_URL", &metrics),
        ("CLIENT_ID", &client.id),
        ("CLIENT_SECRET_FILE", "secret"),
        ("DURATION", "2s"),
    ]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(
        desk.read_results(&["--secret", &client.secret])
            .starts_with("ok: 0 of ")
    );
    let summary = desk.summary();
    let issuing = &summary["scenarios"][0];
    assert_eq!(issuing["name"], "client_credentials");
    assert!(issuing["requests"].as_u64().unwrap() > 0, "{issuing}");
    assert!(summary["left_out"]["herd"].is_string(), "{}", summary["left_out"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lies_is_found_out() {
    let desk = Desk::take().await;
    let liar = Liar::start();
    let base = liar.url();
    let output = desk.run(&[
        ("BASE_URL", &base),
        ("CLIENT_ID", "somebody"),
        ("CLIENT_SECRET", "a-secret-that-the-liar-never-looks-at"),
        ("SCENARIOS", "introspect revoke bad_secrets"),
        ("DURATION", "2s"),
    ]);
    assert_eq!(output.code, 99, "{}{}", output.stdout, output.stderr);
    let summary = desk.summary();
    let wrong = |scenario: usize, what: &str| summary["scenarios"][scenario]["wrong_answers"][what].as_u64();
    for (scenario, what) in [
        (0, "a revoked token called active"),
        (0, "garbage called active"),
        (1, "a revoked token called active"),
        (2, "a wrong secret accepted"),
    ] {
        assert!(
            wrong(scenario, what).is_some_and(|count| count > 0),
            "{what}: {}",
            output.stdout
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_under_load_is_no_success() {
    let desk = Desk::take().await;
    let mut server = start(Kind::Sqlite).await;
    let token = server.admin_token().to_owned();
    let place = pointed_at(&server, &token);
    let mut command = desk.command(&with(
        &place,
        &[("SCENARIOS", "client_credentials"), ("DURATION", "5s")],
    ));
    let mut run = Process::start(&mut command, &desk.path("stderr"));
    under_load(&server, &mut run).await;
    server.process.kill();
    let code = run.wait(PATIENCE).await.code();
    assert_eq!(code, Some(99), "{}", run.stderr());
    // Nobody could remove them: whoever runs it must be told.
    assert!(
        run.stderr().contains("clients of this run may be left"),
        "{}",
        run.stderr()
    );
    let kinds = desk.summary()["scenarios"][0]["errors"].to_string();
    assert!(kinds.contains("no answer (refused)"), "{kinds}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_removes_its_clients() {
    let desk = Desk::take().await;
    let server = start(Kind::Sqlite).await;
    let token = server.admin_token().to_owned();
    let place = pointed_at(&server, &token);
    let more = [("SCENARIOS", "client_credentials"), ("DURATION", "60s")];

    let mut run = Process::start(&mut desk.command(&with(&place, &more)), &desk.path("stderr"));
    under_load(&server, &mut run).await;
    run.signal("TERM");
    assert_eq!(run.wait(PATIENCE).await.code(), Some(143), "{}", run.stderr());
    assert_eq!(clients(&server).await, Vec::<String>::new(), "{}", run.stderr());
    assert_eq!(desk.summary()["verdict"], "ended early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clients_of_a_killed_generator_are_removed() {
    let desk = Desk::take().await;
    let server = start(Kind::Sqlite).await;
    let token = server.admin_token().to_owned();
    let place = pointed_at(&server, &token);
    let more = [("SCENARIOS", "client_credentials"), ("DURATION", "60s")];

    let mut run = Process::start(&mut desk.command(&with(&place, &more)), &desk.path("stderr"));
    under_load(&server, &mut run).await;
    let parent = run.id().to_string();
    let killed = Command::new("pkill")
        .args(["-KILL", "-x", "-P", &parent, "k6"])
        .status();
    assert!(killed.unwrap().success(), "k6 is a child of run.sh");
    assert_eq!(run.wait(PATIENCE).await.code(), Some(3), "{}", run.stderr());
    assert_eq!(clients(&server).await, Vec::<String>::new(), "{}", run.stderr());
    assert!(
        !desk.results().join("summary.json").exists(),
        "it has measured nothing to the end"
    );
}
