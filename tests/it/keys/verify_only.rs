//! Keys of the issuer that the server replaces: its tokens stay introspectable until they expire.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, DedicatedServer, Kind, Output, Server, Setup};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{admin, published, until};
use crate::{setup, start};

on_both_stores!(
    tokens_of_the_replaced_issuer_are_active_until_they_expire,
    only_access_tokens_of_that_issuer_and_key_are_active,
    tokens_of_the_replaced_issuer_can_be_revoked,
    verify_only_keys_end_by_date_or_revocation,
    imports_are_whole_and_idempotent,
    private_keys_are_imported_without_their_private_part,
    verify_only_keys_are_imported_over_the_admin_api,
);

const OLD: &str = "https://old.example";

/// Seconds since the Unix epoch.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs() as i64
}

/// An authorization server with one key.
struct OldIssuer {
    pair: EcdsaKeyPair,
    kid: &'static str,
}

impl OldIssuer {
    fn new(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { pair, kid }
    }

    fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid, "x": x, "y": y})
    }

    fn jwks(&self) -> Value {
        json!({"keys": [self.jwk()]})
    }

    fn private_jwk(&self) -> Value {
        use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
        let d: EcPrivateKeyBin<'_> = self.pair.private_key().as_be_bytes().unwrap();
        let mut jwk = self.jwk();
        jwk["d"] = URL_SAFE_NO_PAD.encode(d.as_ref()).into();
        jwk
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// A token in the layout of another product.
    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"kid": self.kid, "typ": "JWT", "alg": "ES256"}), claims)
    }
}

fn claims(client: &Credentials, more: &Value) -> Value {
    let mut claims = json!({
        "exp": now() + 600, "iat": now() - 10, "auth_time": 5, "jti": "trrtcc:5", "iss": OLD, "aud": ["https://api.example", "account"],
        "sub": "a user", "typ": "Bearer", "azp": client.id, "realm_access": {"roles": ["admin"]}, "scope": "read  write",
    });
    let claims_of = claims.as_object_mut().unwrap();
    claims_of.extend(more.as_object().unwrap().clone());
    claims_of.retain(|_, value| !value.is_null());
    claims
}

fn import(setup: &Setup, keys: &Value, arguments: &[&str]) -> Output {
    let all = [&["key", "import", "-", "--verify-only", "--json"], arguments].concat();
    setup.run_with_input(&all, &keys.to_string())
}

fn imported(setup: &Setup, keys: &Value, arguments: &[&str]) -> Value {
    let output = import(setup, keys, arguments);
    assert_eq!(output.code, 0, "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

/// A server that knows the issuer's key, and a client.
async fn migrated(store: Kind, old: &OldIssuer) -> (DedicatedServer, Credentials) {
    let server = DedicatedServer::start(setup(store).await).await;
    let client = server.register(json!({"client_id": "ci", "scope": "read write"})).await;
    imported(&server.setup, &old.jwks(), &["--issuer", OLD]);
    let token = old.token(&claims(&client, &json!({})));
    until("the server knows the key", async || {
        server.is_active(&client, &token).await
    })
    .await;
    (server, client)
}

async fn batch(server: &Server, client: &Credentials, tokens: &[&str]) -> Value {
    let request = server.http.post(server.url("/oauth/introspect/batch"));
    let request = request
        .header("authorization", client.basic())
        .json(&json!({"tokens": tokens}));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    body_of(response).await
}

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
    let answers = batch(&server, &client, &[&token, &brief, "opaque-of-the-old-issuer", &own]).await;
    let expected_of_brief = json!({"active": true, "client_id": "ci", "iss": OLD, "sub": "ci", "aud": "ci", "exp": bare["exp"], "token_type": "Bearer"});
    assert_eq!(answers[0], expected);
    assert_eq!(answers[1], expected_of_brief);
    assert_eq!(answers[2], json!({"active": false}));
    assert_eq!(answers[3]["active"], true);
    until("the token expires", async || !server.is_active(&client, &brief).await).await;

    // Its client decides here, too.
    let disabled = server
        .admin(Method::PATCH, "/clients/ci")
        .json(&json!({"disabled": true}))
        .send()
        .await
        .unwrap();
    assert_eq!(disabled.status(), StatusCode::OK);
    assert!(!server.is_active(&resource, &token).await);
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
    // A cut-off of the client holds for what it was issued before.
    let later = old.token(&claims(&client, &json!({"jti": "later", "iat": now() + 20})));
    let undated = old.token(&claims(&client, &json!({"jti": "undated", "iat": null})));
    admin(&server, Method::POST, "/clients/ci/tokens:revoke-all", json!({})).await;
    assert!(!server.is_active(&client, &kept).await && !server.is_active(&client, &undated).await);
    assert!(server.is_active(&client, &later).await);
}

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

    // What expired can be imported again, what was revoked cannot.
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
    // The other way round: a key that signs cannot take the id of one that verifies.
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
        let response = server
            .admin(Method::POST, "/keys/verify-only")
            .json(&body)
            .send()
            .await
            .unwrap();
        let (found, text) = (response.status(), response.text().await.unwrap());
        assert!(
            found == status && text.contains(reason),
            "{found} {text} lacks {reason}"
        );
    }
}
