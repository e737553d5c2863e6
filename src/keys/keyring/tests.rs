use std::time::Duration;

use super::*;
use crate::keys::generate::{KeyTimes, generate};
use crate::tokens::claims::tests::sample;
use oauth2_store::model::TokenTyp;
use serde_json::json;

const SECRET: &[u8] = b"a secret that is shared with old resource servers";

/// Both published key sets as JSON.
fn published(ring: &Keyring) -> String {
    format!("{}{}", json!(ring.jwks()), json!(ring.paseto_keys()))
}

fn ring(kek: &[u8; 32]) -> Keyring {
    let wrapper = KeyWrapper {
        current: *kek,
        previous: None,
    };
    let times = KeyTimes {
        now_ms: 1,
        wait: Duration::ZERO,
        token_lifetime: 60,
    };
    let stored: Vec<_> = KeyAlgorithm::ALL
        .iter()
        .map(|a| generate(*a, &wrapper, times).unwrap())
        .collect();
    Keyring::open(&sample().iss, &wrapper, &stored, Some(SECRET)).unwrap()
}

#[test]
fn every_format_verifies_and_flipped_bits_do_not() {
    let ring = ring(&[9; 32]);
    assert!(ring.is_complete());
    let jwts = SigningAlg::ALL
        .iter()
        .map(|alg| ring.sign_jwt(&sample(), *alg, TokenTyp::AtJwt).unwrap());
    for token in jwts.chain([ring.sign_paseto(&sample()).unwrap()]) {
        assert_eq!(ring.verify(&token).unwrap().claims, sample());
        for bit in 0..token.len() * 8 {
            let mut bytes = token.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(text) = String::from_utf8(bytes) {
                assert_eq!(ring.verify(&text), None, "bit {bit}");
            }
        }
    }
}

#[test]
fn the_shared_secret_is_not_published() {
    let ring = ring(&[9; 32]);
    let published = published(&ring);
    let shared = ring.jwt.iter().find(|key| key.algorithm == SigningAlg::Hs256).unwrap();
    assert!(!published.contains(&*shared.kid) && !published.contains("HS256"));
    assert_eq!(ring.jwks().keys.len(), 5);
}

#[test]
fn the_newest_activated_key_signs() {
    let wrapper = KeyWrapper {
        current: [1; 32],
        previous: None,
    };
    let issued_ms = uuid_v7_ms(&sample().jti) as i64;
    let key = |now_ms| {
        generate(
            KeyAlgorithm::EdDsa,
            &wrapper,
            KeyTimes {
                now_ms,
                wait: Duration::ZERO,
                token_lifetime: 60,
            },
        )
        .unwrap()
    };
    let keys = [key(issued_ms - 2), key(issued_ms), key(issued_ms + 1)];
    let ring = Keyring::open(&sample().iss, &wrapper, &keys, None).unwrap();
    let token = ring.sign_jwt(&sample(), SigningAlg::EdDsa, TokenTyp::AtJwt).unwrap();
    assert_eq!(*ring.verify(&token).unwrap().kid, keys[1].kid);
    // If the clock was set back, the oldest key may be active in the future only: there is no other.
    let oldest = Keyring::open(&sample().iss, &wrapper, &keys[2..], None).unwrap();
    let token = oldest.sign_jwt(&sample(), SigningAlg::EdDsa, TokenTyp::AtJwt).unwrap();
    assert_eq!(*oldest.verify(&token).unwrap().kid, keys[2].kid);
    let paseto = oldest.sign_paseto(&sample());
    assert!(matches!(paseto, Err(SignError::NoKey("v4.public"))), "no key at all");
}

#[test]
fn tokens_of_other_keys_or_issuers_are_rejected() {
    let (ours, theirs) = (ring(&[1; 32]), ring(&[1; 32]));
    let token = theirs.sign_paseto(&sample()).unwrap();
    assert_eq!(ours.verify(&token), None);
    let mut claims = sample();
    claims.iss = "https://other.example".into();
    let token = ours.sign_paseto(&claims).unwrap();
    assert_eq!(ours.verify(&token), None);
}

/// A token of another type that the same key signs must not pass for an access token.
#[test]
fn a_jwt_with_another_header_is_rejected_even_if_our_key_signed_it() {
    let ring = ring(&[9; 32]);
    let mut payload = Vec::new();
    claims::write_jwt(&sample(), &mut payload);
    for key in &ring.jwt {
        let (alg, kid) = (key.algorithm.as_str(), &*key.kid);
        let signed = |header: String| jwt::sign(&key.signer, &BASE64URL.encode(header), &payload).unwrap();
        let ours = signed(format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{kid}"}}"#));
        assert_eq!(ring.verify(&ours).unwrap().claims, sample());
        for header in [
            format!(r#"{{"alg":"{alg}","typ":"dpop+jwt","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"{alg}","typ":"jwt","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"{alg}","typ":"at+jwt"}}"#),
            format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{kid}","crit":["b64"],"b64":false}}"#),
        ] {
            assert_eq!(ring.verify(&signed(header.clone())), None, "{header}");
        }
    }
}

/// Tokens that another node signs with the key are verified here.
#[test]
fn a_key_that_does_not_unwrap_verifies_and_never_signs() {
    let wrapper = |current| KeyWrapper {
        current: [current; 32],
        previous: None,
    };
    let issued_ms = uuid_v7_ms(&sample().jti) as i64;
    let open = |stored: &[StoredKey], kek, grace_ms| {
        Keyring::open_lenient(
            &sample().iss,
            &wrapper(kek),
            stored,
            None,
            Duration::from_millis(grace_ms),
        )
    };
    let make = |algorithm, kek, now_ms| {
        let times = KeyTimes {
            now_ms,
            wait: Duration::ZERO,
            token_lifetime: 60,
        };
        generate(algorithm, &wrapper(kek), times).unwrap()
    };
    for algorithm in KeyAlgorithm::ALL {
        let alg = SigningAlg::ALL
            .iter()
            .find(|alg| alg.key_algorithm() == Some(*algorithm));
        let sign = |ring: &Keyring| match alg {
            Some(alg) => ring.sign_jwt(&sample(), *alg, TokenTyp::AtJwt),
            None => ring.sign_paseto(&sample()),
        };
        let stored = [
            make(*algorithm, 1, issued_ms - 500),
            make(*algorithm, 2, issued_ms - 100),
        ];
        let (other, errors) = open(&stored, 2, 0);
        assert!(errors.len() == 1 && errors[0].to_string().contains(&stored[0].kid));
        let theirs = sign(&other).unwrap();
        let (ring, errors) = open(&stored, 1, 100);
        assert!(errors.len() == 1 && errors[0].to_string().contains(&stored[1].kid));
        assert_eq!(*ring.verify(&theirs).unwrap().kid, stored[1].kid);
        let mut altered = theirs.into_bytes();
        let index = altered.len() - 100;
        altered[index] ^= 1;
        assert_eq!(ring.verify(std::str::from_utf8(&altered).unwrap()), None);
        let published = published(&ring);
        assert!(stored.iter().all(|key| published.contains(&key.kid)));
        // The previous key signs during the grace period; after it, the key might be removed before its tokens expire.
        let ours = sign(&ring).unwrap();
        assert_eq!(*ring.verify(&ours).unwrap().kid, stored[0].kid);
        let (late, _) = open(&stored, 1, 99);
        assert!(matches!(sign(&late), Err(SignError::NoKey(_))));
    }
}

#[test]
fn a_node_that_cannot_sign_is_not_ready() {
    let wrapper = |current| KeyWrapper {
        current: [current; 32],
        previous: None,
    };
    let make = |kek, now_ms| {
        let times = KeyTimes {
            now_ms,
            wait: Duration::ZERO,
            token_lifetime: 60,
        };
        let make = move |algorithm: &KeyAlgorithm| generate(*algorithm, &wrapper(kek), times).unwrap();
        KeyAlgorithm::REQUIRED.iter().map(make).collect::<Vec<_>>()
    };
    let stored = [make(1, 0), make(2, 1000)].concat();
    let (ring, _) = Keyring::open_lenient("", &wrapper(1), &stored, None, Duration::from_millis(50));
    assert!(ring.is_complete() && ring.can_sign(1050) && !ring.can_sign(1051));
    let (none, errors) = Keyring::open_lenient("", &wrapper(3), &stored, None, Duration::from_millis(50));
    assert!(none.is_complete() && errors.len() == stored.len() && !none.can_sign(10));
    assert!(Keyring::open("", &wrapper(1), &stored, None).is_err());
}
