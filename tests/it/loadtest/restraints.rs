//! The scenarios of rates, quotas and a flood at few clients: they hold against a server that keeps its word, and say what is
//! wrong with one that does not.

use std::time::Duration;

use oauth2_testkit::{Kind, Process, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::desk::{Desk, Liar, PATIENCE, clients, pointed_at, with};
use crate::quotas::not_at_the_full_hour;
use crate::{setup, start};

const ALL: &str = "limits quotas auth_failures";

/// A scenario of the summary.
fn scenario<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let all = summary["scenarios"].as_array().unwrap();
    let found = all.iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {all:?}"))
}

/// How often a scenario had a wrong answer of this kind.
fn wrong(summary: &Value, name: &str, what: &str) -> u64 {
    scenario(summary, name)["wrong_answers"][what].as_u64().unwrap_or(0)
}

/// The thresholds of a scenario that were crossed.
fn crossed<'a>(summary: &'a Value, name: &str) -> Vec<&'a str> {
    let all = summary["thresholds"].as_array().unwrap();
    all.iter()
        .filter(|one| one["scenario"] == name && one["verdict"] == "crossed")
        .map(|one| one["metric"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_keeps_its_limits_holds() {
    let desk = Desk::take().await;
    not_at_the_full_hour().await;
    let server = start(Kind::Sqlite).await;
    let token = server.admin_token().to_owned();
    let place = pointed_at(&server, &token);
    let output = desk.run(&with(&place, &[("SCENARIOS", ALL), ("RATE", "60"), ("DURATION", "5s")]));
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(desk.read_results(&["--secret", &token]).starts_with("ok: 0 of "));

    let summary = desk.summary();
    let promised = summary["thresholds"].as_array().unwrap();
    for (name, client) in [("limits", "limited"), ("quotas", "quota"), ("auth_failures", "victim")] {
        for number in 0..2 {
            let metric = format!("refusals{{scenario:{name},client:{client}-{number}}}");
            assert!(promised.iter().any(|one| one["metric"] == metric), "{metric}");
        }
    }
    let seen = &summary["server"];
    assert_eq!(seen["tokens_issued"], seen["tokens_received_by_k6"], "{seen}");
    // The server's own count: two clients with twenty tokens each, the rest refused.
    let asked = scenario(&summary, "quotas")["requests"].as_u64().unwrap();
    assert_eq!(seen["rejects"]["quota_exceeded"], asked - 40, "{seen}");
    assert_eq!(clients(&server).await, Vec::<String>::new());
}

/// Waits until a run has registered its clients, and changes those that this is said of.
async fn change(server: &Server, run: &mut Process, changes: &[(&str, Value)]) {
    let registered = async {
        loop {
            assert!(run.ended().is_none(), "it ended: {}", run.stderr());
            let all = clients(server).await;
            let of = |end: &str| all.iter().find(|id| id.ends_with(end)).cloned();
            let found: Option<Vec<_>> = changes.iter().map(|(end, _)| of(end)).collect();
            if let Some(found) = found {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ids = tokio::time::timeout(PATIENCE, registered)
        .await
        .expect("it has clients");
    for (id, (_, patch)) in ids.iter().zip(changes) {
        let request = server.admin(Method::PATCH, &format!("/clients/{id}")).json(patch);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_these_limits_is_found_out() {
    let desk = Desk::take().await;
    not_at_the_full_hour().await;
    let observing = setup(Kind::Sqlite)
        .await
        .with("OAUTH2_LIMITS_AUTH_FAILURES_MODE", "observe");
    let server = Server::start(observing).await;
    let token = server.admin_token().to_owned();
    let place = pointed_at(&server, &token);
    let mut environment = with(&place, &[("SCENARIOS", ALL), ("RATE", "60"), ("DURATION", "5s")]);
    // Time for the changes below, before there is load.
    environment.retain(|(name, _)| *name != "SETTLE");
    environment.push(("SETTLE", "4s"));
    let mut run = Process::start(&mut desk.command(&environment), &desk.path("stderr"));
    let changes = [
        ("-limited-0", json!({"rate_limits": null})),
        ("-limited-1", json!({"rate_limits": {"token": "1/h:6"}})),
        ("-quota-0", json!({"quotas": null})),
        ("-quota-1", json!({"quotas": {"hour": 3}})),
    ];
    change(&server, &mut run, &changes).await;
    assert_eq!(run.wait(PATIENCE).await.code(), Some(99), "{}", run.stderr());

    let summary = desk.summary();
    for (name, what) in [
        ("limits", "more let through than the rate"),
        ("limits", "less let through than the rate"),
        ("limits", "an answer without the RateLimit fields of its limit"),
        ("quotas", "more tokens than the quota"),
        ("quotas", "fewer tokens than the quota"),
        ("quotas", "an answer without the RateLimit fields of its limit"),
    ] {
        assert!(wrong(&summary, name, what) > 0, "{what}: {}", summary["scenarios"]);
    }
    for (name, client) in [("limits", "limited-0"), ("quotas", "quota-0")] {
        let metric = format!("refusals{{scenario:{name},client:{client}}}");
        let found = crossed(&summary, name);
        assert!(found.contains(&metric.as_str()), "{found:?}");
    }
    let unchecked = [
        "refusals{scenario:auth_failures,client:victim-0}",
        "refusals{scenario:auth_failures,client:victim-1}",
    ];
    assert_eq!(crossed(&summary, "auth_failures"), unchecked);
    for name in ["limits_good", "auth_failures_good"] {
        assert_eq!(crossed(&summary, name), Vec::<&str>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_hits_others_is_found_out() {
    let desk = Desk::take().await;
    let everybodys = setup(Kind::Sqlite).await.with("OAUTH2_LIMITS_TOKEN", "3/h");
    let server = Server::start(everybodys).await;
    let token = server.admin_token().to_owned();
    let place = pointed_at(&server, &token);
    let output = desk.run(&with(
        &place,
        &[
            ("SCENARIOS", "limits"),
            ("RATE", "40"),
            ("DURATION", "2s"),
            ("CLIENTS", "1"),
        ],
    ));
    assert_eq!(output.code, 99, "{}{}", output.stdout, output.stderr);
    let summary = desk.summary();
    assert_eq!(crossed(&summary, "limits"), Vec::<&str>::new());
    let errors = &scenario(&summary, "limits_good")["errors"];
    assert!(errors["429 too_many_requests"].as_u64() > Some(0), "{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_that_say_nothing_are_found_out() {
    let desk = Desk::take().await;
    let server = start(Kind::Sqlite).await;
    let mute = Liar::before(&server);
    let token = server.admin_token().to_owned();
    let mut place = pointed_at(&server, &token);
    place[0].1 = mute.url();
    let output = desk.run(&with(
        &place,
        &[
            ("SCENARIOS", "limits quotas"),
            ("RATE", "40"),
            ("DURATION", "2s"),
            ("CLIENTS", "1"),
        ],
    ));
    assert_eq!(output.code, 99, "{}{}", output.stdout, output.stderr);
    let summary = desk.summary();
    for name in ["limits", "quotas"] {
        for what in [
            "a refusal that does not say when to ask again",
            "an answer without the RateLimit fields of its limit",
        ] {
            assert!(wrong(&summary, name, what) > 0, "{what}: {}", scenario(&summary, name));
        }
        // They were refusals all the same.
        assert_eq!(scenario(&summary, name)["failed"], 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_shuts_a_victim_out_is_found_out() {
    let desk = Desk::take().await;
    let liar = Liar::that_locks();
    let base = liar.url();
    let output = desk.run(&[
        ("BASE_URL", &base),
        ("CLIENT_ID", "somebody"),
        ("CLIENT_SECRET", "a-secret-that-is-right-until-others-fail"),
        ("SCENARIOS", "auth_failures"),
        ("DURATION", "2s"),
    ]);
    assert_eq!(output.code, 99, "{}{}", output.stdout, output.stderr);
    let summary = desk.summary();
    assert!(
        wrong(&summary, "auth_failures_good", "a right secret refused") > 0,
        "{}",
        output.stdout
    );
    assert_eq!(wrong(&summary, "auth_failures", "a wrong secret accepted"), 0);
    let silent = "a refusal that does not say when to ask again";
    assert!(wrong(&summary, "auth_failures", silent) > 0, "{}", output.stdout);
}
