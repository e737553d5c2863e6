//! The load test of `loadtest/`: `run.sh` with a real k6. Checks its exit code and its report, never how fast anything is.

mod adapters;
mod comparison;
pub(crate) mod comparison_harness;
mod external;
mod harness;
mod limits;

use std::path::Path;
use std::process::Command;

use oauth2_testkit::{Kind, Output, Process};
use serde_json::json;

use self::harness::{FaultyServer, LoadtestHarness, TIMEOUT, loadtest_clients, target_of, wait_for_load, with};
use crate::start;

on_both_stores!(
    smoke_profile_passes_on_a_server_started_by_the_run,
    crossed_threshold_exits_99_and_clients_are_removed,
);

async fn smoke_profile_passes_on_a_server_started_by_the_run(kind: Kind) {
    let harness = LoadtestHarness::acquire().await;
    let store = match kind {
        Kind::Sqlite => "sqlite",
        Kind::Postgres => "postgres",
    };
    let output = harness.run(&[("PROFILE", "smoke"), ("STORE", store)]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(
        output.stdout.contains("Load test smoke: thresholds held"),
        "{}",
        output.stdout
    );
    assert!(harness.check_results(&["--report"]).starts_with("ok: 0 of "));

    let summary = harness.summary();
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
    // The server has no other traffic, so the server and k6 must have counted the same tokens.
    assert_eq!(server["tokens_issued"], server["tokens_received_by_k6"], "{server}");
    assert!(server["commits"].as_u64().unwrap() > 0, "{server}");
    let generator = &summary["generator"];
    for cpu in ["cpu_seconds", "server_cpu_seconds"] {
        assert!(generator[cpu].as_f64().unwrap() > 0.0, "{cpu}: {generator}");
    }
    let url = summary["configuration"]["BASE_URL"].as_str().unwrap();
    assert!(
        reqwest::get(format!("{url}/health")).await.is_err(),
        "its server is still running"
    );
}

/// Three servers on one Postgres and one Redis, behind `HAProxy`: rates and quotas hold as on one server, and no request fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smoke_profile_passes_on_three_nodes() {
    let harness = LoadtestHarness::acquire().await;
    let output = harness.run(&[("PROFILE", "smoke"), ("STORE", "postgres"), ("NODES", "3")]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let rejected = harness.run(&[("PROFILE", "smoke"), ("NODES", "3")]);
    assert!(
        rejected.code == 2 && rejected.stderr.contains("STORE=postgres"),
        "{}",
        rejected.stderr
    );
}

/// The server's own TLS, with a certificate that only this run trusts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smoke_profile_passes_over_tls() {
    let harness = LoadtestHarness::acquire().await;
    let output = harness.run(&[("PROFILE", "smoke"), ("TLS", "1")]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let summary = harness.summary();
    let url = summary["configuration"]["BASE_URL"].as_str().unwrap();
    assert!(url.starts_with("https://"), "{url}");
    for (name, sentence) in [("NODES", "TLS=1 requires NODES=1"), ("BASE_URL", "TLS must not be set")] {
        let value = if name == "NODES" { "2" } else { "https://auth.example" };
        let rejected = harness.run(&[("TLS", "1"), ("STORE", "postgres"), (name, value)]);
        assert!(
            rejected.code == 2 && rejected.stderr.contains(sentence),
            "{}",
            rejected.stderr
        );
    }
}

async fn crossed_threshold_exits_99_and_clients_are_removed(kind: Kind) {
    let harness = LoadtestHarness::acquire().await;
    let server = start(kind).await;
    let token = server.admin_token().to_owned();
    let target = target_of(&server, &token);
    let output = harness.run(&with(&target, &[("DURATION", "3s"), ("P95_MAX", "0.001")]));
    assert_eq!(output.code, 99, "{}{}", output.stdout, output.stderr);
    let checked = harness.check_results(&["--secret", &token]);
    assert!(!checked.starts_with("ok: 0 of "), "{checked}");
    let summary = harness.summary();
    assert_eq!(summary["verdict"], "thresholds crossed");
    assert_eq!(summary["exit_code"], 99);
    let thresholds = summary["thresholds"].as_array().unwrap();
    let crossed = thresholds.iter().filter(|one| one["verdict"] == "crossed");
    for one in crossed {
        assert_eq!(one["expected"], "p(95)<0.001", "{one}");
    }
    assert_eq!(loadtest_clients(&server).await, Vec::<String>::new());
    assert!(!output.stdout.contains(&token) && !output.stderr.contains(&token));
}

#[test]
fn shellcheck_accepts_the_scripts() {
    let loadtest = Path::new(env!("CARGO_MANIFEST_DIR")).join("loadtest");
    let output = Output::of(
        Command::new("shellcheck")
            .current_dir(loadtest)
            .args(["-x", "run.sh", "k6.sh"]),
    );
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
}

/// An exit code, a part of the error message, and the environment that causes them.
type Case<'a> = (i32, &'a str, &'a [(&'a str, &'a str)]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_configuration_is_reported() {
    let harness = LoadtestHarness::acquire().await;
    let server = start(Kind::Sqlite).await;
    let (base, admin) = (server.issuer(), server.management_url(""));
    let token = server.admin_token().to_owned();
    let wrong = "an-admin-token-that-is-not-the-right-one";
    let cases: &[Case] = &[
        (2, "PROFILE must be one of smoke, load", &[("PROFILE", "smok")]),
        (2, "SCENARIOS has mixx, which is none of", &[("SCENARIOS", "mixx")]),
        (2, "STORE must be sqlite or postgres", &[("STORE", "mysql")]),
        (2, "DURATION must be a duration", &[("DURATION", "soon")]),
        (2, "BASE_URL is missing", &[("ADMIN_TOKEN", wrong)]),
        (
            2,
            "BASE_URL and TOKEN_URL are mutually exclusive",
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
            "SCENARIOS has introspect, which needs an endpoint: set INTROSPECT_URL",
            &[
                ("TOKEN_URL", &base),
                ("CLIENT_ID", "one"),
                ("CLIENT_SECRET", wrong),
                ("SCENARIOS", "introspect"),
            ],
        ),
        (
            2,
            "SCENARIOS has quotas, whose clients send 80 requests each: too few to exceed a quota of 50",
            &[("SCENARIOS", "quotas"), ("QUOTA", "50")],
        ),
        (2, "K6_DURATION must not be set", &[("K6_DURATION", "1s")]),
        (2, "PROFILE smoke needs a client", &[("BASE_URL", &base)]),
        (
            3,
            "401: ADMIN_TOKEN is not its admin token",
            &[("BASE_URL", &base), ("ADMIN_URL", &admin), ("ADMIN_TOKEN", wrong)],
        ),
        (
            3,
            "BASE_URL http://127.0.0.1:1 does not return authorization server metadata",
            &[
                ("BASE_URL", "http://127.0.0.1:1"),
                ("ADMIN_URL", &admin),
                ("ADMIN_TOKEN", &token),
            ],
        ),
        (
            3,
            "check CLIENT_SECRET",
            &[("BASE_URL", &base), ("CLIENT_ID", "demo"), ("CLIENT_SECRET", wrong)],
        ),
    ];
    for (index, (code, sentence, environment)) in cases.iter().enumerate() {
        let results = harness.path(&format!("results-{index}"));
        let mut all = environment.to_vec();
        all.push(("RESULTS_DIR", results.to_str().unwrap()));
        let output = harness.run(&all);
        assert_eq!(output.code, *code, "{environment:?}: {}", output.stderr);
        assert!(output.stderr.contains(sentence), "{environment:?}: {}", output.stderr);
        assert!(!output.stderr.contains(wrong), "{}", output.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_existing_client_is_sufficient() {
    let harness = LoadtestHarness::acquire().await;
    let server = start(Kind::Sqlite).await;
    // Contains characters that must be form-encoded in the Authorization header.
    let secret = "50 % of it: +/&= and \"quotes\", 'both'";
    let client = json!({"scope": "read write", "token_format": "jwt", "client_secret": secret});
    let client = server.register(client).await;
    std::fs::write(harness.path("secret"), format!("{}\n", client.secret)).unwrap();
    let metrics = server.management_url("/metrics");
    let base = server.issuer();
    let output = harness.run(&[
        ("BASE_URL", &base),
        ("METRICS_URL", &metrics),
        ("CLIENT_ID", &client.id),
        ("CLIENT_SECRET_FILE", "secret"),
        ("DURATION", "2s"),
    ]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(
        harness
            .check_results(&["--secret", &client.secret])
            .starts_with("ok: 0 of ")
    );
    let summary = harness.summary();
    let issuing = &summary["scenarios"][0];
    assert_eq!(issuing["name"], "client_credentials");
    assert!(issuing["requests"].as_u64().unwrap() > 0, "{issuing}");
    assert!(summary["left_out"]["herd"].is_string(), "{}", summary["left_out"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_responses_are_detected() {
    let harness = LoadtestHarness::acquire().await;
    let faulty = FaultyServer::start();
    let base = faulty.url();
    let output = harness.run(&[
        ("BASE_URL", &base),
        ("CLIENT_ID", "client"),
        ("CLIENT_SECRET", "a-secret-that-the-server-never-checks"),
        ("SCENARIOS", "introspect revoke bad_secrets"),
        ("DURATION", "2s"),
    ]);
    assert_eq!(output.code, 99, "{}{}", output.stdout, output.stderr);
    let summary = harness.summary();
    let wrong = |scenario: usize, what: &str| summary["scenarios"][scenario]["wrong_answers"][what].as_u64();
    for (scenario, what) in [
        (0, "revoked token reported active"),
        (0, "invalid token reported active"),
        (1, "revoked token reported active"),
        (2, "wrong secret accepted"),
    ] {
        assert!(
            wrong(scenario, what).is_some_and(|count| count > 0),
            "{what}: {}",
            output.stdout
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_crash_under_load_exits_99() {
    let harness = LoadtestHarness::acquire().await;
    let mut server = start(Kind::Sqlite).await;
    let token = server.admin_token().to_owned();
    let target = target_of(&server, &token);
    let mut command = harness.command(&with(
        &target,
        &[("SCENARIOS", "client_credentials"), ("DURATION", "5s")],
    ));
    let mut run = Process::start(&mut command, &harness.path("stderr"));
    wait_for_load(&server, &mut run).await;
    server.process.kill();
    let code = run.wait(TIMEOUT).await.code();
    assert_eq!(code, Some(99), "{}", run.stderr());
    // The clients could not be removed, which must be reported.
    assert!(
        run.stderr().contains("clients of this run may remain"),
        "{}",
        run.stderr()
    );
    let errors = harness.summary()["scenarios"][0]["errors"].to_string();
    assert!(errors.contains("no response (connection refused)"), "{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_removes_its_clients() {
    let harness = LoadtestHarness::acquire().await;
    let server = start(Kind::Sqlite).await;
    let token = server.admin_token().to_owned();
    let target = target_of(&server, &token);
    let more = [("SCENARIOS", "client_credentials"), ("DURATION", "60s")];

    let mut run = Process::start(&mut harness.command(&with(&target, &more)), &harness.path("stderr"));
    wait_for_load(&server, &mut run).await;
    run.signal("TERM");
    assert_eq!(run.wait(TIMEOUT).await.code(), Some(143), "{}", run.stderr());
    assert_eq!(
        loadtest_clients(&server).await,
        Vec::<String>::new(),
        "{}",
        run.stderr()
    );
    assert_eq!(harness.summary()["verdict"], "ended early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_removed_after_k6_is_killed() {
    let harness = LoadtestHarness::acquire().await;
    let server = start(Kind::Sqlite).await;
    let token = server.admin_token().to_owned();
    let target = target_of(&server, &token);
    let more = [("SCENARIOS", "client_credentials"), ("DURATION", "60s")];

    let mut run = Process::start(&mut harness.command(&with(&target, &more)), &harness.path("stderr"));
    wait_for_load(&server, &mut run).await;
    let parent = run.id().to_string();
    let killed = Command::new("pkill")
        .args(["-KILL", "-x", "-P", &parent, "k6"])
        .status();
    assert!(killed.unwrap().success(), "k6 must be a child of run.sh");
    assert_eq!(run.wait(TIMEOUT).await.code(), Some(3), "{}", run.stderr());
    assert_eq!(
        loadtest_clients(&server).await,
        Vec::<String>::new(),
        "{}",
        run.stderr()
    );
    assert!(
        !harness.results().join("summary.json").exists(),
        "a killed k6 writes no report"
    );
}
