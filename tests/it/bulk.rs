//! Bulk import and export of clients.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, Kind, Setup};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cli::migrated;
use crate::{shared, start, unique};

mod interrupted;
mod round_trip;
mod secrets;
mod validation;

on_both_stores!(
    killed_import_is_completed_by_the_next,
    export_is_importable_into_the_other_store,
    running_server_serves_imported_clients,
    one_invalid_line_rejects_the_whole_import,
    generated_secrets_are_written_to_a_private_file,
    admin_api_imports_all_or_nothing,
);

const SECRET: &str = "a-secret-that-every-imported-client-has";

fn csv(count: usize) -> String {
    let mut text = "client_id,client_secret,scope,audience\n".to_owned();
    for n in 0..count {
        let _ = writeln!(text, "client-{n:06},{SECRET},read write,https://api.example");
    }
    text
}

/// Imports clients, and returns the counts of the result.
fn import(setup: &Setup, arguments: &[&str], input: &str) -> Value {
    let output = setup.run_with_input(&[&["client", "import", "-", "--json"], arguments].concat(), input);
    assert_eq!(output.code, 0, "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

/// All clients, sorted by id.
pub(crate) fn exported(setup: &Setup) -> Vec<Value> {
    let output = setup.run(&["client", "export", "--format", "jsonl", "--with-secret-hashes"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn killed_import_is_completed_by_the_next(kind: Kind) {
    const COUNT: usize = 20_000;
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
    let count = "SELECT count(*) FROM clients";
    let postgres = match setup.database_url() {
        Some(url) => Some(oauth2_testkit::postgres::connect(url).await),
        None => None,
    };
    let imported = async || match &postgres {
        Some(postgres) => postgres.query_one(count, &[]).await.unwrap().get(0),
        None => setup.sqlite().query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(),
    };
    while imported().await < 2000 {
        assert!(
            killed.try_wait().unwrap().is_none(),
            "the import ended before it was killed"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let done = imported().await;
    assert!(
        done < COUNT as i64 && done % 1000 == 0,
        "only whole chunks are imported: {done}"
    );

    let again = setup.json(&["client", "import", path, "--json"]);
    assert_eq!(again["created"].as_i64().unwrap(), COUNT as i64 - done);
    assert_eq!((&again["unchanged"], &again["updated"]), (&json!(done), &json!(0)));
    assert_eq!(imported().await, COUNT as i64);
    let once_more = setup.json(&["client", "import", path, "--json", "--dry-run"]);
    assert_eq!(once_more["refused"], 0);
}

async fn export_is_importable_into_the_other_store(kind: Kind) {
    let first = migrated(kind).await;
    let rich = json!({
        "client_id": "rich", "client_secret": SECRET, "client_name": "The \"CI\", ü", "scope": "read write", "token_format": "jwt",
        "signing_alg": "ES256", "audience": ["https://a.example", "urn:b"], "introspection_audiences": ["https://r.example"],
        "token_ledger": "stateless", "access_token_lifetime": 60, "rate_limits": {"token": "5/s:9"}, "rate_limit_mode": "observe",
        "quotas": {"day": 7}, "quota_mode": "observe", "reuse_percent": 50, "claims": {"tenant": {"id": 7}, "flag": true}, "disabled": true,
    });
    let plain = json!({"client_id": "plain", "client_secret": SECRET});
    import(&first, &["--format", "jsonl"], &format!("{rich}\n{plain}\n"));
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
    // To the other kind of store, in each format.
    for format in ["csv", "jsonl"] {
        let other = migrated(kind.other()).await;
        let text = first
            .run(&["client", "export", "--format", format, "--with-secret-hashes"])
            .stdout;
        assert_eq!(import(&other, &["--format", format], &text)["created"], 2);
        assert_eq!(exported(&other), before, "{format}");
        assert_eq!(import(&other, &["--format", format], &text)["unchanged"], 2);
    }
    let file = first.directory().join("out.csv");
    let path = file.to_str().unwrap();
    assert_eq!(first.run(&["client", "export", path]).code, 0);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        !std::fs::read_to_string(&file).unwrap().contains("sha256,\""),
        "hashes are exported on request only"
    );
    let again = first.run(&["client", "export", path]);
    assert!(
        again.code == 2 && again.stderr.contains("exists already"),
        "{}",
        again.stderr
    );
}

async fn running_server_serves_imported_clients(kind: Kind) {
    const COUNT: usize = 5000;
    let server = start(kind).await;
    let own = server.register(json!({})).await;
    let text = csv(COUNT);
    let result = import(&server.setup, &["--format", "csv"], &text);
    assert_eq!(result["created"], COUNT);
    let last = Credentials::new(format!("client-{:06}", COUNT - 1), SECRET);
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.request_token(&last, &[]).await.status() != StatusCode::OK {
        assert!(Instant::now() < deadline, "the server does not learn of the import");
        // Existing clients are served meanwhile.
        server.token(&own).await;
    }
    let changed = text.replace(
        "client-000000,a-secret-that-every-imported-client-has,read write",
        "client-000000,,read",
    );
    let result = import(&server.setup, &["--format", "csv"], &changed);
    assert_eq!(
        (&result["updated"], &result["unchanged"]),
        (&json!(1), &json!(COUNT - 1))
    );
}

async fn one_invalid_line_rejects_the_whole_import(kind: Kind) {
    let setup = migrated(kind).await;
    let good = format!("good,{SECRET},read");
    let rejects = |text: &str, words: &[&str]| {
        let output = setup.run_with_input(&["client", "import", "-", "--format", "csv"], text);
        assert_eq!(output.code, 2, "{}", output.stdout);
        for word in words {
            assert!(output.stderr.contains(word), "{} lacks {word}", output.stderr);
        }
        assert!(exported(&setup).is_empty(), "no client is created");
    };
    let header = "client_id,client_secret,scope";
    rejects(
        &format!("{header}\n{good}\nbäd,{SECRET},x\n"),
        &["line 3: client_id must be", "nothing was imported"],
    );
    rejects(&format!("{header}\n{good}\n{good}\n"), &["line 3", "good", "line 2"]);
    rejects(&format!("{header},colour\n{good},red\n"), &["line 1", "colour"]);
    rejects(&format!("{header}\n{good},more\n"), &["line 2", "fields"]);
    rejects(
        &format!("{header}\nshort,tiny,x\n"),
        &["line 2: client_secret must be 32"],
    );
    rejects(&format!("{header}\nbare,,x\n"), &["line 2", "client_secret_sha256"]);
    rejects("client_id,claims\nx,\"{\"\"exp\"\":1}\"\n", &["line 2: claims", "exp"]);
    rejects(
        &format!("{header}\n{good}\nopen,\"never closed\n{}", "x\n".repeat(50_000)),
        &["lines 3 to ", "quote"],
    );
    rejects("", &["line 1", "header"]);
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

    let text = format!("\u{feff}{header}\r\n{good}\r\nbäd,{SECRET},x\r\n");
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
    let other_secret = format!("{header}\ngood,{SECRET}-of-another,read\n");
    let output = setup.run_with_input(&["client", "import", "-", "--format", "csv"], &other_secret);
    assert!(
        output.code == 2 && output.stderr.contains("rotate"),
        "{}",
        output.stderr
    );
}

async fn generated_secrets_are_written_to_a_private_file(kind: Kind) {
    let server = shared(kind).await;
    let file = server.setup.directory().join(unique("secrets"));
    let path = file.to_str().unwrap();
    let rows = [unique("one"), unique("two")].map(|id| format!("{{\"client_id\":\"{id}\"}}\n"));
    let result = import(
        &server.setup,
        &["--format", "jsonl", "--secrets-out", path],
        &rows.concat(),
    );
    assert_eq!(result["created"], 2);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    for line in std::fs::read_to_string(&file).unwrap().lines() {
        let (id, secret) = line.split_once(',').unwrap();
        let client = Credentials::new(id, secret);
        let deadline = Instant::now() + Duration::from_secs(10);
        while server.request_token(&client, &[]).await.status() != StatusCode::OK {
            assert!(Instant::now() < deadline, "{id}");
        }
    }
}

async fn admin_api_imports_all_or_nothing(kind: Kind) {
    let server = start(kind).await;
    let import = async |query: &str, media: &str, text: String| {
        let request = server
            .admin(Method::POST, &format!("/clients:import{query}"))
            .header("content-type", media);
        let response = request.body(text).send().await.unwrap();
        (response.status(), body_of(response).await)
    };
    let text = csv(2000);
    let (status, body) = import("", "text/csv", text.clone()).await;
    assert_eq!((status, &body["created"]), (StatusCode::OK, &json!(2000)), "{body}");
    let client = Credentials::new("client-001999", SECRET);
    assert_eq!(
        server.request_token(&client, &[]).await.status(),
        StatusCode::OK,
        "the node that imported knows the client at once"
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
        server
            .request_token(&Credentials::new("new", secret), &[])
            .await
            .status(),
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
