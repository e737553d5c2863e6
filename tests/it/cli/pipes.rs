//! Readers of stdout that go away: as in `… | head -1`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use oauth2_testkit::{Kind, Output, Setup, until};
use serde_json::json;

use super::migrated;
use crate::start;

on_both_stores!(
    live_output_ends_with_its_reader,
    a_secret_that_nobody_read_is_a_failure,
    a_reader_that_has_read_enough_is_no_failure,
);

const PATIENCE: Duration = Duration::from_secs(30);

/// Reads one line of a command's stdout and closes it.
fn read_a_line(command: &mut Command) -> std::process::Child {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.starts_with('{'), "{line}");
    child
}

async fn live_output_ends_with_its_reader(kind: Kind) {
    let server = start(kind).await;
    for arguments in [
        &["top", "--json", "--interval", "1"][..],
        &["audit", "list", "--follow", "--since", "2020-01-01T00:00:00Z"],
    ] {
        // A row that the second one prints first.
        server.register(json!({"scope": "read"})).await;
        let mut command = server.setup.command(arguments);
        let mut child = tokio::task::spawn_blocking(move || read_a_line(&mut command))
            .await
            .unwrap();
        until(PATIENCE, &format!("{arguments:?} ends"), async || {
            // Something to print.
            server.register(json!({"scope": "read"})).await;
            child.try_wait().unwrap().is_some()
        })
        .await;
        assert!(child.wait().unwrap().success(), "{arguments:?}");
    }
}

/// Runs a command whose stdout nobody reads, or that has no space left. Returns the exit code and stderr.
fn undelivered(setup: &Setup, arguments: &str, stdout: &str) -> (i32, String) {
    let script = format!(r#"exec 3>&1; {{ "$0" {arguments} 2>stderr {stdout}; echo "$?" >&3; }} | exec true"#);
    let output = Output::of(&mut setup.script(&script));
    let stderr = std::fs::read_to_string(setup.directory().join("stderr")).unwrap();
    (output.stdout.trim().parse().unwrap(), stderr)
}

async fn a_secret_that_nobody_read_is_a_failure(kind: Kind) {
    let setup = migrated(kind).await;
    for (at, stdout) in ["", ">/dev/full"].into_iter().enumerate() {
        for arguments in [
            format!("client create --id ci-{at} --scope read"),
            format!("client rotate-secret ci-{at} --overlap 0 --json"),
        ] {
            let (code, stderr) = undelivered(&setup, &arguments, stdout);
            assert_eq!(code, 3, "{arguments}: {stderr}");
            let way_on = format!("oauth2_server client rotate-secret ci-{at}");
            assert!(
                stderr.contains("was not delivered") && stderr.contains(&way_on),
                "{stderr}"
            );
        }
    }
}

async fn a_reader_that_has_read_enough_is_no_failure(kind: Kind) {
    let setup = migrated(kind).await;
    assert_eq!(
        setup.run(&["client", "create", "--id", "ci", "--group", "plan"]).code,
        0
    );
    for arguments in [
        "client show ci",
        "client list",
        "group usage --csv",
        "audit list --json",
        "config print",
    ] {
        let (code, stderr) = undelivered(&setup, arguments, "");
        assert_eq!((code, stderr.as_str()), (0, ""), "{arguments}");
    }
}
