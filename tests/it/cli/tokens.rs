//! `token …` beside a running server.

use oauth2_testkit::{Credentials, Kind, Server};
use serde_json::{Value, json};

use super::{noticed, rejected, stdout_of};
use crate::start;

on_both_stores!(
    tokens_are_listed_and_shown,
    single_token_is_revoked,
    stateless_token_is_revoked,
    token_of_a_revoked_key_is_inactive,
    all_tokens_of_a_client_are_revoked,
    all_tokens_are_revoked,
    malformed_token_is_rejected,
);

async fn client(server: &Server, id: &str, format: &str) -> Credentials {
    let metadata = json!({"client_id": id, "scope": "read", "token_format": format});
    server.register(metadata).await
}

async fn jti(server: &Server, client: &Credentials, token: &str) -> String {
    let told = server.introspect(client, token).await;
    told["jti"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned()
}

async fn dies(server: &Server, client: &Credentials, token: &str) {
    noticed("a token is revoked", async || !server.is_active(client, token).await).await;
}

async fn tokens_are_listed_and_shown(kind: Kind) {
    let server = start(kind).await;
    let made = client(&server, "ci", "opaque").await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let token = server.token(&made).await;
        tokens.push((jti(&server, &made, &token).await, token));
    }
    // By their ids, which begin with the millisecond of issue and are random within one.
    let mut newest_first: Vec<_> = tokens.iter().map(|(jti, _)| jti.as_str()).collect();
    newest_first.sort_by(|one, other| other.cmp(one));
    let ids = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|token| token["jti"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = server
        .setup
        .json(&["token", "list", "--client", "ci", "--limit", "2", "--json"]);
    assert_eq!(ids(&first), newest_first[..2]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = server
        .setup
        .json(&["token", "list", "--client", "ci", "--cursor", cursor, "--json"]);
    assert_eq!(ids(&second), newest_first[2..]);
    assert_eq!(second["next_cursor"], Value::Null);

    let table = stdout_of(&server.setup, &["token", "list", "--client", "ci"]);
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.starts_with("JTI "), "{table}");
    for (jti, token) in &tokens {
        assert!(
            table.contains(jti.as_str()) && !table.contains(token.as_str()),
            "{table}"
        );
    }

    let (jti, token) = &tokens[0];
    let told = server.introspect(&made, token).await;
    let expected = json!({
        "jti": jti, "client_id": "ci", "user_id": null, "scope": "read", "aud": server.issuer(),
        "token_format": "opaque", "iat": told["iat"], "exp": told["exp"], "active": true,
    });
    assert_eq!(
        server.setup.json(&["token", "show", jti, "--json"]),
        expected,
        "by its id"
    );
    assert_eq!(
        server.setup.json(&["token", "show", token, "--json"]),
        expected,
        "by itself"
    );
    let shown = stdout_of(&server.setup, &["token", "show", jti]);
    assert!(shown.contains("active ") && !shown.contains(token.as_str()), "{shown}");
    server.revoke(&made, token).await;
    assert_eq!(server.setup.json(&["token", "show", jti, "--json"])["active"], false);
}

async fn single_token_is_revoked(kind: Kind) {
    let server = start(kind).await;
    for format in ["paseto", "jwt", "opaque"] {
        let made = client(&server, format, format).await;
        let mut tokens = Vec::new();
        for _ in 0..4 {
            tokens.push(server.token(&made).await);
        }
        let [by_id, by_itself, by_stdin, spared] = [0, 1, 2, 3].map(|n| tokens[n].as_str());
        let id = jti(&server, &made, by_id).await;
        let told = server.setup.json(&["token", "revoke", &id, "--json"]);
        assert_eq!(told, json!({ "revoked": id }));
        dies(&server, &made, by_id).await;
        stdout_of(&server.setup, &["token", "revoke", by_itself]);
        dies(&server, &made, by_itself).await;
        let output = server
            .setup
            .run_with_input(&["token", "revoke", "-"], &format!("{by_stdin}\n"));
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(!output.stdout.contains(by_stdin), "never the token itself");
        dies(&server, &made, by_stdin).await;
        stdout_of(&server.setup, &["token", "revoke", &id]);
        assert!(server.is_active(&made, spared).await);
    }
}

async fn stateless_token_is_revoked(kind: Kind) {
    let server = start(kind).await;
    let metadata = json!({"client_id": "ci", "scope": "read", "token_ledger": "stateless"});
    let made = server.register(metadata).await;
    let token = server.token(&made).await;
    let id = jti(&server, &made, &token).await;
    rejected(&server.setup.run(&["token", "show", &id]), 2, &[&id, "stateless"]);
    stdout_of(&server.setup, &["token", "revoke", &id]);
    dies(&server, &made, &token).await;
}

async fn token_of_a_revoked_key_is_inactive(store: Kind) {
    let server = start(store).await;
    for format in ["paseto", "jwt"] {
        let made = client(&server, format, format).await;
        let token = server.token(&made).await;
        let told = server.setup.json(&["token", "inspect", &token, "--json"]);
        let (kid, id) = (told["header"]["kid"].as_str().unwrap(), &told["claims"]["jti"]);
        let active = |token: &str| server.setup.json(&["token", "show", token, "--json"])["active"].clone();
        assert_eq!(active(&token), true);
        stdout_of(&server.setup, &["key", "revoke", kid]);
        assert_eq!(active(&token), false);
        assert_eq!(active(id.as_str().unwrap()), true, "its record does not name the key");
        dies(&server, &made, &token).await;
        let next = server.token(&made).await;
        assert_eq!(active(&next), true);
    }
    let help = stdout_of(&server.setup, &["token", "show", "--help"]);
    assert!(help.contains("key revoke"), "{help}");
}

async fn all_tokens_of_a_client_are_revoked(kind: Kind) {
    let server = start(kind).await;
    let (one, other) = (
        client(&server, "one", "paseto").await,
        client(&server, "other", "jwt").await,
    );
    let (first, second) = (server.token(&one).await, server.token(&one).await);
    let spared = server.token(&other).await;
    let told = server.setup.json(&["token", "revoke", "--client", "one", "--json"]);
    assert!(
        told["revoked_before_ms"].as_u64().unwrap() > 1_700_000_000_000,
        "{told}"
    );
    let after = server.token(&one).await;
    dies(&server, &one, &first).await;
    assert!(!server.is_active(&one, &second).await);
    assert!(server.is_active(&other, &spared).await);
    assert!(
        server.is_active(&one, &after).await,
        "what is minted afterwards is good"
    );
}

async fn all_tokens_are_revoked(kind: Kind) {
    let mut server = start(kind).await;
    let (one, other) = (
        client(&server, "one", "opaque").await,
        client(&server, "other", "jwt").await,
    );
    let (first, second) = (server.token(&one).await, server.token(&other).await);
    let told = stdout_of(&server.setup, &["token", "revoke", "--all"]);
    assert!(told.contains("every token"), "{told}");
    let after = server.token(&one).await;
    dies(&server, &one, &first).await;
    assert!(!server.is_active(&other, &second).await);
    assert!(
        server.is_active(&one, &after).await,
        "what is minted afterwards is good"
    );

    server.process.kill();
    server.start_again().await;
    assert!(!server.is_active(&other, &second).await, "still after a crash");
    assert!(server.is_active(&one, &after).await);
}

async fn malformed_token_is_rejected(kind: Kind) {
    let server = start(kind).await;
    let made = client(&server, "ci", "paseto").await;
    let token = server.token(&made).await;
    for text in [
        "x",
        "",
        &token[..token.len() / 2],
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        "oas_at_x",
    ] {
        for verb in ["show", "revoke"] {
            rejected(&server.setup.run(&["token", verb, text]), 2, &["token"]);
        }
    }
    let unknown = "01900000-0000-7000-8000-000000000000";
    rejected(&server.setup.run(&["token", "show", unknown]), 2, &[unknown]);
    let cursor = server.setup.run(&["token", "list", "--client", "ci", "--cursor", "x"]);
    rejected(&cursor, 2, &["--cursor"]);
    assert!(server.is_active(&made, &token).await);
}
