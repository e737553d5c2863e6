//! Clients in numbers: in, out, and what is wrong with a line.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, Kind, Setup};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cli::migrated;
use crate::start;

mod judged;

on_both_stores!(
    a_killed_import_is_finished_by_the_next,
    what_is_exported_is_imported_elsewhere,
    a_server_takes_imported_clients_over,
    one_bad_line_keeps_all_out,
    secrets_are_made_up_where_somebody_learns_them,
    the_admin_api_imports_all_or_none,
);

const SECRET: &str = "a-secret-that-every-imported-client-has";

fn csv(count: usize) -> String {
    let mut text = "client_id,client_secret,scope,audience\n".to_owned();
    for n in 0..count {
        let _ = writeln!(text, "client-{n:06},{SECRET},read write,https://api.example");
    }
    text
}

fn counts(setup: &Setup, arguments: &[&str], input: &str) -> Value {
    let output = setup.run_with_input(&[&["client", "import", "-", "--json"], arguments].concat(), input);
    assert_eq!(output.code, 0, "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

/// Every client that there is, in the order of the ids.
fn exported(setup: &Setup) -> Vec<Value> {
    let output = setup.run(&["client", "export", "--format", "jsonl", "--with-secret-hashes"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn a_killed_import_is_finished_by_the_next(kind: Kind) {
    const COUNT: usize = 100_000;
    let setup = migrated(kind).await;
    let file = setup.directory().join("clients.csv");
    std::fs::write(&file, csv(COUNT)).unwrap();
    let path = file.to_str().unwrap();
    let mut killed = setup
        .command(&["client", "import", path])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let half = async || match kind {
        Kind::Sqlite => setup
            .sqlite()
            .query_row("SELECT count(*) FROM clients", [], |row| row.get::<_, i64>(0))
            .unwrap(),
        Kind::Postgres => {
            let client = oauth2_testkit::postgres::connect(setup.database_url().unwrap()).await;
            client
                .query_one("SELECT count(*) FROM clients", &[])
                .await
                .unwrap()
                .get(0)
        }
    };
    while half().await < 10_000 {
        assert!(
            killed.try_wait().unwrap().is_none(),
            "it ended before it could be killed"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let done = half().await;
    assert!(done < COUNT as i64 && done % 1000 == 0, "whole chunks, {done}");

    let again = setup.json(&["client", "import", path, "--json"]);
    assert_eq!(again["created"].as_i64().unwrap(), COUNT as i64 - done);
    assert_eq!((&again["unchanged"], &again["updated"]), (&json!(done), &json!(0)));
    assert_eq!(half().await, COUNT as i64);
    let once_more = setup.json(&["client", "import", path, "--json", "--dry-run"]);
    assert_eq!(once_more["refused"], 0);
}

async fn what_is_exported_is_imported_elsewhere(kind: Kind) {
    let first = migrated(kind).await;
    let rich = json!({
        "client_id": "rich", "client_secret": SECRET, "client_name": "The \"CI\", ü", "scope": "read write", "token_format": "jwt",
        "signing_alg": "ES256", "audience": ["https://a.example", "urn:b"], "resource_server": ["https://r.example"],
        "token_ledger": "stateless", "access_token_lifetime": 60, "rate_limits": {"token": "5/s:9"}, "rate_limit_mode": "observe",
        "quotas": {"day": 7}, "quota_mode": "observe", "reuse_percent": 50, "claims": {"tenant": {"id": 7}, "flag": true}, "disabled": true,
    });
    let plain = json!({"client_id": "plain", "client_secret": SECRET});
    counts(&first, &["--format", "jsonl"], &format!("{rich}\n{plain}\n"));
    let before = exported(&first);
    assert_eq!(before.len(), 2);
    for (name, value) in rich
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| *name != "client_secret")
    {
        assert_eq!(before[1][name], *value, "{name}");
    }
    assert!(!format!("{before:?}").contains(SECRET));
    // To the other kind of store, in either layout.
    for format in ["csv", "jsonl"] {
        let other = migrated(if kind == Kind::Sqlite {
            Kind::Postgres
        } else {
            Kind::Sqlite
        })
        .await;
        let text = first
            .run(&["client", "export", "--format", format, "--with-secret-hashes"])
            .stdout;
        assert_eq!(counts(&other, &["--format", format], &text)["created"], 2);
        assert_eq!(exported(&other), before, "{format}");
        assert_eq!(counts(&other, &["--format", format], &text)["unchanged"], 2);
    }
    let file = first.directory().join("out.csv");
    let path = file.to_str().unwrap();
    assert_eq!(first.run(&["client", "export", path]).code, 0);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        !std::fs::read_to_string(&file).unwrap().contains("sha256,\""),
        "no hash unless it is asked for"
    );
    let again = first.run(&["client", "export", path]);
    assert!(
        again.code == 2 && again.stderr.contains("there already"),
        "{}",
        again.stderr
    );
}

async fn a_server_takes_imported_clients_over(kind: Kind) {
    const COUNT: usize = 20_000;
    let server = start(kind).await;
    let own = server.register(json!({})).await;
    let text = csv(COUNT);
    let import = counts(&server.setup, &["--format", "csv"], &text);
    assert_eq!(import["created"], COUNT);
    let last = Credentials::new(format!("client-{:06}", COUNT - 1), SECRET);
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.ask_token(&last, &[]).await.status() != StatusCode::OK {
        assert!(Instant::now() < deadline, "the server does not hear of it");
        // Whoever was there before is served meanwhile.
        server.token(&own).await;
    }
    let changed = text.replace(
        "client-000000,a-secret-that-every-imported-client-has,read write",
        "client-000000,,read",
    );
    let import = counts(&server.setup, &["--format", "csv"], &changed);
    assert_eq!(
        (&import["updated"], &import["unchanged"]),
        (&json!(1), &json!(COUNT - 1))
    );
}

async fn one_bad_line_keeps_all_out(kind: Kind) {
    let setup = migrated(kind).await;
    let good = format!("good,{SECRET},read");
    let refused = |text: &str, words: &[&str]| {
        let output = setup.run_with_input(&["client", "import", "-", "--format", "csv"], text);
        assert_eq!(output.code, 2, "{}", output.stdout);
        for word in words {
            assert!(output.stderr.contains(word), "{} lacks {word}", output.stderr);
        }
        assert!(exported(&setup).is_empty(), "nothing half done");
    };
    let header = "client_id,client_secret,scope";
    refused(
        &format!("{header}\n{good}\nbad id,{SECRET},x\n"),
        &["line 3: client_id must be", "nothing was imported"],
    );
    refused(&format!("{header}\n{good}\n{good}\n"), &["line 3", "good", "line 2"]);
    refused(&format!("{header},colour\n{good},red\n"), &["line 1", "colour"]);
    refused(&format!("{header}\n{good},more\n"), &["line 2", "fields"]);
    refused(
        &format!("{header}\nshort,tiny,x\n"),
        &["line 2: client_secret must be 32"],
    );
    refused(&format!("{header}\nbare,,x\n"), &["line 2", "client_secret_sha256"]);
    refused("client_id,claims\nx,\"{\"\"exp\"\":1}\"\n", &["line 2: claims", "exp"]);
    refused(
        &format!("{header}\n{good}\nopen,\"never closed\n{}", "x\n".repeat(50_000)),
        &["lines 3 to ", "quote"],
    );
    refused("", &["line 1", "header"]);
    let mut bytes = format!("{header}\n{good}\n").into_bytes();
    bytes.extend_from_slice(b"\xff,x,y\n");
    let file = setup.directory().join("broken.csv");
    std::fs::write(&file, bytes).unwrap();
    let output = setup.run(&["client", "import", file.to_str().unwrap()]);
    assert!(
        output.code == 2 && output.stderr.contains("line 3") && output.stderr.contains("UTF-8"),
        "{}",
        output.stderr
    );

    let text = format!("\u{feff}{header}\r\n{good}\r\nbad id,{SECRET},x\r\n");
    let report = setup.directory().join("refused.jsonl");
    let output = setup.run_with_input(
        &[
            "client",
            "import",
            "-",
            "--format",
            "csv",
            "--skip-refused",
            "--report",
            report.to_str().unwrap(),
        ],
        &text,
    );
    assert!(
        output.code == 2 && output.stdout.starts_with("1 clients created"),
        "{}{}",
        output.stdout,
        output.stderr
    );
    let line: Value = serde_json::from_str(std::fs::read_to_string(&report).unwrap().trim()).unwrap();
    assert_eq!(line["line"], 3);
    assert_eq!(exported(&setup)[0]["client_id"], "good");
    let stolen = format!("{header}\ngood,{SECRET}-of-another,read\n");
    let output = setup.run_with_input(&["client", "import", "-", "--format", "csv"], &stolen);
    assert!(
        output.code == 2 && output.stderr.contains("rotate"),
        "{}",
        output.stderr
    );
}

async fn secrets_are_made_up_where_somebody_learns_them(kind: Kind) {
    let server = start(kind).await;
    let file = server.setup.directory().join("secrets.csv");
    let path = file.to_str().unwrap();
    let import = counts(
        &server.setup,
        &["--format", "jsonl", "--secrets-out", path],
        "{\"client_id\":\"one\"}\n{\"client_id\":\"two\"}\n",
    );
    assert_eq!(import["created"], 2);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    for line in std::fs::read_to_string(&file).unwrap().lines() {
        let (id, secret) = line.split_once(',').unwrap();
        let client = Credentials::new(id, secret);
        let deadline = Instant::now() + Duration::from_secs(10);
        while server.ask_token(&client, &[]).await.status() != StatusCode::OK {
            assert!(Instant::now() < deadline, "{id}");
        }
    }
}

async fn the_admin_api_imports_all_or_none(kind: Kind) {
    let server = start(kind).await;
    let import = async |query: &str, media: &str, text: String| {
        let request = server
            .admin(Method::POST, &format!("/clients:import{query}"))
            .header("content-type", media);
        let answer = request.body(text).send().await.unwrap();
        (answer.status(), body_of(answer).await)
    };
    let text = csv(2000);
    let (status, body) = import("", "text/csv", text.clone()).await;
    assert_eq!((status, &body["created"]), (StatusCode::OK, &json!(2000)), "{body}");
    let client = Credentials::new("client-001999", SECRET);
    assert_eq!(
        server.ask_token(&client, &[]).await.status(),
        StatusCode::OK,
        "at once, here"
    );
    assert_eq!(import("", "text/csv", text).await.1["unchanged"], 2000);
    let lines = "{\"client_id\":\"new\"}\n{\"client_id\":\"newer\",\"scope\":\"a\\\"b\"}\n";
    let (status, body) = import("?generate_secrets=true", "application/x-ndjson", lines.to_owned()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        body["error_description"].as_str().unwrap().contains("line 2: scope"),
        "{body}"
    );
    let lines = "{\"client_id\":\"new\"}\n".to_owned();
    assert_eq!(
        import(
            "?generate_secrets=true&dry_run=true",
            "application/x-ndjson",
            lines.clone()
        )
        .await
        .1["created"],
        1
    );
    assert_eq!(
        import("", "application/x-ndjson", lines.clone()).await.0,
        StatusCode::BAD_REQUEST
    );
    let (_, body) = import("?generate_secrets=true", "application/x-ndjson", lines.clone()).await;
    let secret = body["secrets"][0]["client_secret"].as_str().unwrap();
    assert_eq!(
        server.ask_token(&Credentials::new("new", secret), &[]).await.status(),
        StatusCode::OK
    );
    assert_eq!(import("", "application/json", lines).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(
        import("", "text/csv", csv(10_001)).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let bad = format!("client_id\n{}", "x,y\n".repeat(10_001));
    assert_eq!(import("", "text/csv", bad).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, _) = import("?colour=red", "text/csv", csv(1)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
