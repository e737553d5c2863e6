//! `apply` next to others that change the same clients, and killed in the middle.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use oauth2_testkit::{Kind, Process, Setup, until};
use serde_json::Value;

use super::{SECRET, TWO, applied, counts, exists, shown, write};
use crate::cli::migrated;
use crate::holder::Holder;

on_both_stores!(
    concurrent_change_is_a_conflict,
    killed_run_is_completed_by_the_next,
    generated_secret_survives_a_kill,
);

/// Reads lines of stdout up to one.
fn read_to(process: &Process, line: &str) {
    while process.line(Duration::from_secs(20)).expect("the line is printed") != line {}
}

async fn concurrent_change_is_a_conflict(kind: Kind) {
    let setup = migrated(kind).await;
    let file = write(&setup, "clients.yaml", TWO);
    applied(&setup, &["-f", &file]);
    let log = setup.directory().join("stderr");
    let spawn = |arguments: &[&str]| Process::start(&mut setup.command(&[&["apply", "-f"], arguments].concat()), &log);
    let change = "UPDATE clients SET version = version + 1, scope = 'theirs' WHERE client_id = 'ci'";

    let holder = Holder::begin(&setup, change).await;
    let file = write(&setup, "clients.yaml", &TWO.replace("read write", "ours"));
    let mut updating = spawn(&[&file]);
    read_to(&updating, r#"    ~ scope: "read write" -> "ours""#);
    holder.commit().await;
    let status = updating.wait(Duration::from_secs(40)).await;
    assert_eq!(status.code(), Some(2), "{}", updating.stderr());
    let error = updating.stderr();
    assert!(
        error.contains("changed by somebody else since they were compared with the files: ci"),
        "{error}"
    );
    assert!(error.contains("0 of 1 changes were written"), "{error}");
    assert_eq!(shown(&setup, "ci")["scope"], "theirs");
    assert_eq!(counts(&applied(&setup, &["-f", &file])), [0, 1, 0, 1, 0]);

    // The same of a deletion.
    let holder = Holder::begin(&setup, change).await;
    let file = write(&setup, "clients.yaml", "owner: payments\nclients: []\n");
    let mut pruning = spawn(&[&file, "--prune"]);
    read_to(&pruning, "- ci");
    holder.commit().await;
    assert_eq!(
        pruning.wait(Duration::from_secs(40)).await.code(),
        Some(2),
        "{}",
        pruning.stderr()
    );
    assert!(exists(&setup, "ci"));
    applied(&setup, &["-f", &file, "--prune"]);
    assert!(!exists(&setup, "ci"));
}

async fn count(setup: &Setup) -> i64 {
    let sql = "SELECT count(*) FROM clients";
    match setup.database_url() {
        Some(url) => {
            let client = oauth2_testkit::postgres::connect(url).await;
            client.query_one(sql, &[]).await.unwrap().get(0)
        }
        None => setup.sqlite().query_row(sql, [], |row| row.get(0)).unwrap(),
    }
}

async fn killed_run_is_completed_by_the_next(kind: Kind) {
    const COUNT: usize = 4000;
    let setup = migrated(kind).await;
    let mut text = "owner: x\nclients:\n".to_owned();
    for n in 0..COUNT {
        let _ = writeln!(
            text,
            "- {{client_id: client-{n:05}, client_secret: {SECRET}, scope: read}}"
        );
    }
    let file = write(&setup, "clients.yaml", &text);
    let mut command = setup.command(&["apply", "-f", &file]);
    let mut killed = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while count(&setup).await == 0 {
        assert!(killed.try_wait().unwrap().is_none(), "it ended before it was killed");
        // Often enough to kill it half-way; another process writes nothing that could be awaited.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let done = count(&setup).await;
    assert!(done % 1000 == 0 && done < COUNT as i64, "whole chunks: {done}");
    let rest = applied(&setup, &["-f", &file]);
    assert_eq!(counts(&rest), [COUNT as u64 - done as u64, 0, 0, done as u64, 0]);
    assert_eq!(
        counts(&applied(&setup, &["-f", &file, "--prune"])),
        [0, 0, 0, COUNT as u64, 0]
    );
}

async fn generated_secret_survives_a_kill(kind: Kind) {
    let setup = migrated(kind).await;
    let file = write(&setup, "clients.yaml", "owner: x\nclients: [{client_id: ci}]\n");
    let directory = setup.directory().join("generated");
    let arguments = ["-f", &file, "--secrets-out", directory.to_str().unwrap()];
    // The insertion of the client waits, or fails later than it is killed.
    let lock = match kind {
        Kind::Sqlite => "SELECT 1",
        Kind::Postgres => "LOCK TABLE clients IN SHARE MODE",
    };
    let holder = Holder::begin(&setup, lock).await;
    let mut killed = setup.command(&[&["apply"], &arguments[..]].concat());
    let mut killed = killed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(Duration::from_secs(20), "the secret is written", async || {
        directory.join("ci").exists()
    })
    .await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    holder.commit().await;
    assert!(!exists(&setup, "ci"));
    let secret = std::fs::read_to_string(directory.join("ci")).unwrap();

    let again = applied(&setup, &arguments);
    assert_eq!(counts(&again), [1, 0, 0, 0, 0]);
    assert_eq!(again["clients"][0]["secret"], "declared");
    assert_eq!(
        std::fs::read_to_string(directory.join("ci")).unwrap(),
        secret,
        "it is not generated again"
    );
    let stored = setup
        .run(&["client", "export", "--format", "jsonl", "--with-secret-hashes"])
        .stdout;
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let hash = hex::encode(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        secret.trim().as_bytes(),
    ));
    assert_eq!(stored["client_secret_sha256"], hash);
    // Whoever may write into the directory must not choose what is taken for a secret.
    std::fs::rename(directory.join("ci"), directory.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", directory.join("ci")).unwrap();
    let output = super::apply(&setup, &arguments);
    assert_eq!(output.code, 2, "{}", output.stdout);
}
