//! `top`: a live view of a running server.

use std::process::Stdio;

use oauth2_testkit::Kind;
use serde_json::{Value, json};

use super::{migrated, rejected};
use crate::start;

on_both_stores!(
    view_shows_what_happens_between_two_scrapes,
    server_that_does_not_run_is_named,
);

async fn view_shows_what_happens_between_two_scrapes(kind: Kind) {
    let server = start(kind).await;
    let client = server
        .register(json!({"client_id": "busy", "scope": "read", "token_format": "jwt"}))
        .await;
    let mut top = server
        .setup
        .command(&["top", "--interval", "1", "--views", "3", "--json"]);
    let top = top.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let output = tokio::task::spawn_blocking(move || top.wait_with_output().unwrap());
    while !output.is_finished() {
        server.token(&client).await;
    }
    let output = output.await.unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let views: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(views.len(), 3);
    let last = &views[2];
    assert_eq!((&last["ready"], &last["store_writable"]), (&json!(true), &json!(true)));
    assert!(last["tokens_per_second"].as_f64().unwrap() > 0.0, "{last}");
    assert_eq!(last["tokens_by_format"][0]["name"], "jwt");
    assert_eq!(last["routes"][0]["route"], "/oauth/token");
    assert!(last["routes"][0]["p99_seconds"].as_f64().unwrap() > 0.0, "{last}");
    assert!(last["commits"]["rows"].as_f64().unwrap() >= 1.0, "{last}");
    let actors = last["actors"].as_array().unwrap();
    assert!(actors.iter().any(|actor| actor["actor"] == "token_store"), "{last}");
    // Held tokens are counted in the background.
    assert_eq!(last["busiest_clients"][0]["client_id"], "busy", "{last}");

    let text = server.setup.run(&["top", "--interval", "1", "--views", "1"]);
    assert_eq!(text.code, 0, "{}", text.stderr);
    assert!(text.stdout.contains("ready   store up"), "{}", text.stdout);
    assert!(
        text.stdout.contains("ROUTE") && text.stdout.contains("busy"),
        "{}",
        text.stdout
    );
}

async fn server_that_does_not_run_is_named(kind: Kind) {
    let setup = migrated(kind).await;
    rejected(
        &setup.run(&["top", "--views", "1"]),
        3,
        &["no response from http://127.0.0.1:", "/metrics"],
    );
    assert_eq!(setup.run(&["top", "--interval", "0"]).code, 2);
}
