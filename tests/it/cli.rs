//! The subcommands: their output and their changes, with and without a running server.

use std::time::Duration;

use oauth2_testkit::{Credentials, Kind, Output, Server, Setup, until};
use reqwest::StatusCode;

use crate::setup;

mod clients;
mod clock;
mod diagnostics;
mod pipes;
mod production;
mod running_server;
mod schema;
mod tokens;
mod top;
mod usage;

/// A running server notices a change within one second; the second one is for a busy machine.
const NOTICED: Duration = Duration::from_secs(2);

/// A store with a schema that no server has served from.
pub async fn migrated(kind: Kind) -> Setup {
    let setup = setup(kind).await;
    let output = setup.run(&["migrate"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    setup
}

/// Waits until what was done at the command line shows over HTTP.
async fn noticed(what: &str, shows: impl AsyncFn() -> bool) {
    until(NOTICED, what, shows).await;
}

/// Whether the server takes these credentials.
async fn is_let_in(server: &Server, client: &Credentials) -> bool {
    let response = server.request_token(client, &[]).await;
    match response.status() {
        StatusCode::OK => true,
        StatusCode::UNAUTHORIZED => false,
        other => panic!("{other}"),
    }
}

/// A token for a client that was made at the command line, as soon as the server knows it.
pub async fn first_token(server: &Server, client: &Credentials) -> String {
    noticed("a new client", async || is_let_in(server, client).await).await;
    server.token(client).await
}

/// The response of a subcommand that ends well and has nothing to say beside it.
pub fn stdout_of(setup: &Setup, arguments: &[&str]) -> String {
    let output = setup.run(arguments);
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (0, ""),
        "{arguments:?}: {}",
        output.stdout
    );
    assert!(output.stdout.ends_with('\n'), "{arguments:?}: {}", output.stdout);
    assert!(!output.stdout.contains('\u{1b}'), "{arguments:?}: {}", output.stdout);
    output.stdout
}

/// A subcommand that ends with this code, answers nothing, and says why in one sentence that holds these words. What
/// `serve` logs before that, one JSON object a line, is another matter.
pub fn rejected(output: &Output, code: i32, words: &[&str]) {
    assert_eq!((output.code, output.stdout.as_str()), (code, ""), "{}", output.stderr);
    let lines: Vec<_> = output.stderr.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(lines.len(), 1, "{}", output.stderr);
    assert!(lines[0].starts_with("error: ") && lines[0].len() < 400, "{}", lines[0]);
    for word in words {
        assert!(lines[0].contains(word), "{word} is missing in: {}", lines[0]);
    }
}
