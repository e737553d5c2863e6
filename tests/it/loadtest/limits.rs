//! The scenarios `limits`, `quotas` and `auth_failures`: they pass against a server that enforces its limits, and report what is
//! wrong with one that does not.

use std::time::Duration;

use oauth2_testkit::{DedicatedServer, Kind, Process, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::harness::{FaultyServer, LoadtestHarness, TIMEOUT, loadtest_clients, target_of, with};
use crate::quotas::not_at_the_full_hour;
use crate::{setup, start};

const ALL: &str = "limits quotas auth_failures";
const NO_RATE_LIMIT_FIELDS: &str = "response without the RateLimit fields of its limit";
const NO_RETRY_AFTER: &str = "429 without a valid Retry-After";

/// The result of a scenario.
fn scenario<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let all = summary["scenarios"].as_array().unwrap();
    let found = all.iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {all:?}"))
}

/// The number of wrong answers of a type in a scenario.
fn wrong(summary: &Value, name: &str, what: &str) -> u64 {
    scenario(summary, name)["wrong_answers"][what].as_u64().unwrap_or(0)
}

/// The metrics of a scenario whose thresholds were crossed.
fn crossed<'a>(summary: &'a Value, name: &str) -> Vec<&'a str> {
    let all = summary["thresholds"].as_array().unwrap();
    all.iter()
        .filter(|one| one["scenario"] == name && one["verdict"] == "crossed")
        .map(|one| one["metric"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_enforces_its_limits_passes() {
    let harness = LoadtestHarness::acquire().await;
    not_at_the_full_hour().await;
    let server = start(Kind::Sqlite).await;
    let token = server.admin_token().to_owned();
    let target = target_of(&server, &token);
    let output = harness.run(&with(
        &target,
        &[("SCENARIOS", ALL), ("RATE", "60"), ("DURATION", "5s")],
    ));
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(harness.check_results(&["--secret", &token]).starts_with("ok: 0 of "));

    let summary = harness.summary();
    let thresholds = summary["thresholds"].as_array().unwrap();
    for (name, client) in [("limits", "limited"), ("quotas", "quota"), ("auth_failures", "victim")] {
        for number in 0..2 {
            let metric = format!("rejections{{scenario:{name},client:{client}-{number}}}");
            assert!(thresholds.iter().any(|one| one["metric"] == metric), "{metric}");
        }
    }
    let metrics = &summary["server"];
    assert_eq!(metrics["tokens_issued"], metrics["tokens_received_by_k6"], "{metrics}");
    // By the server's own count, two clients got twenty tokens each, and all other requests were rejected.
    let requests = scenario(&summary, "quotas")["requests"].as_u64().unwrap();
    assert_eq!(metrics["rejects"]["quota_exceeded"], requests - 40, "{metrics}");
    assert_eq!(loadtest_clients(&server).await, Vec::<String>::new());
}

/// Waits until a run has registered its clients, and patches those whose ids end as given.
async fn patch_clients(server: &Server, run: &mut Process, patches: &[(&str, Value)]) {
    let registered = async {
        loop {
            assert!(run.exit_status().is_none(), "the run ended: {}", run.stderr());
            let all = loadtest_clients(server).await;
            let with_suffix = |suffix: &str| all.iter().find(|id| id.ends_with(suffix)).cloned();
            let found: Option<Vec<_>> = patches.iter().map(|(suffix, _)| with_suffix(suffix)).collect();
            if let Some(found) = found {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ids = tokio::time::timeout(TIMEOUT, registered)
        .await
        .expect("the run registers its clients");
    for (id, (_, patch)) in ids.iter().zip(patches) {
        let request = server.admin(Method::PATCH, &format!("/clients/{id}")).json(patch);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_and_wrong_limits_are_detected() {
    let harness = LoadtestHarness::acquire().await;
    not_at_the_full_hour().await;
    let observing = setup(Kind::Sqlite)
        .await
        .with("OAUTH2_LIMITS_AUTH_FAILURES_MODE", "observe");
    let server = DedicatedServer::start(observing).await;
    let token = server.admin_token().to_owned();
    let target = target_of(&server, &token);
    let mut environment = with(&target, &[("SCENARIOS", ALL), ("RATE", "60"), ("DURATION", "5s")]);
    // Leaves time to patch the clients before the load begins.
    environment.retain(|(name, _)| *name != "SETTLE");
    environment.push(("SETTLE", "4s"));
    let mut run = Process::start(&mut harness.command(&environment), &harness.path("stderr"));
    let patches = [
        ("-limited-0", json!({"rate_limits": null})),
        ("-limited-1", json!({"rate_limits": {"token": "1/h:6"}})),
        ("-quota-0", json!({"quotas": null})),
        ("-quota-1", json!({"quotas": {"hour": 3}})),
    ];
    patch_clients(&server, &mut run, &patches).await;
    assert_eq!(run.wait(TIMEOUT).await.code(), Some(99), "{}", run.stderr());

    let summary = harness.summary();
    for (name, what) in [
        ("limits", "more requests admitted than the rate limit allows"),
        ("limits", "fewer requests admitted than the rate limit allows"),
        ("limits", NO_RATE_LIMIT_FIELDS),
        ("quotas", "more tokens issued than the quota allows"),
        ("quotas", "fewer tokens issued than the quota allows"),
        ("quotas", NO_RATE_LIMIT_FIELDS),
    ] {
        assert!(wrong(&summary, name, what) > 0, "{what}: {}", summary["scenarios"]);
    }
    for (name, client) in [("limits", "limited-0"), ("quotas", "quota-0")] {
        let metric = format!("rejections{{scenario:{name},client:{client}}}");
        let found = crossed(&summary, name);
        assert!(found.contains(&metric.as_str()), "{found:?}");
    }
    let unlimited = [
        "rejections{scenario:auth_failures,client:victim-0}",
        "rejections{scenario:auth_failures,client:victim-1}",
    ];
    assert_eq!(crossed(&summary, "auth_failures"), unlimited);
    for name in ["limits_good", "auth_failures_good"] {
        assert_eq!(crossed(&summary, name), Vec::<&str>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejection_of_unlimited_clients_is_detected() {
    let harness = LoadtestHarness::acquire().await;
    let limiting_everyone = setup(Kind::Sqlite).await.with("OAUTH2_LIMITS_TOKEN", "3/h");
    let server = DedicatedServer::start(limiting_everyone).await;
    let token = server.admin_token().to_owned();
    let target = target_of(&server, &token);
    let output = harness.run(&with(
        &target,
        &[
            ("SCENARIOS", "limits"),
            ("RATE", "40"),
            ("DURATION", "2s"),
            ("CLIENTS", "1"),
        ],
    ));
    assert_eq!(output.code, 99, "{}{}", output.stdout, output.stderr);
    let summary = harness.summary();
    assert_eq!(crossed(&summary, "limits"), Vec::<&str>::new());
    let errors = &scenario(&summary, "limits_good")["errors"];
    assert!(errors["429 too_many_requests"].as_u64() > Some(0), "{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_headers_of_429_responses_are_detected() {
    let harness = LoadtestHarness::acquire().await;
    let server = start(Kind::Sqlite).await;
    let proxy = FaultyServer::stripping_headers(&server);
    let token = server.admin_token().to_owned();
    let mut target = target_of(&server, &token);
    target[0].1 = proxy.url();
    let output = harness.run(&with(
        &target,
        &[
            ("SCENARIOS", "limits quotas"),
            ("RATE", "40"),
            ("DURATION", "2s"),
            ("CLIENTS", "1"),
        ],
    ));
    assert_eq!(output.code, 99, "{}{}", output.stdout, output.stderr);
    let summary = harness.summary();
    for name in ["limits", "quotas"] {
        for what in [NO_RETRY_AFTER, NO_RATE_LIMIT_FIELDS] {
            assert!(wrong(&summary, name, what) > 0, "{what}: {}", scenario(&summary, name));
        }
        // Their status is expected, so they are not counted as failed requests.
        assert_eq!(scenario(&summary, name)["failed"], 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lockout_of_an_attacked_client_is_detected() {
    let harness = LoadtestHarness::acquire().await;
    let faulty = FaultyServer::locking_out();
    let base = faulty.url();
    let output = harness.run(&[
        ("BASE_URL", &base),
        ("CLIENT_ID", "client"),
        ("CLIENT_SECRET", "a-secret-that-is-right-until-others-fail"),
        ("SCENARIOS", "auth_failures"),
        ("DURATION", "2s"),
    ]);
    assert_eq!(output.code, 99, "{}{}", output.stdout, output.stderr);
    let summary = harness.summary();
    assert!(
        wrong(&summary, "auth_failures_good", "correct secret rejected") > 0,
        "{}",
        output.stdout
    );
    assert_eq!(wrong(&summary, "auth_failures", "wrong secret accepted"), 0);
    assert!(
        wrong(&summary, "auth_failures", NO_RETRY_AFTER) > 0,
        "{}",
        output.stdout
    );
}
