//! `client …` beside a running server, which notices.

use std::time::Duration;

use oauth2_testkit::{Credentials, Kind, Server, until};

use super::{is_let_in, noticed};
use crate::start;

on_both_stores!(
    new_client_can_authenticate,
    disabling_a_client_deactivates_its_tokens,
    updated_client_takes_effect,
    deleting_a_client_revokes_its_tokens,
    both_secrets_are_valid_during_the_overlap_only,
);

/// Made at the command line, and known to the server.
async fn client(server: &Server, flags: &[&str]) -> Credentials {
    let arguments = [&["client", "create", "--scope", "read write", "--json"], flags].concat();
    let client = Credentials::of(&server.setup.json(&arguments));
    noticed("a new client", async || is_let_in(server, &client).await).await;
    client
}

/// A resource server that may ask about every token of this issuer.
async fn watcher(server: &Server) -> Credentials {
    client(
        server,
        &["--id", "watcher", "--introspection-audience", &server.issuer()],
    )
    .await
}

async fn new_client_can_authenticate(kind: Kind) {
    let server = start(kind).await;
    let made = client(&server, &["--id", "ci", "--format", "jwt"]).await;
    let token = server.token(&made).await;
    assert_eq!(token.split('.').count(), 3, "as JWT: {token}");
    assert!(server.is_active(&made, &token).await);
    let secret = "a-secret-of-the-operators-own-making-123";
    assert_eq!(client(&server, &["--secret", secret]).await.secret, secret);
}

async fn disabling_a_client_deactivates_its_tokens(kind: Kind) {
    let server = start(kind).await;
    let watcher = watcher(&server).await;
    let made = client(&server, &["--id", "ci"]).await;
    let token = server.token(&made).await;
    server.setup.json(&["client", "disable", "ci", "--json"]);
    noticed("the client is disabled", async || !is_let_in(&server, &made).await).await;
    assert!(!server.is_active(&watcher, &token).await);
    server.setup.json(&["client", "enable", "ci", "--json"]);
    noticed("the client is enabled", async || is_let_in(&server, &made).await).await;
    assert!(server.is_active(&watcher, &token).await);
}

async fn updated_client_takes_effect(kind: Kind) {
    let server = start(kind).await;
    let made = client(&server, &["--id", "ci"]).await;
    let update = [
        "client",
        "update",
        "ci",
        "--scope",
        "write",
        "--lifetime",
        "7",
        "--json",
    ];
    server.setup.json(&update);
    noticed("the new scope", async || {
        let token = server.token(&made).await;
        let told = server.introspect(&made, &token).await;
        let lifetime = told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap();
        (told["scope"].as_str(), lifetime) == (Some("write"), 7)
    })
    .await;
}

async fn deleting_a_client_revokes_its_tokens(kind: Kind) {
    let server = start(kind).await;
    let watcher = watcher(&server).await;
    let made = client(&server, &["--id", "ci"]).await;
    let token = server.token(&made).await;
    assert!(server.is_active(&watcher, &token).await);
    server.setup.json(&["client", "delete", "ci", "--json"]);
    noticed("the client is deleted", async || !is_let_in(&server, &made).await).await;
    noticed("its tokens are dead", async || {
        !server.is_active(&watcher, &token).await
    })
    .await;

    // One of the same name is another client: it does not inherit them.
    client(&server, &["--id", "ci"]).await;
    assert!(!server.is_active(&watcher, &token).await);
}

async fn both_secrets_are_valid_during_the_overlap_only(kind: Kind) {
    let server = start(kind).await;
    let first = client(&server, &["--id", "ci"]).await;
    let rotate = |overlap: &str| {
        let arguments = ["client", "rotate-secret", "ci", "--overlap", overlap, "--json"];
        Credentials::of(&server.setup.json(&arguments))
    };
    let second = rotate("3600");
    assert_ne!(first.secret, second.secret);
    noticed("the second secret", async || is_let_in(&server, &second).await).await;
    assert!(is_let_in(&server, &first).await, "during the overlap");
    let token = server.token(&first).await;

    let third = rotate("0");
    noticed("the third secret", async || is_let_in(&server, &third).await).await;
    noticed("no overlap", async || !is_let_in(&server, &second).await).await;
    assert!(server.is_active(&third, &token).await, "tokens live on");

    let fourth = rotate("2");
    noticed("the fourth secret", async || is_let_in(&server, &fourth).await).await;
    let ended = async || !is_let_in(&server, &third).await;
    until(Duration::from_secs(5), "the end of the overlap", ended).await;
    assert!(is_let_in(&server, &fourth).await);
}
