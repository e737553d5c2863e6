//! `apply`: clients as files.

use std::path::PathBuf;

use oauth2_testkit::{Credentials, Kind, Output, Setup, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::cli::migrated;
use crate::start;

mod interrupted;
mod secrets;
mod text;

on_both_stores!(
    files_create_change_and_keep_clients,
    dry_run_shows_every_change_and_writes_nothing,
    prune_deletes_clients_of_the_owner_only,
    prune_leaves_out_no_file_of_a_directory,
    clients_of_others_are_not_touched,
    running_server_follows_the_files,
);

/// The SHA-256 of `a-secret-that-is-as-long-as-it-must-be`.
const SECRET: &str = "a-secret-that-is-as-long-as-it-must-be";

fn write(setup: &Setup, name: &str, text: &str) -> String {
    let path: PathBuf = setup.directory().join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).unwrap();
    }
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn apply(setup: &Setup, arguments: &[&str]) -> Output {
    setup.run(&[&["apply"], arguments].concat())
}

/// Applies files, and returns the result.
fn applied(setup: &Setup, arguments: &[&str]) -> Value {
    let output = apply(setup, &[arguments, &["--json"]].concat());
    assert_eq!(output.code, 0, "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

/// Applies files that are rejected, and returns the errors.
fn rejected(setup: &Setup, arguments: &[&str]) -> String {
    let output = apply(setup, arguments);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("nothing was changed"), "{}", output.stderr);
    output.stderr
}

/// Created, updated, deleted, unchanged and pending clients.
fn counts(result: &Value) -> [u64; 5] {
    ["created", "updated", "deleted", "unchanged", "pending"].map(|name| result[name].as_u64().unwrap())
}

fn exists(setup: &Setup, id: &str) -> bool {
    setup.run(&["client", "show", id]).code == 0
}

fn shown(setup: &Setup, id: &str) -> Value {
    setup.json(&["client", "show", id, "--json"])
}

/// The rows of the audit log, newest first.
async fn audit(setup: &Setup) -> Vec<Value> {
    let list = setup.audit(&["--limit", "1000"]).await;
    list["items"].as_array().unwrap().clone()
}

const TWO: &str = "owner: payments
clients:
  - client_id: ci
    client_secret: a-secret-that-is-as-long-as-it-must-be
    scope: read write
    audience: [https://api.example]
    rate_limits: {token: 5/s}
    claims:
      tenant: acme
      level: 3
  - client_id: api
    client_secret: a-secret-that-is-as-long-as-it-must-be
    introspection_audiences: [https://api.example]
";

async fn files_create_change_and_keep_clients(kind: Kind) {
    let setup = migrated(kind).await;
    let file = write(&setup, "clients.yaml", TWO);
    let created = applied(&setup, &["-f", &file]);
    assert_eq!(counts(&created), [2, 0, 0, 0, 0]);
    let ci = shown(&setup, "ci");
    assert_eq!(ci["scope"], "read write");
    assert_eq!(ci["claims"], json!({"tenant": "acme", "level": 3}));
    assert_eq!(ci["managed_by"], "payments");
    assert_eq!(
        shown(&setup, "api")["grant_types"],
        json!([]),
        "the default of its kind"
    );

    let rows = audit(&setup).await.len();
    let again = applied(&setup, &["-f", &file]);
    assert_eq!(counts(&again), [0, 0, 0, 2, 0]);
    assert_eq!(audit(&setup).await.len(), rows, "an unchanged client has no row");

    // What the file leaves out gets the default, except what a person did in an emergency.
    assert_eq!(setup.run(&["client", "disable", "ci"]).code, 0);
    let file = write(
        &setup,
        "clients.yaml",
        &TWO.replace("read write", "read")
            .replace("    rate_limits: {token: 5/s}\n", ""),
    );
    let output = apply(&setup, &["-f", &file]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    for line in [
        "~ ci",
        r#"    ~ scope: "read write" -> "read""#,
        r#"    - rate_limits: {"token":"5/s"}"#,
        "0 created, 1 updated, 0 deleted, 1 unchanged, 0 pending",
    ] {
        assert!(
            output.stdout.lines().any(|found| found == line),
            "{line}: {}",
            output.stdout
        );
    }
    let ci = shown(&setup, "ci");
    assert_eq!(
        (&ci["scope"], &ci["rate_limits"], &ci["disabled"]),
        (&json!("read"), &json!({}), &json!(true))
    );
    let newest = &audit(&setup).await[0];
    assert_eq!(
        (&newest["action"], &newest["target_id"]),
        (&json!("client.update"), &json!("ci"))
    );
    assert_eq!(newest["detail"]["credential"], "cli");
    let changes = newest["detail"]["changes"].as_object().unwrap();
    assert_eq!(changes.keys().collect::<Vec<_>>(), ["rate_limits", "scope"]);
}

async fn dry_run_shows_every_change_and_writes_nothing(kind: Kind) {
    let setup = migrated(kind).await;
    let file = write(&setup, "clients.yaml", TWO);
    applied(&setup, &["-f", &file]);
    let rows = audit(&setup).await;
    let before = setup
        .run(&["client", "export", "--format", "jsonl", "--with-secret-hashes"])
        .stdout;
    let changed = TWO
        .replace("client_id: api", "client_id: new")
        .replace("read write", "read");
    let file = write(&setup, "clients.yaml", &changed);
    let dry = apply(&setup, &["-f", &file, "--prune", "--dry-run"]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    for line in [
        "~ ci",
        "+ new",
        "- api",
        r#"    + managed_by: "payments""#,
        "    + secret: as declared",
    ] {
        assert!(dry.stdout.lines().any(|found| found == line), "{line}: {}", dry.stdout);
    }
    assert!(
        dry.stdout.contains("1 to create, 1 to update, 1 to delete"),
        "{}",
        dry.stdout
    );
    let detailed = apply(&setup, &["-f", &file, "--dry-run", "--exit-code", "--json"]);
    assert_eq!(detailed.code, 1, "{}", detailed.stderr);
    let plan: Value = serde_json::from_str(&detailed.stdout).unwrap();
    assert_eq!(plan["dry_run"], true);
    assert_eq!(
        plan["clients"][0]["changes"],
        json!({"scope": {"old": "read write", "new": "read"}})
    );
    assert!(!dry.stdout.contains(SECRET) && !detailed.stdout.contains(SECRET));
    // Neither a client nor a row of the log.
    let after = setup
        .run(&["client", "export", "--format", "jsonl", "--with-secret-hashes"])
        .stdout;
    assert_eq!((before, rows), (after, audit(&setup).await));
    let bad = write(&setup, "bad.yaml", "owner: x\nclients: [{client_id: b, scope: 7}]\n");
    assert_eq!(apply(&setup, &["-f", &bad, "--dry-run"]).code, 2);
    assert_eq!(audit(&setup).await.len(), 2, "a dry run requests no change");

    let file = write(&setup, "clients.yaml", TWO);
    let unchanged = apply(&setup, &["-f", &file, "--prune", "--dry-run", "--exit-code"]);
    assert_eq!(unchanged.code, 0, "{}", unchanged.stderr);
    assert_eq!(
        unchanged.stdout,
        "0 to create, 0 to update, 0 to delete, 2 unchanged, 0 pending; nothing was changed\n"
    );
}

/// A file that is left out in silence would delete its clients.
async fn prune_leaves_out_no_file_of_a_directory(kind: Kind) {
    let setup = migrated(kind).await;
    let directory = setup.directory().join("clients");
    std::fs::create_dir_all(directory.join("a-directory.yaml")).unwrap();
    let one = "owner: payments\nclients: [{client_id: one, secret_file: ../secret}]\n";
    write(&setup, "secret", "a-secret-that-is-as-long-as-it-must-be-for-this");
    write(&setup, "clients/1.yaml", one);
    let two = write(&setup, "clients/2.YAML", &one.replace("one", "two"));
    let arguments = ["-f", directory.to_str().unwrap(), "--prune"];
    assert_eq!(
        counts(&applied(&setup, &arguments)),
        [2, 0, 0, 0, 0],
        "the case of an extension does not matter"
    );

    std::fs::remove_file(&two).unwrap();
    std::os::unix::fs::symlink("/nowhere", &two).unwrap();
    crate::cli::rejected(&apply(&setup, &arguments), 2, &["2.YAML cannot be read"]);
    std::fs::remove_file(&two).unwrap();
    Setup::fifo(two.as_ref());
    crate::cli::rejected(&apply(&setup, &arguments), 2, &["2.YAML is not a regular file"]);
    assert!(exists(&setup, "two"));
}

async fn prune_deletes_clients_of_the_owner_only(kind: Kind) {
    let setup = migrated(kind).await;
    assert_eq!(setup.run(&["client", "create", "--id", "by-hand"]).code, 0);
    let other = write(
        &setup,
        "other.yaml",
        &TWO.replace("payments", "other")
            .replace("client_id: ", "client_id: other-"),
    );
    applied(&setup, &["-f", &other]);
    let file = write(&setup, "clients.yaml", TWO);
    applied(&setup, &["-f", &file]);
    let one = TWO.split("  - client_id: api").next().unwrap();
    let file = write(&setup, "clients.yaml", one);
    assert_eq!(
        counts(&applied(&setup, &["-f", &file])),
        [0, 0, 0, 1, 0],
        "not without --prune"
    );
    let pruned = applied(&setup, &["-f", &file, "--prune"]);
    assert_eq!(counts(&pruned), [0, 0, 1, 1, 0]);
    assert_eq!(pruned["clients"][1]["client_id"], "api");
    assert!(!exists(&setup, "api"));
    assert_eq!(audit(&setup).await[0]["action"], "client.delete");
    for id in ["ci", "by-hand", "other-ci", "other-api"] {
        assert!(exists(&setup, id), "{id}");
    }
    // A file that names no client any more still has its owner.
    let file = write(&setup, "clients.yaml", "owner: payments\nclients: []\n");
    assert_eq!(counts(&applied(&setup, &["-f", &file, "--prune"])), [0, 0, 1, 0, 0]);
    // An empty file is a mistake, such as of a template.
    let file = write(&setup, "clients.yaml", "# nothing\n");
    assert!(rejected(&setup, &["-f", &file, "--prune"]).contains("there is no document in it"));
}

async fn clients_of_others_are_not_touched(kind: Kind) {
    let setup = migrated(kind).await;
    let create = ["client", "create", "--id", "ci", "--scope", "admin", "--secret", SECRET];
    assert_eq!(setup.run(&create).code, 0);
    let file = write(&setup, "clients.yaml", TWO);
    let error = rejected(&setup, &["-f", &file]);
    assert!(
        error.contains("clients.yaml:3: clients[0]: the client exists and no files manage it; --adopt"),
        "{error}"
    );
    assert!(!exists(&setup, "api"), "all or nothing");
    assert_eq!(shown(&setup, "ci")["scope"], "admin");
    let adopted = applied(&setup, &["-f", &file, "--adopt"]);
    assert_eq!(counts(&adopted), [1, 1, 0, 0, 0]);
    assert_eq!(shown(&setup, "ci")["managed_by"], "payments");

    let stolen = write(&setup, "stolen.yaml", &TWO.replace("payments", "thief"));
    let error = rejected(&setup, &["-f", &stolen, "--prune"]);
    assert!(
        error.contains(r#"the client is managed by "payments", not by "thief""#),
        "{error}"
    );
    // An owner that only a person names is kept by no file, and its clients by no prune of another owner.
    assert_eq!(setup.run(&["client", "update", "ci", "--reset", "managed-by"]).code, 0);
    let file = write(&setup, "clients.yaml", "clients: []\n");
    assert_eq!(
        counts(&applied(&setup, &["-f", &file, "--owner", "payments", "--prune"])),
        [0, 0, 1, 0, 0]
    );
    assert!(exists(&setup, "ci") && !exists(&setup, "api"));
}

async fn running_server_follows_the_files(kind: Kind) {
    let server = start(kind).await;
    let ci = Credentials::new("ci", SECRET);
    let file = write(&server.setup, "clients.yaml", TWO);
    applied(&server.setup, &["-f", &file]);
    let within = std::time::Duration::from_secs(10);
    let status = async || server.request_token(&ci, &[]).await.status();
    until(within, "the client gets tokens", async || {
        status().await == StatusCode::OK
    })
    .await;
    let token = server.token(&ci).await;
    let file = write(&server.setup, "clients.yaml", "owner: payments\nclients: []\n");
    applied(&server.setup, &["-f", &file, "--prune"]);
    until(within, "the client is gone", async || {
        status().await == StatusCode::UNAUTHORIZED
    })
    .await;
    let other = server
        .register(json!({"introspection_audiences": ["https://api.example"]}))
        .await;
    until(within, "its tokens are revoked", async || {
        !server.is_active(&other, &token).await
    })
    .await;
}
