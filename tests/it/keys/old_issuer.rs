//! The issuer that the server replaces, and the import of its keys.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2_testkit::{Credentials, DedicatedServer, Kind, Output, Setup};
use serde_json::{Value, json};

use super::until;
use crate::setup;

pub const OLD: &str = "https://old.example";

/// Seconds since the Unix epoch.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs() as i64
}

/// An authorization server with one key.
pub struct OldIssuer {
    pub pair: EcdsaKeyPair,
    pub kid: &'static str,
}

impl OldIssuer {
    pub fn new(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { pair, kid }
    }

    pub fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid, "x": x, "y": y})
    }

    pub fn jwks(&self) -> Value {
        json!({"keys": [self.jwk()]})
    }

    pub fn private_jwk(&self) -> Value {
        use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
        let d: EcPrivateKeyBin<'_> = self.pair.private_key().as_be_bytes().unwrap();
        let mut jwk = self.jwk();
        jwk["d"] = URL_SAFE_NO_PAD.encode(d.as_ref()).into();
        jwk
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_bytes(&header.to_string(), claims.to_string().as_bytes())
    }

    /// A token with this header and payload, whatever they are.
    pub fn sign_bytes(&self, header: &str, payload: &[u8]) -> String {
        let header = URL_SAFE_NO_PAD.encode(header);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// A token in the layout of another product.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"kid": self.kid, "typ": "JWT", "alg": "ES256"}), claims)
    }
}

pub fn claims(client: &Credentials, more: &Value) -> Value {
    let mut claims = json!({
        "exp": now() + 600, "iat": now() - 10, "auth_time": 5, "jti": "trrtcc:5", "iss": OLD, "aud": ["https://api.example", "account"],
        "sub": "a user", "typ": "Bearer", "azp": client.id, "realm_access": {"roles": ["admin"]}, "scope": "read  write",
    });
    let claims_of = claims.as_object_mut().unwrap();
    claims_of.extend(more.as_object().unwrap().clone());
    claims_of.retain(|_, value| !value.is_null());
    claims
}

pub fn import(setup: &Setup, keys: &Value, arguments: &[&str]) -> Output {
    let all = [&["key", "import", "-", "--verify-only", "--json"], arguments].concat();
    setup.run_with_input(&all, &keys.to_string())
}

pub fn imported(setup: &Setup, keys: &Value, arguments: &[&str]) -> Value {
    let output = import(setup, keys, arguments);
    assert_eq!(output.code, 0, "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

/// A server that knows the issuer's key, and a client.
pub async fn migrated(store: Kind, old: &OldIssuer) -> (DedicatedServer, Credentials) {
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
