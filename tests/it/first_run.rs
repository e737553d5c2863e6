//! What a newcomer meets: a banner, a command to paste, and data that stays.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use oauth2_testkit::{DedicatedServer, Kind, Output, Process};
use serde_json::Value;

use crate::{setup, start};

const PATIENCE: Duration = Duration::from_secs(30);

/// The line of the banner that begins with `curl`. It is the last line of the banner.
fn curl(process: &Process) -> (String, String) {
    let mut banner = String::new();
    while let Some(line) = process.line(PATIENCE) {
        banner.push_str(&line);
        banner.push('\n');
        if line.starts_with("curl") {
            return (banner, line);
        }
    }
    panic!("no curl in: {banner}");
}

/// Runs the line as pasted into a shell somewhere else.
fn paste(line: &str) -> Value {
    let output = Output::of(Command::new("sh").args(["-c", line]).current_dir("/"));
    assert_eq!(output.code, 0, "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("not JSON: {}", output.stdout))
}

#[tokio::test(flavor = "multi_thread")]
async fn banner_curl_command_works_on_first_and_second_start() {
    let setup = setup(Kind::Sqlite).await;
    let mut first = setup.spawn();
    let (banner, line) = curl(&first);
    assert!(
        banner.contains(&format!("http://127.0.0.1:{}", setup.public)),
        "{banner}"
    );
    assert!(banner.contains("oauth2.db"), "{banner}");
    let token = paste(&line);
    assert_eq!(token["token_type"], "Bearer");
    assert_eq!(token["scope"], "read write");
    let made = snapshot(&setup.directory().join("data"));
    first.signal("TERM");
    assert_eq!(first.wait(PATIENCE).await.code(), Some(0));

    let second = setup.spawn();
    let (_, again) = curl(&second);
    assert_eq!(again, line, "the second start offers the same command");
    assert_eq!(paste(&again)["token_type"], "Bearer");
    assert_eq!(
        snapshot(&setup.directory().join("data")),
        made,
        "the second start keeps every secret"
    );
    let server = DedicatedServer::from_process(setup, second).await;
    let secret = std::fs::read_to_string(server.setup.directory().join("data/demo_client_secret")).unwrap();
    let demo = oauth2_testkit::Credentials::new("demo", secret.trim());
    assert!(
        server.is_active(&demo, token["access_token"].as_str().unwrap()).await,
        "a token of the first start is still good"
    );
}

/// The generated secrets and the mode of each file.
fn snapshot(data: &Path) -> Vec<(&'static str, String, u32)> {
    let read = |name: &'static str| {
        let path = data.join(name);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        (name, std::fs::read_to_string(path).unwrap(), mode)
    };
    let files = ["admin_token", "key_encryption_key", "demo_client_secret"].map(read);
    for (name, content, mode) in &files {
        assert_eq!(*mode, 0o600, "{name}");
        assert!(content.trim().len() >= 40, "{name}");
    }
    files.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_client_is_made_after_a_start_that_found_its_port_taken() {
    let setup = setup(Kind::Sqlite).await;
    let taken = std::net::TcpListener::bind(("127.0.0.1", setup.public)).unwrap();
    let failed = setup.run(&[]);
    assert_eq!(failed.code, 3, "{}", failed.stderr);
    drop(taken);
    let process = setup.spawn();
    let (_, line) = curl(&process);
    assert_eq!(paste(&line)["token_type"], "Bearer");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_demo_client_is_not_made_again() {
    let mut server = start(Kind::Sqlite).await;
    assert_eq!(server.setup.run(&["client", "delete", "demo"]).code, 0);
    server.process.kill();
    server.start_again().await;
    assert_eq!(server.setup.run(&["client", "show", "demo"]).code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_store_has_no_demo_client() {
    let server = start(Kind::Postgres).await;
    let listed = server.setup.json(&["client", "list", "--json"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn second_server_on_the_same_file_exits_with_3() {
    let server = start(Kind::Sqlite).await;
    let second = server.setup.run(&[]);
    assert_eq!(second.code, 3, "{}", second.stderr);
    assert!(second.stderr.contains("oauth2.db"), "{}", second.stderr);
    assert_eq!(server.setup.run(&["client", "list"]).code, 0);
}
