//! How self-contained tokens are found to be ours: as signed by this process, by their signature, or as checked before.

use oauth2_testkit::{Credentials, Kind, Server};
use serde_json::json;

use crate::start;

on_both_stores!(
    only_byte_identical_tokens_skip_the_signature_check,
    tokens_of_an_earlier_process_are_verified_once,
);

/// One client for each way of signing, and a token of each.
async fn one_of_each(server: &Server) -> Vec<(Credentials, String)> {
    let mut tokens = Vec::new();
    for metadata in [
        json!({"scope": "read", "token_format": "paseto"}),
        json!({"scope": "read", "token_format": "jwt"}),
        json!({"scope": "read", "token_format": "jwt", "signing_alg": "ES256"}),
        json!({"scope": "read", "token_format": "paseto", "token_ledger": "stateless"}),
    ] {
        let client = server.register(metadata).await;
        let token = server.token(&client).await;
        tokens.push((client, token));
    }
    tokens
}

/// The token with one character changed, at some places in each of its parts.
fn forgeries(token: &str) -> impl Iterator<Item = String> {
    let changed = |at: usize| {
        let other = match &token[at..=at] {
            "A" => "B",
            "." => return None,
            _ => "A",
        };
        Some(format!("{}{other}{}", &token[..at], &token[at + 1..]))
    };
    let last = token.len() - 1;
    (0..last).step_by(17).chain([last]).filter_map(changed)
}

async fn counted(server: &Server, result: &str) -> Option<f64> {
    let name = "oauth2_server_verified_token_cache_total";
    server.metric(name, &[("result", result)]).await
}

async fn none_is_taken_for_real(server: &Server, client: &Credentials, token: &str) {
    for forged in forgeries(token) {
        assert!(!server.is_active(client, &forged).await, "{token} as {forged}");
    }
}

async fn only_byte_identical_tokens_skip_the_signature_check(kind: Kind) {
    let server = start(kind).await;
    let tokens = one_of_each(&server).await;
    for (client, token) in &tokens {
        assert!(server.is_active(client, token).await);
    }
    assert_eq!(counted(&server, "issued").await, Some(4.0));
    assert_eq!(counted(&server, "miss").await, Some(0.0));
    for (client, token) in &tokens {
        none_is_taken_for_real(&server, client, token).await;
        assert!(server.is_active(client, token).await);
        server.revoke(client, token).await;
        assert!(!server.is_active(client, token).await);
    }
}

async fn tokens_of_an_earlier_process_are_verified_once(kind: Kind) {
    let mut server = start(kind).await;
    let tokens = one_of_each(&server).await;
    let other = server.register(json!({"scope": "read"})).await;
    let revoked = server.token(&other).await;
    server.revoke(&other, &revoked).await;
    server.process.kill();
    server.start_again().await;
    assert!(!server.is_active(&other, &revoked).await);
    for (client, token) in &tokens {
        none_is_taken_for_real(&server, client, token).await;
        let checked = counted(&server, "miss").await.unwrap();
        assert!(server.is_active(client, token).await);
        assert_eq!(counted(&server, "miss").await, Some(checked + 1.0));
        assert!(server.is_active(client, token).await);
        assert_eq!(counted(&server, "miss").await, Some(checked + 1.0));
        none_is_taken_for_real(&server, client, token).await;
    }
    assert_eq!(counted(&server, "hit").await, Some(4.0));
    assert_eq!(counted(&server, "issued").await, Some(0.0));
}
