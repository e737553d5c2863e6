//! Revocation (RFC 7009), one token and many at once, and that it lasts.

use oauth2_testkit::server::json;
use oauth2_testkit::{Credentials, Kind, Server};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{shared, start};

mod orders;

on_both_stores!(
    client_revokes_only_its_own_tokens,
    revoked_token_stays_revoked_after_a_crash,
    cut_off_revokes_earlier_tokens_only,
    revocation_by_another_process_takes_effect,
    cut_off_includes_exactly_its_own_millisecond,
    cut_off_from_a_clock_ahead_spares_later_tokens,
    deleted_client_stays_deleted,
);

const FORMATS: [&str; 3] = ["paseto", "jwt", "opaque"];

async fn client(server: &Server, format: &str) -> Credentials {
    server.register(json!({"scope": "read", "token_format": format})).await
}

async fn client_revokes_only_its_own_tokens(kind: Kind) {
    let server = shared(kind).await;
    for format in FORMATS {
        let (owner, stranger) = (client(&server, format).await, client(&server, format).await);
        let token = server.token(&owner).await;
        server.revoke(&stranger, &token).await;
        assert!(
            server.is_active(&owner, &token).await,
            "a stranger's request has no effect"
        );
        let hinted = [("token", token.as_str()), ("token_type_hint", "nonsense")];
        let response = server.post(&owner, "/oauth/revoke", &hinted).await;
        assert_eq!(
            (response.status(), response.text().await.unwrap().as_str()),
            (StatusCode::OK, "")
        );
        assert!(!server.is_active(&owner, &token).await);
        server.revoke(&owner, &token).await;
        assert!(!server.is_active(&owner, &token).await, "twice is once");
    }
}

async fn revoked_token_stays_revoked_after_a_crash(kind: Kind) {
    let mut server = start(kind).await;
    let mut tokens = Vec::new();
    for format in FORMATS {
        for ledger in ["durable", "stateless"] {
            if (format, ledger) == ("opaque", "stateless") {
                continue;
            }
            let metadata = json!({"scope": "read", "token_format": format, "token_ledger": ledger});
            let client = server.register(metadata).await;
            let (kept, revoked) = (server.token(&client).await, server.token(&client).await);
            server.revoke(&client, &revoked).await;
            tokens.push((client, kept, revoked));
        }
    }
    server.process.kill();
    server.start_again().await;
    for (client, kept, revoked) in &tokens {
        assert!(server.is_active(client, kept).await);
        assert!(!server.is_active(client, revoked).await);
    }
}

async fn cut_off_revokes_earlier_tokens_only(kind: Kind) {
    let mut server = start(kind).await;
    let (one, two) = (client(&server, "paseto").await, client(&server, "opaque").await);
    let before = [server.token(&one).await, server.token(&two).await];

    let of_one = format!("/clients/{}/tokens:revoke-all", one.id);
    assert_eq!(
        server.admin(Method::POST, &of_one).send().await.unwrap().status(),
        StatusCode::OK
    );
    let between = server.token(&one).await;
    assert!(!server.is_active(&one, &before[0]).await);
    assert!(server.is_active(&one, &between).await, "minted after the response");
    assert!(server.is_active(&two, &before[1]).await, "another client's");

    let response = server.admin(Method::POST, "/tokens:revoke-all").send().await.unwrap();
    assert!(json(response).await["revoked_before_ms"].as_u64().unwrap() > 1_700_000_000_000);
    let after = [server.token(&one).await, server.token(&two).await];
    for round in 0..2 {
        for (client, dead) in [(&one, &between), (&two, &before[1])] {
            assert!(!server.is_active(client, dead).await, "round {round}");
        }
        for (client, alive) in [(&one, &after[0]), (&two, &after[1])] {
            assert!(server.is_active(client, alive).await, "round {round}");
        }
        server.process.kill();
        server.start_again().await;
    }
}

/// What another process wrote is in force here within a second; asserted at twice that.
async fn revocation_by_another_process_takes_effect(kind: Kind) {
    let server = start(kind).await;
    let client = client(&server, "paseto").await;
    for command in [
        &["token", "revoke"][..],
        &["token", "revoke", "--client", &client.id],
        &["token", "revoke", "--all"],
    ] {
        let token = server.token(&client).await;
        let mut command = command.to_vec();
        if command.len() == 2 {
            command.push(&token);
        }
        let output = server.setup.run(&command);
        assert_eq!(output.code, 0, "{}", output.stderr);
        let gone = async {
            while server.is_active(&client, &token).await {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(std::time::Duration::from_secs(2), gone).await;
        assert!(in_time.is_ok(), "{command:?} did not arrive");
        let next = server.token(&client).await;
        assert!(server.is_active(&client, &next).await, "what is minted later is good");
    }
}

async fn deleted_client_stays_deleted(kind: Kind) {
    let server = shared(kind).await;
    let metadata = json!({"client_id": "phoenix", "scope": "read"});
    let first = server.register(metadata.clone()).await;
    let token = server.token(&first).await;
    let path = format!("/clients/{}", first.id);
    assert_eq!(
        server.admin(Method::DELETE, &path).send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        server.request_token(&first, &[]).await.status(),
        StatusCode::UNAUTHORIZED
    );
    let second = server.register(metadata).await;
    assert!(
        !server.is_active(&second, &token).await,
        "the same name revives nothing"
    );
    assert_eq!(
        server.request_token(&first, &[]).await.status(),
        StatusCode::UNAUTHORIZED
    );
    let fresh = server.token(&second).await;
    assert!(server.is_active(&second, &fresh).await);
}

/// Appends a client's cut-off to the log as another node would, without asking this one.
async fn cut_off_elsewhere(server: &Server, client: &Credentials, cutoff_ms: u64) {
    let later = "9999-01-01";
    let insert = |expires_at: &str| {
        format!(
            "INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at)
             VALUES ('client', '{}', {cutoff_ms}, {expires_at})",
            client.id
        )
    };
    if let Some(url) = server.setup.database_url() {
        let database = oauth2_testkit::postgres::connect(url).await;
        database.batch_execute(&insert(&format!("'{later}'"))).await.unwrap();
    } else {
        let database = rusqlite::Connection::open(server.setup.database_file()).unwrap();
        let expires_at = format!("unixepoch('{later}')");
        database.execute_batch(&insert(&expires_at)).unwrap();
    }
}

/// What another node wrote is in force here within a second; asserted at twice that.
async fn dies(server: &Server, client: &Credentials, token: &str) {
    let gone = async {
        while server.is_active(client, token).await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(2), gone).await;
    assert!(in_time.is_ok(), "the cut-off did not arrive");
}

/// The millisecond that the token's id carries.
async fn minted_ms(server: &Server, client: &Credentials, token: &str) -> u64 {
    let claims = server.introspect(client, token).await;
    let id: uuid::Uuid = claims["jti"].as_str().unwrap().parse().unwrap();
    (id.as_u128() >> 80) as u64
}

async fn cut_off_includes_exactly_its_own_millisecond(kind: Kind) {
    let server = shared(kind).await;
    let client = client(&server, "paseto").await;
    let older = server.token(&client).await;
    let (mut newer, mut at) = (older.clone(), minted_ms(&server, &client, &older).await);
    let first = at;
    while at == first {
        newer = server.token(&client).await;
        at = minted_ms(&server, &client, &newer).await;
    }
    cut_off_elsewhere(&server, &client, at - 1).await;
    dies(&server, &client, &older).await;
    assert!(server.is_active(&client, &newer).await, "minted a millisecond later");
    cut_off_elsewhere(&server, &client, at).await;
    dies(&server, &client, &newer).await;
}

/// The clocks of nodes may differ by 30 s. What is minted once the cut-off is known here must lie beyond it.
async fn cut_off_from_a_clock_ahead_spares_later_tokens(kind: Kind) {
    let server = start(kind).await;
    let client = client(&server, "paseto").await;
    let before = server.token(&client).await;
    let ahead = minted_ms(&server, &client, &before).await + 15_000;
    cut_off_elsewhere(&server, &client, ahead).await;
    dies(&server, &client, &before).await;
    let after = server.token(&client).await;
    assert!(
        server.is_active(&client, &after).await,
        "minted after the cut-off arrived"
    );
    assert!(minted_ms(&server, &client, &after).await > ahead);
}
