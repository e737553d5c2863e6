//! Import of keys that verify and never sign.

use oauth2_testkit::Kind;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::old_issuer::{OLD, OldIssuer, claims, import, imported, migrated, now};
use super::{admin, is_rejected, published, until};
use crate::start;

on_both_stores!(
    verify_only_keys_end_by_date_or_revocation,
    imports_are_whole_and_idempotent,
    private_keys_are_imported_without_their_private_part,
    verify_only_keys_are_imported_over_the_admin_api,
);

async fn verify_only_keys_end_by_date_or_revocation(store: Kind) {
    let old = OldIssuer::new("a+b/c=");
    let (server, client) = migrated(store, &old).await;
    let token = old.token(&claims(&client, &json!({})));
    // A key of another issuer must not vouch for tokens of this one at verifiers that fetch the set.
    assert!(!published(&server).await.contains(&old.kid.to_owned()));
    let again = imported(&server.setup, &old.jwks(), &["--issuer", OLD, "--publish", "true"]);
    assert_eq!(again["items"][0]["state"], "verify_only");
    assert_eq!(again["items"][0]["issuer"], OLD);
    until("it is published", async || {
        published(&server).await.contains(&old.kid.to_owned())
    })
    .await;

    let soon = (now() + 2).to_string();
    imported(&server.setup, &old.jwks(), &["--issuer", OLD, "--until", &soon]);
    until("it is removed", async || {
        !published(&server).await.contains(&old.kid.to_owned())
    })
    .await;
    assert!(!server.is_active(&client, &token).await);
    let listed = admin(&server, Method::GET, "/keys", json!({})).await;
    assert!(!listed.to_string().contains(old.kid), "{listed}");

    // An expired key can be imported again, a revoked key cannot.
    imported(&server.setup, &old.jwks(), &["--issuer", OLD]);
    until("it verifies again", async || server.is_active(&client, &token).await).await;
    let revoked = server.setup.run(&["key", "revoke", old.kid]);
    assert_eq!(revoked.code, 0, "{}", revoked.stderr);
    until("its tokens are inactive", async || {
        !server.is_active(&client, &token).await
    })
    .await;
    let renamed =
        json!({"keys": [{"kid": "renamed", "kty": "EC", "crv": "P-256", "x": old.jwk()["x"], "y": old.jwk()["y"]}]});
    for keys in [old.jwks(), renamed] {
        let refused = import(&server.setup, &keys, &["--issuer", OLD]);
        assert!(
            refused.code == 2 && refused.stderr.contains("was revoked"),
            "{}",
            refused.stderr
        );
    }
    for (time, reason) in [
        ("2020-01-01T00:00:00Z", "in the future"),
        ("9999-01-01T00:00:00Z", "400 days"),
        ("soon", "Unix seconds"),
    ] {
        let refused = import(&server.setup, &OldIssuer::new("x").jwks(), &["--until", time]);
        assert!(
            refused.code == 2 && refused.stderr.contains("--until") && refused.stderr.contains(reason),
            "{}",
            refused.stderr
        );
    }
}

async fn imports_are_whole_and_idempotent(store: Kind) {
    let server = start(store).await;
    let old = OldIssuer::new("first");
    let once = imported(&server.setup, &old.jwks(), &[]);
    assert_eq!(once["items"][0]["published"], true, "the issuer of this server");
    assert_eq!(imported(&server.setup, &old.jwks(), &[]), once);
    let other_issuer = import(&server.setup, &old.jwks(), &["--issuer", OLD]);
    assert!(
        other_issuer.code == 2 && other_issuer.stderr.contains("revoke it first"),
        "{}",
        other_issuer.stderr
    );
    let taken = OldIssuer::new("first").jwks();
    let listed = admin(&server, Method::GET, "/keys", json!({})).await;
    let signing = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["algorithm"] == "ES256")
        .unwrap();
    let mut like_ours = OldIssuer::new("first").jwk();
    like_ours["kid"] = signing["kid"].clone();
    let unsupported = |alg: &str| {
        let mut jwk = OldIssuer::new("bad").jwk();
        jwk["alg"] = alg.into();
        jwk
    };
    let good = OldIssuer::new("good").jwk();
    for (keys, reason) in [
        (taken, "another key has the id first already, a verify-only key"),
        (json!({"keys": [good, like_ours]}), "already, a signing key for ES256"),
        (
            json!({"keys": [good, unsupported("ES384")]}),
            "keys[1] (kid bad) has the unsupported alg ES384",
        ),
        (json!({"keys": [good, unsupported("HS256")]}), "unsupported alg HS256"),
        (
            json!({"keys": [good, {"kty": "oct", "kid": "secret", "k": "AAAA"}]}),
            "(kid secret) is a symmetric key",
        ),
        (
            json!({"keys": [good, {"kty": "RSA", "kid": "r", "alg": "RS256", "n": "AQAB", "e": "AQAB"}]}),
            "2048 to 8192 bits",
        ),
    ] {
        let refused = import(&server.setup, &keys, &[]);
        assert_eq!(refused.code, 2, "{}", refused.stdout);
        assert!(refused.stderr.contains(reason), "{} lacks {reason}", refused.stderr);
        let after = admin(&server, Method::GET, "/keys", json!({})).await;
        assert!(!after.to_string().contains("\"good\""), "nothing half done: {after}");
    }
    let set = json!({"keys": [good, unsupported("ES384"), {"kty": "RSA", "use": "enc", "kid": "enc", "n": "AQAB", "e": "AQAB"}]});
    let chosen = import(&server.setup, &set, &["--kid", "good", "--kid", "enc"]);
    assert!(
        chosen.code == 0 && chosen.stderr.contains("enc is not for signatures"),
        "{}",
        chosen.stderr
    );
    // The other way round: a signing key cannot take the id of a verify-only key.
    let refused = server.setup.run_with_input(&["key", "import", "-"], &{
        let mut jwk = OldIssuer::new("first").private_jwk();
        jwk["kid"] = "first".into();
        jwk.to_string()
    });
    assert!(
        refused.code == 2 && refused.stderr.contains("a verify-only key"),
        "{}",
        refused.stderr
    );
}

async fn private_keys_are_imported_without_their_private_part(store: Kind) {
    let server = start(store).await;
    let client = server
        .register(json!({"client_id": "ci", "token_format": "jwt", "signing_alg": "ES256"}))
        .await;
    let old = OldIssuer::new("0123ABCDEF");
    let output = server.setup.run_with_input(
        &["key", "import", "-", "--retired", "--json"],
        &json!({"keys": [old.private_jwk()]}).to_string(),
    );
    assert_eq!(output.code, 0, "{}", output.stderr);
    let token = old.token(&claims(&client, &json!({"iss": server.issuer()})));
    until("tokens of the retired key verify", async || {
        server.is_active(&client, &token).await
    })
    .await;
    assert_ne!(super::kid_of(&server.token(&client).await), old.kid, "it never signs");
    assert!(published(&server).await.contains(&old.kid.to_owned()));
    let private = old.private_jwk();
    let d = private["d"].as_str().unwrap();
    let stored = server.setup.run(&["key", "list", "--json"]).stdout;
    assert!(!stored.contains(d));
    // The same key can sign from now on, and verifies what the other issuer wrote with it as before.
    let signing = server
        .setup
        .run_with_input(&["key", "import", "-", "--published"], &private.to_string());
    assert_eq!(signing.code, 0, "{}", signing.stderr);
    until("it signs", async || {
        super::kid_of(&server.token(&client).await) == old.kid
    })
    .await;
    assert!(server.is_active(&client, &token).await && server.is_active(&client, &server.token(&client).await).await);
    let kids = published(&server).await;
    assert_eq!(kids.iter().filter(|kid| *kid == old.kid).count(), 1, "{kids:?}");
}

async fn verify_only_keys_are_imported_over_the_admin_api(store: Kind) {
    let server = start(store).await;
    let client = server.register(json!({"client_id": "ci"})).await;
    let old = OldIssuer::new("public:1");
    let body = json!({"jwks": old.jwks(), "issuer": OLD});
    let imported = admin(&server, Method::POST, "/keys/verify-only", body).await;
    assert_eq!(
        (&imported["items"][0]["kid"], &imported["items"][0]["published"]),
        (&json!("public:1"), &json!(false))
    );
    assert!(
        server
            .is_active(&client, &old.token(&claims(&client, &json!({}))))
            .await,
        "at once on this node"
    );

    let directory = server.setup.directory();
    let made = server
        .setup
        .script(
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out k.pem && openssl pkey -in k.pem -pubout -out p.pem && \
             openssl req -x509 -subj /CN=old -days 1 -key k.pem -out c.pem",
        )
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    for (file, kid) in [("p.pem", "from-key"), ("c.pem", "from-certificate")] {
        let body = json!({"pem": read(file), "kids": [kid], "issuer": OLD});
        let imported = admin(&server, Method::POST, "/keys/verify-only", body).await;
        assert_eq!(
            (&imported["items"][0]["kid"], &imported["items"][0]["algorithm"]),
            (&json!(kid), &json!("ES256"))
        );
    }
    for (body, status, reason) in [
        (json!({}), StatusCode::BAD_REQUEST, "exactly one of jwks and pem"),
        (
            json!({"jwks": {"keys": []}}),
            StatusCode::BAD_REQUEST,
            "jwks holds no key",
        ),
        (
            json!({"pem": read("c.pem") + &read("c.pem")}),
            StatusCode::BAD_REQUEST,
            "without its chain",
        ),
        (
            json!({"pem": read("p.pem"), "until": "never"}),
            StatusCode::BAD_REQUEST,
            "until must be",
        ),
        (
            json!({"pem": read("p.pem"), "algorithm": "RS256"}),
            StatusCode::BAD_REQUEST,
            "cannot verify RS256",
        ),
        (
            json!({"pem": read("p.pem"), "issuer": ""}),
            StatusCode::BAD_REQUEST,
            "issuer must be",
        ),
        (
            json!({"jwks": OldIssuer::new("public:1").jwks(), "issuer": OLD}),
            StatusCode::CONFLICT,
            "another key has the id",
        ),
    ] {
        is_rejected(&server, "/keys/verify-only", &body, status, reason).await;
    }
}
