//! Tokens of the issuer that the server replaces stay introspectable until they expire.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2_testkit::{DedicatedServer, Kind};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::old_issuer::{OLD, OldIssuer, claims, migrated, now};
use super::{admin, until};

on_both_stores!(
    tokens_of_the_replaced_issuer_are_active_until_they_expire,
    only_access_tokens_of_that_issuer_and_key_are_active,
    tokens_of_the_replaced_issuer_can_be_revoked,
    a_leaked_key_is_revoked_under_every_id,
);

async fn tokens_of_the_replaced_issuer_are_active_until_they_expire(store: Kind) {
    let old = OldIssuer::new("public:hydra.jwt.access-token");
    let (server, client) = migrated(store, &old).await;
    let resource = server.register(json!({"introspection_audiences": ["account"]})).await;
    let stranger = server
        .register(json!({"introspection_audiences": ["https://other.example"]}))
        .await;

    let given = claims(&client, &json!({"nbf": now() - 10}));
    let token = old.token(&given);
    let expected = json!({
        "active": true, "client_id": "ci", "iss": OLD, "sub": "a user", "aud": ["https://api.example", "account"], "jti": "trrtcc:5",
        "iat": given["iat"], "nbf": given["nbf"], "exp": given["exp"], "scope": "read write", "token_type": "Bearer",
    });
    for caller in [&client, &resource] {
        assert_eq!(
            server.introspect(caller, &token).await,
            expected,
            "known members, written by this server"
        );
    }
    assert_eq!(server.introspect(&stranger, &token).await, json!({"active": false}));

    let bare = json!({"iss": OLD, "exp": now() + 6, "sub": client.id, "aud": client.id});
    let brief = old.token(&bare);
    let own = server.token(&client).await;
    let answers = server
        .introspect_batch(&client, &[&token, &brief, "opaque-of-the-old-issuer", &own])
        .await;
    let expected_of_brief = json!({"active": true, "client_id": "ci", "iss": OLD, "sub": "ci", "aud": "ci", "exp": bare["exp"], "token_type": "Bearer"});
    assert_eq!(answers[0], expected);
    assert_eq!(answers[1], expected_of_brief);
    assert_eq!(answers[2], json!({"active": false}));
    assert_eq!(answers[3]["active"], true);
    let inspected = server.setup.run(&["token", "inspect", &token]);
    assert_eq!(inspected.code, 0, "{}{}", inspected.stderr, inspected.stdout);
    until("the token expires", async || !server.is_active(&client, &brief).await).await;

    let inspected = server.setup.run(&["token", "inspect", &brief]);
    assert_eq!(inspected.code, 2, "{}", inspected.stdout);

    // Its client decides here, too.
    let disabled = server
        .admin(Method::PATCH, "/clients/ci")
        .json(&json!({"disabled": true}))
        .send()
        .await
        .unwrap();
    assert_eq!(disabled.status(), StatusCode::OK);
    assert!(!server.is_active(&resource, &token).await);
    let inspected = server.setup.run(&["token", "inspect", &token]);
    assert!(
        inspected.code == 2 && inspected.stderr.contains("not active"),
        "{}",
        inspected.stderr
    );
}

async fn only_access_tokens_of_that_issuer_and_key_are_active(store: Kind) {
    let old = OldIssuer::new("2f1c0d3e-77aa-4c55-8f2e-6a9f1f0c7d11");
    let (server, client) = migrated(store, &old).await;
    let token = old.token(&claims(&client, &json!({})));
    let inactive = async |token: &str, why: &str| {
        assert_eq!(
            server.introspect(&client, token).await,
            json!({"active": false}),
            "{why}"
        );
    };
    for (why, more) in [
        ("expired", json!({"exp": now() - 1})),
        ("without an end", json!({"exp": null})),
        ("not valid yet", json!({"nbf": now() + 300})),
        ("issued in the future", json!({"iat": now() + 300})),
        ("of another issuer", json!({"iss": "https://other.example"})),
        ("in the name of this server", json!({"iss": server.issuer()})),
        ("without an issuer", json!({"iss": null})),
        ("of a client that is not registered here", json!({"azp": "nobody"})),
        ("of no client", json!({"azp": null})),
        ("an ID token", json!({"nonce": "n"})),
        ("an ID token without a nonce", json!({"aud": client.id})),
        ("a refresh token", json!({"typ": "Refresh"})),
        ("bound to a key", json!({"cnf": {"jkt": "x"}})),
    ] {
        inactive(&old.token(&claims(&client, &more)), why).await;
    }
    let good = claims(&client, &json!({}));
    let other = OldIssuer::new(old.kid);
    inactive(&other.token(&good), "signed by another key").await;
    for (why, header) in [
        ("another kid", json!({"alg": "ES256", "kid": "other"})),
        ("another algorithm", json!({"alg": "EdDSA", "kid": old.kid})),
        ("no algorithm", json!({"alg": "none", "kid": old.kid})),
        (
            "another type",
            json!({"alg": "ES256", "kid": old.kid, "typ": "logout+jwt"}),
        ),
        ("an extension", json!({"alg": "ES256", "kid": old.kid, "crit": ["exp"]})),
    ] {
        inactive(&old.sign(&header, &good), why).await;
    }
    let without_kid = old.sign(&json!({"alg": "ES256"}), &good);
    assert!(
        server.is_active(&client, &without_kid).await,
        "some issuers name no key"
    );
    let invalid_text = old.sign_bytes(
        &json!({"alg": "ES256", "kid": old.kid}).to_string(),
        &[b"{\"x\":\"\xff\",".as_slice(), &good.to_string().as_bytes()[1..]].concat(),
    );
    inactive(&invalid_text, "not UTF-8").await;
    let unsigned = token.rsplit_once('.').unwrap().0;
    inactive(&format!("{unsigned}."), "unsigned").await;
    inactive(unsigned, "two parts").await;
    for at in (0..token.len()).step_by(11) {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        if changed != token {
            inactive(&changed, "changed").await;
        }
    }
    // The key does not vouch for this server: its tokens are not accepted by the admin API, nor as this server's.
    let forged = old.token(&claims(
        &client,
        &json!({"iss": server.issuer(), "scope": "oauth2.admin", "aud": "oauth2_server"}),
    ));
    let response = server
        .http
        .get(server.management_url("/admin/v1/keys"))
        .bearer_auth(&forged);
    assert_eq!(response.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert!(server.is_active(&client, &token).await);
}

/// The other valid ES256 signature of the same text: (r, n - s).
fn other_signature(token: &str) -> String {
    const N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let (n, mut borrow) = (hex::decode(N).unwrap(), 0_i16);
    for at in (0..32).rev() {
        let difference = i16::from(n[at]) - i16::from(signature[32 + at]) - borrow;
        borrow = i16::from(difference < 0);
        signature[32 + at] = difference.rem_euclid(256) as u8;
    }
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn tokens_of_the_replaced_issuer_can_be_revoked(store: Kind) {
    let old = OldIssuer::new("K");
    let (mut server, client) = migrated(store, &old).await;
    let other = server.register(json!({"introspection_audiences": ["account"]})).await;
    let named = old.token(&claims(&client, &json!({})));
    let unnamed = old.token(&claims(&client, &json!({"jti": null})));
    let kept = old.token(&claims(&client, &json!({"jti": "kept"})));
    let second = match store {
        Kind::Postgres => Some(DedicatedServer::start(server.setup.second_node()).await),
        Kind::Sqlite => None,
    };
    server.revoke(&other, &named).await;
    assert!(
        server.is_active(&client, &named).await,
        "another client cannot revoke it"
    );
    for token in [&named, &unnamed] {
        assert!(server.is_active(&client, token).await);
        server.revoke(&client, token).await;
        assert!(!server.is_active(&client, token).await);
        let again = other_signature(token);
        assert_ne!(again, *token);
        assert!(!server.is_active(&client, &again).await, "signed differently");
        if let Some(second) = &second {
            until("the other node knows", async || !second.is_active(&client, token).await).await;
        }
    }
    assert!(server.is_active(&client, &other_signature(&kept)).await);
    super::restart(&mut server).await;
    assert!(!server.is_active(&client, &named).await && !server.is_active(&client, &unnamed).await);
    assert!(server.is_active(&client, &kept).await);
    // By an operator, who has the whole token.
    let found = old.token(&claims(&client, &json!({"jti": "found in a log"})));
    assert!(server.is_active(&client, &found).await);
    let revoked = server.setup.run(&["token", "revoke", &found]);
    assert_eq!(revoked.code, 0, "{}", revoked.stderr);
    until("the server knows", async || !server.is_active(&client, &found).await).await;
    let endless = old.token(&claims(&client, &json!({"jti": "endless", "exp": 253_402_300_799_i64})));
    assert!(server.is_active(&client, &endless).await);
    server.revoke(&client, &endless).await;
    assert!(!server.is_active(&client, &endless).await);
    assert_eq!(kept_for_decades(&server).await, 0, "as when an operator revokes it");
    // A cut-off of the client holds for what it was issued before.
    let later = old.token(&claims(&client, &json!({"jti": "later", "iat": now() + 20})));
    let undated = old.token(&claims(&client, &json!({"jti": "undated", "iat": null})));
    admin(&server, Method::POST, "/clients/ci/tokens:revoke-all", json!({})).await;
    assert!(!server.is_active(&client, &kept).await && !server.is_active(&client, &undated).await);
    assert!(server.is_active(&client, &later).await);
}

/// How many revocations are kept for more than eleven years.
async fn kept_for_decades(server: &DedicatedServer) -> i64 {
    let select = "SELECT count(*) FROM revocations WHERE expires_at >";
    if let Some(url) = server.setup.database_url() {
        let client = oauth2_testkit::postgres::connect(url).await;
        let select = format!("{select} now() + interval '11 years'");
        return client.query_one(&select, &[]).await.unwrap().get(0);
    }
    let select = format!("{select} unixepoch('now', '+11 years')");
    let database = server.setup.sqlite();
    database.query_row(&select, [], |row| row.get(0)).unwrap()
}

async fn a_leaked_key_is_revoked_under_every_id(store: Kind) {
    for revoked in ["new", "old"] {
        let old = OldIssuer::new("old");
        let (server, client) = migrated(store, &old).await;
        let token = old.token(&claims(&client, &json!({})));
        let mut jwk = old.private_jwk();
        jwk["kid"] = "new".into();
        let imported = server
            .setup
            .run_with_input(&["key", "import", "-", "--published"], &jwk.to_string());
        assert_eq!(imported.code, 0, "{}", imported.stderr);
        let signs = json!({"token_format": "jwt", "signing_alg": "ES256"});
        let signs = server.register(signs).await;
        until("the key signs", async || {
            super::kid_of(&server.token(&signs).await) == "new"
        })
        .await;
        let own = server.token(&signs).await;
        assert!(server.is_active(&client, &token).await && server.is_active(&signs, &own).await);

        let output = server.setup.run(&["key", "revoke", revoked]);
        assert_eq!(output.code, 0, "{}", output.stderr);
        until("the tokens are revoked", async || {
            !server.is_active(&client, &token).await && !server.is_active(&signs, &own).await
        })
        .await;
        let listed = admin(&server, Method::GET, "/keys", json!({})).await.to_string();
        assert!(
            !listed.contains("\"kid\":\"new\"") && !listed.contains("\"kid\":\"old\""),
            "{listed}"
        );
        until("another key signs", async || {
            let next = server.token(&signs).await;
            super::kid_of(&next) != "new" && server.is_active(&signs, &next).await
        })
        .await;
        for arguments in [&["--published"][..], &["--verify-only", "--issuer", OLD]] {
            let again = [&["key", "import", "-"], arguments].concat();
            let again = server.setup.run_with_input(&again, &jwk.to_string());
            assert!(
                again.code == 2 && again.stderr.contains("was revoked"),
                "{} {}",
                again.code,
                again.stderr
            );
        }
    }
}
