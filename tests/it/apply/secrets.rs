//! Secrets of clients in files: from files that may not exist yet, generated once, rotated only on request, and printed nowhere.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use oauth2_testkit::{Credentials, Kind, Process, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{SECRET, applied, apply, audit, counts, exists, rejected, write};
use crate::cli::migrated;
use crate::{setup, start};

on_both_stores!(
    secret_file_is_awaited_and_never_invented,
    secret_is_generated_once,
    other_secret_is_a_rotation_on_request,
    secrets_are_printed_nowhere,
);

const OTHER: &str = "another-secret-that-is-as-long-as-it-must-be";

const FILE: &str = "owner: x
clients:
  - {client_id: waits, secret_file: secrets/waits, scope: read}
  - {client_id: plain, client_secret: a-secret-that-is-as-long-as-it-must-be}
";

async fn secret_file_is_awaited_and_never_invented(kind: Kind) {
    let setup = migrated(kind).await;
    let file = write(&setup, "clients.yaml", FILE);
    let output = apply(&setup, &["-f", &file]);
    assert_eq!(output.code, 3, "{}", output.stderr);
    assert!(
        output.stdout.contains("? waits: its secret is expected in "),
        "{}",
        output.stdout
    );
    assert!(
        output
            .stdout
            .contains("1 created, 0 updated, 0 deleted, 0 unchanged, 1 pending"),
        "{}",
        output.stdout
    );
    assert!(
        output.stderr.contains("secrets/waits") && output.stderr.contains("--wait"),
        "{}",
        output.stderr
    );
    assert!(exists(&setup, "plain") && !exists(&setup, "waits"));
    // A prune deletes no client whose secret is pending, and the wait ends.
    let output = apply(&setup, &["-f", &file, "--prune", "--wait", "300ms"]);
    assert_eq!(output.code, 3, "{}", output.stderr);

    let log = setup.directory().join("stderr");
    let mut waiting = Process::start(&mut setup.command(&["apply", "-f", &file, "--wait", "60s"]), &log);
    until(Duration::from_secs(20), "it waits", async || {
        waiting.stderr().contains("waiting for 1 secret files")
    })
    .await;
    // An empty file is one that is being written.
    write(&setup, "secrets/waits", "");
    // That nothing happens has no event: this is longer than the pause between two looks at the file.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(waiting.exit_status().is_none());
    write(&setup, "secrets/waits", &format!("{SECRET}\n"));
    assert!(
        waiting.wait(Duration::from_secs(20)).await.success(),
        "{}",
        waiting.stderr()
    );
    assert!(exists(&setup, "waits"));
    assert_eq!(counts(&applied(&setup, &["-f", &file])), [0, 0, 0, 2, 0]);

    // A client whose file is gone stays as it is, whatever else its entry says.
    let file = write(&setup, "clients.yaml", &FILE.replace("scope: read", "scope: write"));
    std::fs::remove_file(setup.directory().join("secrets/waits")).unwrap();
    assert_eq!(apply(&setup, &["-f", &file]).code, 3);
    assert_eq!(super::shown(&setup, "waits")["scope"], "read");
    write(&setup, "secrets/waits", "too short");
    let error = rejected(&setup, &["-f", &file]);
    assert!(
        error.contains("clients.yaml:3: clients[0]: secret_file") && !error.contains("too short"),
        "{error}"
    );
    for unreadable in [
        "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
        "sha256:abc",
    ] {
        write(&setup, "secrets/waits", unreadable);
        assert!(!rejected(&setup, &["-f", &file]).contains(unreadable));
    }
    std::fs::remove_file(setup.directory().join("secrets/waits")).unwrap();
    std::fs::create_dir(setup.directory().join("secrets/waits")).unwrap();
    assert!(rejected(&setup, &["-f", &file]).contains("cannot be read"));
}

async fn secret_is_generated_once(kind: Kind) {
    let server = start(kind).await;
    let setup = &server.setup;
    let file = write(
        setup,
        "clients.yaml",
        "owner: x\nclients: [{client_id: team/ci}, {client_id: '..'}]\n",
    );
    let error = rejected(setup, &["-f", &file]);
    assert!(error.contains("a new client needs a secret"), "{error}");
    let directory = setup.directory().join("generated");
    let arguments = ["-f", &file, "--secrets-out", directory.to_str().unwrap()];
    let dry = apply(setup, &[&arguments[..], &["--dry-run"]].concat());
    assert!(
        dry.code == 0 && dry.stdout.contains("    + secret: generated"),
        "{}{}",
        dry.stdout,
        dry.stderr
    );
    assert!(!directory.exists(), "a dry run writes no file");

    let output = apply(setup, &arguments);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let path = directory.join("team%2Fci");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&path)), (0o700, 0o600));
    assert!(directory.join("%2E.").is_file());
    let secret = std::fs::read_to_string(&path).unwrap();
    assert!(!output.stdout.contains(secret.trim()), "{}", output.stdout);
    let client = Credentials::new("team/ci", secret.trim());
    let works = async || server.request_token(&client, &[]).await.status() == StatusCode::OK;
    until(Duration::from_secs(10), "the generated secret is valid", &works).await;

    assert_eq!(counts(&applied(setup, &arguments)), [0, 0, 0, 2, 0]);
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(counts(&applied(setup, &arguments)), [0, 0, 0, 2, 0]);
    assert!(!directory.exists(), "a stored client gets no other secret");
    assert!(works().await);
}

async fn other_secret_is_a_rotation_on_request(kind: Kind) {
    let server = start(kind).await;
    let setup = &server.setup;
    let of = |secret: &str, more: &str| {
        let text = format!("owner: x\nclients:\n  - {{client_id: ci, scope: read, client_secret: {secret}{more}}}\n");
        write(setup, "clients.yaml", &text)
    };
    let works = async |secret: &str| {
        let status = server
            .request_token(&Credentials::new("ci", secret), &[])
            .await
            .status();
        status == StatusCode::OK
    };
    applied(setup, &["-f", &of(SECRET, "")]);
    let error = rejected(setup, &["-f", &of(OTHER, "")]);
    assert!(
        error.contains("the secret differs") && error.contains("secret_overlap"),
        "{error}"
    );
    assert!(!error.contains(OTHER));
    let rotated = applied(setup, &["-f", &of(OTHER, ", secret_overlap: 600")]);
    assert_eq!(counts(&rotated), [0, 1, 0, 0, 0]);
    assert_eq!(
        (&rotated["clients"][0]["secret"], &rotated["clients"][0]["changes"]),
        (&json!("rotated"), &json!({}))
    );
    until(Duration::from_secs(10), "both secrets are valid", async || {
        works(SECRET).await && works(OTHER).await
    })
    .await;
    let rows = audit(setup).await;
    // Other tests use the same server.
    let of_client = |row: &&serde_json::Value| row["target_id"] == "ci" && row["action"] != "auth.failed";
    let row = rows.iter().find(of_client).unwrap();
    assert_eq!(
        (&row["action"], &row["detail"]["overlap_seconds"]),
        (&json!("client.rotate_secret"), &json!(600))
    );
    let secrets = row["detail"]["changes"]["secrets"]["new"].as_array().unwrap();
    assert!(
        secrets.len() == 2 && secrets[0]["expires_at"].is_null() && secrets[1]["expires_at"].is_u64(),
        "{row}"
    );
    // The file keeps its overlap: it is about the next secret.
    assert_eq!(
        counts(&applied(setup, &["-f", &of(OTHER, ", secret_overlap: 600")])),
        [0, 0, 0, 1, 0]
    );

    // A file that was not updated brings no replaced secret back.
    let stale = rejected(setup, &["-f", &of(SECRET, ", secret_overlap: 600")]);
    assert!(stale.contains("one that the client had before"), "{stale}");

    // A hash, in the file and in a file of its own.
    let hash = hex::encode(digest(&SHA256, SECRET.as_bytes()));
    write(setup, "secret", &format!("sha256:{hash}\n"));
    let text = "owner: x\nclients: [{client_id: ci, scope: read, secret_file: secret}]\n";
    let file = write(setup, "clients.yaml", text);
    let back = applied(setup, &["-f", &file, "--secret-overlap", "0"]);
    assert_eq!(counts(&back), [0, 1, 0, 0, 0]);
    until(
        Duration::from_secs(10),
        "only the declared secret is valid",
        async || works(SECRET).await && !works(OTHER).await,
    )
    .await;
    let text = format!("owner: x\nclients: [{{client_id: ci, scope: read, client_secret_sha256: {hash}}}]\n");
    assert_eq!(
        counts(&applied(setup, &["-f", &write(setup, "clients.yaml", &text)])),
        [0, 0, 0, 1, 0]
    );
    // Without a secret, the stored one stays.
    let text = "owner: x\nclients: [{client_id: ci, scope: read}]\n";
    assert_eq!(
        counts(&applied(setup, &["-f", &write(setup, "clients.yaml", text)])),
        [0, 0, 0, 1, 0]
    );
    let too_long = apply(setup, &["-f", &of(OTHER, ", secret_overlap: 2592001")]);
    assert!(
        too_long.stderr.contains("secret_overlap must be from 0 to 2592000"),
        "{}",
        too_long.stderr
    );
}

async fn secrets_are_printed_nowhere(kind: Kind) {
    let setup = setup(kind).await.with("OAUTH2_LOG_LEVEL", "trace");
    assert_eq!(setup.run(&["migrate"]).code, 0);
    let directory = setup.directory().join("generated");
    let generated = ["--secrets-out", directory.to_str().unwrap()];
    let mut seen = String::new();
    write(&setup, "secret", OTHER);
    let none: &[&str] = &[];
    for (text, arguments) in [
        (
            format!(
                "clients: [{{client_id: a, client_secret: {SECRET}}}, {{client_id: b, secret_file: secret}}, {{client_id: c}}]"
            ),
            &generated[..],
        ),
        (format!("clients: [{{client_id: a, client_secret: {OTHER}}}]"), none),
        (
            format!("clients: [{{client_id: a, client_secret: {OTHER}}}]"),
            &["--secret-overlap", "60", "--prune"][..],
        ),
        (format!("clients: [{{client_id: a, client_secret: {SECRET}: }}]"), none),
        (format!("clients: [{{client_id: a, client_secret: [{SECRET}]}}]"), none),
        (format!("clients: {SECRET}"), none),
        (format!("clients: [{SECRET}]"), none),
        (format!("clients: [{{client_secret: {SECRET}}}]"), none),
    ] {
        let file = write(&setup, "clients.yaml", &format!("owner: x\n{text}\n"));
        for more in [&["--dry-run", "--json"][..], &["--dry-run"], &["--json"], &[]] {
            let output = apply(&setup, &[&["-f", &file], arguments, more].concat());
            seen.push_str(&output.stdout);
            seen.push_str(&output.stderr);
        }
    }
    let of_c = std::fs::read_to_string(directory.join("c")).unwrap();
    seen.push_str(&Value::from(audit(&setup).await).to_string());
    for secret in [SECRET, OTHER, of_c.trim()] {
        let at = seen.find(secret);
        assert!(at.is_none(), "{}", &seen[at.unwrap().saturating_sub(300)..at.unwrap()]);
    }
}
