//! Validation of import lines: every line is reported or imported, memory is bounded, and checks against the store apply.

use std::process::Stdio;
use std::time::{Duration, Instant};

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Kind, Output, Server, Setup};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{SECRET, exported};
use crate::cli::migrated;
use crate::{shared, start, unique};

on_both_stores!(
    no_line_is_silently_skipped,
    unclosed_quote_is_reported_with_its_line_range,
    field_with_many_lines_is_parsed_in_linear_time,
    quota_below_the_used_amount_is_rejected,
    rejected_lines_use_bounded_memory,
    written_secrets_belong_to_created_clients,
);

/// Allowed peak of the memory that an import with short lines allocates, KiB: the process, one chunk, and the ids. Pages of the executable are not
/// counted: a debug build has 40 MiB of them.
const MAX_PEAK: u64 = 16 * 1024;

fn import(setup: &Setup, arguments: &[&str], text: &str) -> Output {
    setup.run_with_input(&[&["client", "import", "-", "--format"], arguments].concat(), text)
}

fn ids(setup: &Setup) -> Vec<String> {
    let clients = exported(setup);
    clients
        .iter()
        .map(|client| client["client_id"].as_str().unwrap().to_owned())
        .collect()
}

async fn no_line_is_silently_skipped(kind: Kind) {
    let setup = migrated(kind).await;
    let row = |id: &str, name: &str| format!("{id},{SECRET},{name}\n");
    let text = [
        "client_id,client_secret,client_name\n".to_owned(),
        row("a", "5\" disk"),
        row("b", "B"),
        row("c", "C"),
        row("d", "6\" disk"),
        row("e", "E"),
    ]
    .concat();
    let output = import(&setup, &["csv"], &text);
    assert!(output.code == 2 && ids(&setup).is_empty(), "{}", output.stdout);
    for line in ["line 2", "line 5"] {
        let error = format!("{line}: there is a quote in a field that is not quoted");
        assert!(output.stderr.contains(&error), "{}", output.stderr);
    }
    let output = import(&setup, &["csv", "--skip-refused"], &text);
    assert!(
        output.code == 2 && output.stdout.contains("2 rejected"),
        "{}",
        output.stdout
    );
    assert_eq!(ids(&setup), ["b", "c", "e"]);
    let output = import(&setup, &["csv"], &text.replace('\n', "\r"));
    assert!(
        output.code == 2 && output.stderr.contains("line 1: a line ends in a bare CR"),
        "{}",
        output.stderr
    );
}

async fn unclosed_quote_is_reported_with_its_line_range(kind: Kind) {
    let setup = migrated(kind).await;
    let report = setup.directory().join("rejected.jsonl");
    let text = format!("client_id,client_secret\ngood,{SECRET}\nopen,\"{SECRET}\na,{SECRET}\nb,{SECRET}\nc,{SECRET}\n");
    let output = import(
        &setup,
        &["csv", "--skip-refused", "--report", report.to_str().unwrap()],
        &text,
    );
    assert!(
        output.code == 2 && output.stderr.contains("lines 3 to 6: a quote is not closed"),
        "{}",
        output.stderr
    );
    assert_eq!(ids(&setup), ["good"]);
    let line: Value = serde_json::from_str(std::fs::read_to_string(&report).unwrap().trim()).unwrap();
    assert_eq!((&line["line"], &line["last_line"]), (&json!(3), &json!(6)));
}

async fn field_with_many_lines_is_parsed_in_linear_time(kind: Kind) {
    let setup = migrated(kind).await;
    let record = format!("\"{}\"\n", "\n".repeat(60_000));
    let text = format!("client_id\n{}", record.repeat(8 * 1024 * 1024 / record.len()));
    let began = Instant::now();
    let output = import(&setup, &["csv", "--dry-run"], &text);
    assert!(
        output.code == 2 && output.stdout.contains("139 are rejected"),
        "{}",
        output.stdout
    );
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

async fn quota_below_the_used_amount_is_rejected(kind: Kind) {
    let server = shared(kind).await;
    let (id, new) = (unique("ci"), unique("new"));
    let client = server
        .register(json!({"client_id": id, "client_secret": SECRET, "quotas": {"month": 10}}))
        .await;
    for _ in 0..3 {
        server.token(&client).await;
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.setup.json(&["client", "usage", &id, "--json"])["quotas"][2]["used"] != 3 {
        assert!(Instant::now() < deadline, "the used quota is not saved");
    }
    // Dry runs by the admin API and the command line must agree. Returns the error, or an empty text.
    let dry_run = async |members: Value| {
        let mut line = json!({"client_id": id});
        line.as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        let text = format!("{{\"client_id\":\"{new}\",\"client_secret\":\"{SECRET}\"}}\n{line}\n");
        let request = server.admin(Method::POST, "/clients:import?dry_run=true");
        let request = request.header("content-type", "application/x-ndjson");
        let response = request.body(text.clone()).send().await.unwrap();
        let (status, body) = (response.status(), body_of(response).await);
        let output = import(&server.setup, &["jsonl", "--dry-run"], &text);
        assert_eq!(status == StatusCode::OK, output.code == 0, "{body} {}", output.stderr);
        let error = body["error_description"].as_str().unwrap_or_default().to_owned();
        assert!(
            output
                .stderr
                .contains(error.trim_start_matches("rows must all be valid, so nothing was imported: "))
        );
        error
    };
    let error = "line 2: quotas member month must be at least 3";
    assert!(dry_run(json!({"quotas": {"month": 2}})).await.contains(error));
    assert_eq!(dry_run(json!({"quotas": {"month": 3}})).await, "");
    let observed = json!({"quotas": {"month": 2}, "quota_mode": "observe"});
    assert_eq!(dry_run(observed.clone()).await, "");
    // Enforcing a quota is checked like lowering it.
    let response = server
        .admin(Method::PATCH, &format!("/clients/{id}"))
        .json(&observed)
        .send()
        .await;
    assert_eq!(response.unwrap().status(), StatusCode::OK);
    let enforced = json!({"quotas": {"month": 2}, "quota_mode": "enforce"});
    assert!(dry_run(enforced).await.contains(error));
    let update = ["client", "update", &id, "--quota-mode", "enforce"];
    assert_eq!(server.setup.run(&update).code, 2, "like the update of one client");
    assert!(!ids(&server.setup).contains(&new), "a dry run creates no client");
}

async fn rejected_lines_use_bounded_memory(kind: Kind) {
    const REJECTED: usize = 600_000;
    let setup = migrated(kind).await;
    let (file, report) = (
        setup.directory().join("clients.csv"),
        setup.directory().join("rejected.jsonl"),
    );
    let text = format!("client_id,client_secret\n{}good,{SECRET}\n", "x\n".repeat(REJECTED));
    std::fs::write(&file, text).unwrap();
    let arguments = ["--skip-refused", "--json", "--report", report.to_str().unwrap()];
    let mut command = setup.command(&[&["client", "import", file.to_str().unwrap()], &arguments[..]].concat());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let now = line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap());
        peak = peak.max(now);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let result: Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(
        (&result["created"], &result["refused"]),
        (&json!(1), &json!(REJECTED)),
        "{result}"
    );
    assert!((1..MAX_PEAK).contains(&peak), "{peak} KiB");
    let report = std::fs::read_to_string(&report).unwrap();
    assert_eq!(report.lines().count(), REJECTED);
    let last: Value = serde_json::from_str(report.lines().last().unwrap()).unwrap();
    assert_eq!(last["line"], REJECTED + 1);
}

/// Another process creates one of the clients while the import is writing them.
async fn written_secrets_belong_to_created_clients(kind: Kind) {
    let server = start(kind).await;
    let setup = &server.setup;
    let file = setup.directory().join("lines.jsonl");
    std::fs::write(&file, "{\"client_id\":\"one\"}\n{\"client_id\":\"two\"}\n").unwrap();
    let secrets = setup.directory().join("secrets.csv");
    let arguments = [
        "client",
        "import",
        file.to_str().unwrap(),
        "--secrets-out",
        secrets.to_str().unwrap(),
    ];
    let mut command = setup.command(&arguments);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let insert = |list: &str, now: &str, no: &str| {
        format!(
            "INSERT INTO clients (client_id, grant_types, scope, audience, resource_server, disabled, created_at, updated_at, version)
             VALUES ('two', {list}, '', {no}, {no}, false, {now}, {now}, 1)"
        )
    };
    let written = || std::fs::read_to_string(&secrets).unwrap_or_default();
    let both_are_written = async || {
        let deadline = Instant::now() + Duration::from_secs(20);
        while written().lines().count() < 2 {
            assert!(Instant::now() < deadline, "the secrets are not written");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let child = match kind {
        Kind::Sqlite => {
            let other = setup.sqlite();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            other
                .execute_batch(&insert("'[\"client_credentials\"]'", "1", "'[]'"))
                .unwrap();
            let child = command.spawn().unwrap();
            both_are_written().await;
            other.execute_batch("COMMIT").unwrap();
            child
        }
        Kind::Postgres => {
            let other = oauth2_testkit::postgres::connect(setup.database_url().unwrap()).await;
            other.batch_execute("BEGIN").await.unwrap();
            other
                .batch_execute(&insert("'{client_credentials}'", "now()", "'{}'"))
                .await
                .unwrap();
            let child = command.spawn().unwrap();
            both_are_written().await;
            other.batch_execute("COMMIT").await.unwrap();
            child
        }
    };
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let written = written();
    let written: Vec<_> = written.lines().map(|line| line.split_once(',').unwrap()).collect();
    assert_eq!(written.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["one"]);
    authenticates(&server, written[0]).await;
}

async fn authenticates(server: &Server, (id, secret): (&str, &str)) {
    let client = oauth2_testkit::Credentials::new(id, secret);
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.request_token(&client, &[]).await.status() != StatusCode::OK {
        assert!(Instant::now() < deadline, "{id}");
    }
}
