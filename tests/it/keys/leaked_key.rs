//! Tokens that a holder of a private signing key can make: introspection and `token inspect` agree about them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2_testkit::{DedicatedServer, Kind};
use serde_json::{Value, json};

use super::old_issuer::OldIssuer;
use super::until;
use crate::setup;

on_both_stores!(introspection_and_inspection_agree_about_tokens_of_a_leaked_key);

async fn introspection_and_inspection_agree_about_tokens_of_a_leaked_key(store: Kind) {
    let key = OldIssuer::new("leaked");
    let server = DedicatedServer::start(setup(store).await).await;
    let imported = server
        .setup
        .run_with_input(&["key", "import", "-", "--published"], &key.private_jwk().to_string());
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    let client = json!({"client_id": "ci", "scope": "read", "token_format": "jwt", "signing_alg": "ES256"});
    let client = server.register(client).await;
    let mut token = String::new();
    let part = |token: &str, at: usize| {
        let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap();
        String::from_utf8(part).unwrap()
    };
    until("the key signs", async || {
        token = server.token(&client).await;
        part(&token, 0).contains(key.kid)
    })
    .await;
    let (header, payload) = (part(&token, 0), part(&token, 1));
    let claims: Value = serde_json::from_str(&payload).unwrap();
    let exp = claims["exp"].as_i64().unwrap();
    let jti = claims["jti"].as_str().unwrap();
    let made = |from: String, to: String| {
        let changed = payload.replacen(&from, &to, 1);
        assert_ne!(changed, payload, "{from}");
        key.sign_bytes(&header, changed.as_bytes())
    };
    let member = |name: &str, value: Value| made(format!("\"{name}\":{}", claims[name]), format!("\"{name}\":{value}"));
    for (what, forged, expected) in [
        ("the same claims", key.sign_bytes(&header, payload.as_bytes()), true),
        ("another subject", member("sub", json!("root")), false),
        (
            "a lifetime of ten years",
            member("exp", json!(exp + 315_360_000)),
            false,
        ),
        (
            "no record",
            member("jti", json!(format!("{}-7000-8000-000000000000", &jti[..13]))),
            true,
        ),
        ("another scope", member("scope", json!("root")), true),
        (
            "another audience",
            member("aud", json!("https://elsewhere.example")),
            true,
        ),
        ("another client", member("client_id", json!("other")), false),
        (
            "another issuer",
            member("iss", json!("https://elsewhere.example")),
            false,
        ),
        ("without exp", made(format!("\"exp\":{exp},"), String::new()), false),
    ] {
        assert_eq!(server.is_active(&client, &forged).await, expected, "{what}");
        let inspected = server.setup.run(&["token", "inspect", &forged]);
        let code = if expected { 0 } else { 2 };
        assert_eq!(inspected.code, code, "{what}: {}{}", inspected.stderr, inspected.stdout);
        let contradicts = what == "another scope" || what == "another audience";
        assert_eq!(
            inspected.stderr.contains("may have leaked"),
            contradicts,
            "{what}: {}",
            inspected.stderr
        );
    }
}
