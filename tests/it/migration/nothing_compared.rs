//! `migrate-check`: a check that compared nothing is no success.

use oauth2_testkit::{Kind, Output, Server};
use serde_json::{Value, json};

use super::check::{OF_ANOTHER_URL, SECRET, check, register, servers};
use super::parsed;

on_both_stores!(
    clients_without_a_token_of_the_old_issuer_are_not_compared,
    log_without_a_success_at_both_issuers_is_not_compared,
);

fn run(old: &Server, new: &Server, clients: &str, more: &[&str]) -> Output {
    check(old, new, clients, &[&OF_ANOTHER_URL[..], more].concat())
}

/// Clients that both issuers reject alike: a wrong secret, an unknown client and a scope that is not registered.
async fn clients_without_a_token_of_the_old_issuer_are_not_compared(kind: Kind) {
    let (old, new) = servers(kind).await;
    for server in [&old, &new] {
        register(server, "a", json!({})).await;
    }
    let wrong = "another-secret-than-that-of-the-client";
    for (row, reason) in [
        (format!("a,{wrong},"), "401 invalid_client"),
        (format!("unknown,{SECRET},"), "401 invalid_client"),
        (format!("a,{SECRET},root"), "400 invalid_scope"),
    ] {
        let clients = format!("client_id,client_secret,scope\n{row}\n");
        let id = row.split(',').next();
        let output = run(&old, &new, &clients, &["--json"]);
        assert_eq!(output.code, 1, "{row}: {}", output.stdout);
        let report = parsed(&output);
        assert_eq!(
            (&report["clients"]["asked"], &report["clients"]["not_compared"]),
            (&json!(1), &json!(1))
        );
        let difference = of_code(&report, "not_compared.token").unwrap_or_else(|| panic!("{report:#}"));
        let example = json!([{"client_id": id, "old": reason, "new": reason}]);
        assert_eq!(
            (&difference["noticed_by"], &difference["examples"]),
            (&json!("client"), &example)
        );
        let text = run(&old, &new, &clients, &[]).stdout;
        assert!(text.contains("0 without any difference, 1 not compared"), "{text}");
    }
    let clients = format!("client_id,client_secret\na,{SECRET}\n");
    let output = run(&old, &new, &clients, &["--json"]);
    assert_eq!(output.code, 0, "{}", output.stdout);
    assert_eq!(parsed(&output)["clients"]["not_compared"], 0);
}

async fn log_without_a_success_at_both_issuers_is_not_compared(kind: Kind) {
    let (old, new) = servers(kind).await;
    for server in [&old, &new] {
        register(server, "a", json!({})).await;
    }
    let clients = format!("client_id,client_secret\na,{SECRET}\n");
    let log = old.setup.directory().join("mirror.log");
    for (status, code) in [(401, 1), (200, 0)] {
        let line = |side: &str| {
            json!({"time": "2026-01-01T00:00:00+00:00", "id": "1", "side": side, "client": "a", "method": "POST",
                "path": "/token", "status": status.to_string()})
            .to_string()
        };
        std::fs::write(&log, format!("{}\n{}\n", line("old"), line("new"))).unwrap();
        let output = run(&old, &new, &clients, &["--json", "--requests", log.to_str().unwrap()]);
        assert_eq!(output.code, code, "{status}: {}", output.stdout);
        let is_reported = of_code(&parsed(&output), "not_compared.mirrored").is_some();
        assert_eq!(is_reported, code == 1, "{}", output.stdout);
    }
}

fn of_code<'a>(report: &'a Value, code: &str) -> Option<&'a Value> {
    let differences = report["differences"].as_array().unwrap();
    differences.iter().find(|difference| difference["code"] == code)
}
