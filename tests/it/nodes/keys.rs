//! Keys are rotated on one node, and sign on another only when every node publishes them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2_testkit::{DedicatedServer, Kind};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Nodes;
use crate::setup;

/// Rotations while tokens are issued.
const ROTATIONS: usize = 6;

/// How long verifiers may keep keys, by `OAUTH2_KEYS_JWKS_MAX_AGE`.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A key is published for 1.2 s before it signs.
const BETWEEN: Duration = Duration::from_millis(1500);

fn kid_of(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

/// A verifier that keeps the keys of a node for as long as it may, and fetches none sooner for a key that it does not know.
struct Verifier<'a> {
    node: &'a DedicatedServer,
    kids: Vec<String>,
    fetched: Option<Instant>,
}

impl Verifier<'_> {
    async fn knows(&mut self, kid: &str) -> bool {
        if self.fetched.is_none_or(|fetched| fetched.elapsed() >= MAX_AGE) {
            self.fetched = Some(Instant::now());
            let keys = self.node.get_json(self.node.url("/.well-known/jwks.json")).await;
            let kids = keys["keys"].as_array().unwrap().iter();
            self.kids = kids.map(|key| key["kid"].as_str().unwrap().to_owned()).collect();
        }
        self.kids.iter().any(|known| known == kid)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verifier_has_the_key_of_any_node_while_keys_rotate() {
    let setup = setup(Kind::Postgres)
        .await
        .with("OAUTH2_KEYS_JWKS_MAX_AGE", "1")
        .with("OAUTH2_KEYS_CLOCK_SKEW", "0.2");
    let nodes = Nodes::of(setup, 3).await;
    nodes.hear_each_other().await;
    let metadata = json!({"scope": "read", "token_format": "jwt", "signing_alg": "EdDSA"});
    let client = nodes.register(metadata).await;
    let rotate = async {
        for rotation in 0..ROTATIONS {
            let node = &nodes.0[rotation % nodes.0.len()];
            let rotated = node.admin(Method::POST, "/keys/rotate").json(&json!({})).send().await;
            assert_eq!(rotated.unwrap().status(), StatusCode::OK);
            tokio::time::sleep(BETWEEN).await;
        }
    };
    let verifier = |node| Verifier {
        node,
        kids: Vec::new(),
        fetched: None,
    };
    let mut verifiers: Vec<Verifier<'_>> = nodes.0.iter().map(verifier).collect();
    let mut used = BTreeSet::new();
    let verify = async {
        loop {
            for issuer in &nodes.0 {
                let token = issuer.token(&client).await;
                let kid = kid_of(&token);
                for verifier in &mut verifiers {
                    assert!(verifier.knows(&kid).await, "a key signs that verifiers do not have");
                    assert!(verifier.node.is_active(&client, &token).await);
                }
                used.insert(kid);
            }
        }
    };
    tokio::select! {
        () = rotate => {}
        () = verify => {}
    }
    assert!(used.len() >= ROTATIONS - 1, "{used:?}");
}
