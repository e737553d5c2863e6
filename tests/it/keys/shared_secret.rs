//! HS256: what a holder of the shared secret can and cannot make.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2_testkit::{DedicatedServer, Kind};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{SECRET, until};
use crate::setup;

on_both_stores!(
    holders_of_the_shared_secret_cannot_forge_recorded_tokens,
    shared_secret_forges_only_what_its_client_could_get,
    inspection_accepts_no_forged_payload,
);

/// A token with other claims, as who has the secret can make it.
fn made_up(token: &str, changes: &Value) -> String {
    forged(token, |payload| {
        let claims: Value = serde_json::from_str(payload).unwrap();
        changes
            .as_object()
            .unwrap()
            .iter()
            .fold(payload.to_owned(), |payload, (name, value)| {
                let member = |value: &Value| format!("\"{name}\":{value}");
                payload.replacen(&member(&claims[name]), &member(value), 1)
            })
    })
}

/// A token with another payload, authenticated with the shared secret.
fn forged(token: &str, change: impl Fn(&str) -> String) -> String {
    let mut parts = token.split('.');
    let (header, payload) = (parts.next().unwrap(), parts.next().unwrap());
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(change(&payload)));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{tag}")
}

/// An id of the same moment as a token's, which no record has.
fn new_id(token: &str) -> String {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    format!("{}-7000-8000-000000000000", &claims["jti"].as_str().unwrap()[..13])
}

async fn holders_of_the_shared_secret_cannot_forge_recorded_tokens(store: Kind) {
    let server = DedicatedServer::start(setup(store).await.with("OAUTH2_JWT_SECRET", SECRET)).await;
    let old = json!({"client_id": "old", "scope": "read oauth2.admin", "token_format": "jwt", "signing_alg": "HS256"});
    let (old, other) = (
        server.register(old).await,
        server.register(json!({"client_id": "other"})).await,
    );
    let victim = server
        .register(json!({"token_format": "jwt", "signing_alg": "EdDSA"}))
        .await;
    let token = server.token(&old).await;
    let tenth = json!({"jti": "01990000-0000-7000-8000-000000000000"});
    for (what, changes) in [
        ("another client's", json!({"client_id": "other", "sub": "other"})),
        ("one without end", json!({"exp": 4_000_000_000_i64})),
        ("one of another time", tenth),
    ] {
        let made_up = made_up(&token, &changes);
        for client in [&old, &other] {
            assert!(!server.is_active(client, &made_up).await, "{what}");
        }
    }
    // Nor are the tokens of others revoked by their ids.
    let victims = server.token(&victim).await;
    let payload = URL_SAFE_NO_PAD.decode(victims.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    for (client, name) in [(&old, "old"), (&other, "other")] {
        let alike = json!({
            "client_id": name, "sub": name, "jti": claims["jti"], "iat": claims["iat"], "nbf": claims["nbf"], "exp": claims["exp"],
        });
        server.revoke(client, &made_up(&token, &alike)).await;
        assert!(server.is_active(&victim, &victims).await, "{name}");
        let inspected = server.setup.run(&["token", "inspect", &made_up(&token, &alike)]);
        assert_eq!(inspected.code, 2, "{}", inspected.stdout);
    }
    for changes in [
        json!({"iss": "https://elsewhere.example"}),
        json!({"exp": 4_000_000_000_i64}),
        json!({"client_id": "other", "sub": "other", "jti": new_id(&token)}),
    ] {
        let inspected = server.setup.run(&["token", "inspect", &made_up(&token, &changes)]);
        assert_eq!(inspected.code, 2, "{changes}: {}", inspected.stdout);
    }
    let unchanged = made_up(&token, &json!({}));
    assert!(
        server.is_active(&old, &unchanged).await,
        "that is what sharing a secret means"
    );
    let asked = reqwest::Client::new().get(server.management_url("/admin/v1/keys"));
    let refused = asked.bearer_auth(&token).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);

    // Not even for the client itself: no row has the id, and no row has these claims.
    for changes in [
        json!({"jti": new_id(&token)}),
        json!({"sub": "root"}),
        json!({"aud": "https://elsewhere.example"}),
        json!({"scope": "read"}),
        json!({"scope": "read root"}),
    ] {
        assert!(!server.is_active(&old, &made_up(&token, &changes)).await, "{changes}");
        let inspected = server.setup.run(&["token", "inspect", &made_up(&token, &changes)]);
        assert_eq!(inspected.code, 2, "{changes}: {}", inspected.stdout);
    }

    let changed = server
        .admin(Method::PATCH, "/clients/old")
        .json(&json!({"signing_alg": "ES256"}));
    assert_eq!(changed.send().await.unwrap().status(), StatusCode::OK);
    until("the change is in force", async || !server.is_active(&old, &token).await).await;
}

/// A stateless token has no row: what remains is that the client could have got it, and that the payload is the server's own writing.
async fn shared_secret_forges_only_what_its_client_could_get(store: Kind) {
    let server = DedicatedServer::start(setup(store).await.with("OAUTH2_JWT_SECRET", SECRET)).await;
    let client = json!({"client_id": "free", "scope": "read write", "token_format": "jwt", "signing_alg": "HS256",
        "token_ledger": "stateless", "claims": {"tenant": {"name": "a"}}});
    let client = server.register(client).await;
    let token = server.token(&client).await;
    assert!(server.is_active(&client, &forged(&token, str::to_owned)).await);
    for (from, to) in [
        (r#""sub":"free""#, r#""sub":"root""#),
        (r#""scope":"read write""#, r#""scope":"read root""#),
        (r#""scope":"read write""#, r#""scope":"write write""#),
        (r#""aud":""#, r#""aud":"https://elsewhere.example/"#),
        (r#""tenant":"#, r#""username":"root","tenant":"#),
        (r#""tenant":"#, r#""cnf":{"jkt":"x"},"tenant":"#),
        (r#""tenant":"#, r#""act":{"sub":"x"},"tenant":"#),
        (r#""tenant":"#, r#""active":true,"tenant":"#),
        (r#""tenant":"#, r#""token_type":"mac","tenant":"#),
        (r#""tenant":"#, r#""tenant":1,"tenant":"#),
        (r#"{"iss""#, r#"{"x":{"scope":"read write","y":{}},"iss""#),
        (r#""iss":"#, r#" "iss":"#),
    ] {
        let made = forged(&token, |payload| payload.replacen(from, to, 1));
        assert_ne!(made, token, "{from}");
        assert_eq!(
            server.introspect(&client, &made).await,
            json!({"active": false}),
            "{to}"
        );
        let batch = crate::introspect::batch(&server, &client, &[made, token.clone()]).await;
        assert_eq!(batch[0], json!({"active": false}), "{to}");
        assert_eq!(batch[1]["active"], true, "{to}");
    }
}

/// `token inspect` and introspection decide alike, with a store; without one it accepts only what this issuer would write.
async fn inspection_accepts_no_forged_payload(store: Kind) {
    let server = DedicatedServer::start(setup(store).await.with("OAUTH2_JWT_SECRET", SECRET)).await;
    let nowhere = setup(Kind::Sqlite)
        .await
        .with("OAUTH2_JWT_SECRET", SECRET)
        .with("OAUTH2_ISSUER", server.issuer());
    std::fs::write(server.setup.directory().join("none.json"), r#"{"keys": []}"#).unwrap();
    let client =
        json!({"client_id": "free", "token_format": "jwt", "signing_alg": "HS256", "token_ledger": "stateless"});
    let client = server.register(client).await;
    let token = server.token(&client).await;
    let inspected = |forged: &str| {
        let with_store = server.setup.run(&["token", "inspect", forged]);
        let by_keys = server.setup.run(&["token", "inspect", "--keys", "none.json", forged]);
        [with_store, by_keys, nowhere.run(&["token", "inspect", forged])]
    };
    for output in inspected(&token) {
        assert_eq!(output.code, 0, "{}{}", output.stderr, output.stdout);
    }
    let claim = |name: &str| {
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&payload).unwrap()[name].clone()
    };
    let (exp, jti, iat) = (claim("exp"), claim("jti"), claim("iat"));
    let later = iat.as_i64().unwrap() + 600;
    let without_exp = move |payload: &str| payload.replacen(&format!("\"exp\":{exp},"), "", 1);
    let exp = claim("exp");
    let with_exp = |value: &str| {
        let (from, to) = (format!("\"exp\":{exp}"), format!("\"exp\":{value}"));
        forged(&token, |payload| payload.replacen(&from, &to, 1))
    };
    let not_yet = forged(&token, |payload| {
        payload.replacen(&format!("\"nbf\":{iat}"), &format!("\"nbf\":{later}"), 1)
    });
    let integer_jti = forged(&token, |payload| payload.replacen(&jti.to_string(), "5", 1));
    let whole = |payload: &'static str| forged(&token, move |_| payload.to_owned());
    for made in [
        whole("{}"),
        whole(r#"{"sub":"root","scope":"oauth2.admin","aud":"x","jti":5}"#),
        whole(r#"{"iss":"evil","exp":"never"}"#),
        whole(r#"{"iss":"evil","exp":4000000000,"sub":"root","client_id":"free","scope":"oauth2.admin"}"#),
        forged(&token, without_exp),
        with_exp(&format!("\"{exp}\"")),
        with_exp("1e30"),
        with_exp("4000000000"),
        not_yet,
        integer_jti,
    ] {
        assert_eq!(server.introspect(&client, &made).await, json!({"active": false}));
        for output in inspected(&made) {
            assert_eq!(output.code, 2, "{}{}", output.stderr, output.stdout);
        }
    }
}
