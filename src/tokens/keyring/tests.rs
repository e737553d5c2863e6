use std::time::Duration;

use super::*;
use crate::tokens::claims::tests::sample;
use crate::tokens::generate::{Times, generate};

const SECRET: &[u8] = b"a secret that is shared with old resource servers";

fn ring(kek: &[u8; 32]) -> Keyring {
    let seals = Seals {
        current: *kek,
        previous: None,
    };
    let times = Times {
        now_ms: 1,
        wait: Duration::ZERO,
        token_lifetime: 60,
    };
    let stored: Vec<_> = KeyAlgorithm::ALL
        .iter()
        .map(|a| generate(*a, &seals, times).unwrap())
        .collect();
    Keyring::open(&sample().iss, &seals, &stored, Some(SECRET)).unwrap()
}

#[test]
fn every_kind_verifies_and_no_flipped_bit_does() {
    let ring = ring(&[9; 32]);
    assert!(ring.is_complete());
    let jwts = SigningAlg::ALL
        .iter()
        .map(|alg| ring.sign_jwt(&sample(), *alg).unwrap());
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
fn a_shared_secret_is_published_nowhere() {
    let ring = ring(&[9; 32]);
    let published = format!("{}{}", ring.jwks(), ring.paseto_keys());
    let shared = ring.jwt.iter().find(|key| key.algorithm == SigningAlg::Hs256).unwrap();
    assert!(!published.contains(&*shared.kid) && !published.contains("HS256"));
    assert_eq!(ring.jwks()["keys"].as_array().unwrap().len(), 4);
}

#[test]
fn the_newest_key_whose_moment_has_come_signs() {
    let seals = Seals {
        current: [1; 32],
        previous: None,
    };
    let minted = uuid_v7_ms(&sample().jti) as i64;
    let key = |now_ms| {
        generate(
            KeyAlgorithm::EdDsa,
            &seals,
            Times {
                now_ms,
                wait: Duration::ZERO,
                token_lifetime: 60,
            },
        )
        .unwrap()
    };
    let keys = [key(minted - 2), key(minted), key(minted + 1)];
    let ring = Keyring::open(&sample().iss, &seals, &keys, None).unwrap();
    let token = ring.sign_jwt(&sample(), SigningAlg::EdDsa).unwrap();
    assert_eq!(*ring.verify(&token).unwrap().kid, keys[1].kid);
    let early = Keyring::open(&sample().iss, &seals, &keys[2..], None).unwrap();
    assert!(matches!(
        early.sign_jwt(&sample(), SigningAlg::EdDsa),
        Err(MintError::NoKey("EdDSA"))
    ));
}

#[test]
fn another_issuers_keys_and_another_issuers_name_are_refused() {
    let (ours, theirs) = (ring(&[1; 32]), ring(&[1; 32]));
    let token = theirs.sign_paseto(&sample()).unwrap();
    assert_eq!(ours.verify(&token), None);
    let mut claims = sample();
    claims.iss = "https://other.example".into();
    let token = ours.sign_paseto(&claims).unwrap();
    assert_eq!(ours.verify(&token), None);
}

/// A key that signs something else one day must not thereby have signed an access token.
#[test]
fn a_jwt_under_another_header_is_refused_though_our_key_signed_it() {
    let ring = ring(&[9; 32]);
    let mut payload = Vec::new();
    claims::write_jwt(&sample(), &mut payload);
    for key in &ring.jwt {
        let (alg, kid) = (key.algorithm.as_str(), &*key.kid);
        let signed = |header: String| jwt::sign(&key.signer, &BASE64URL.encode(header), &payload).unwrap();
        let ours = signed(format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{kid}"}}"#));
        assert_eq!(ring.verify(&ours).unwrap().claims, sample());
        for header in [
            format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"{alg}","typ":"at+jwt"}}"#),
            format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{kid}"}}"#),
            format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{kid}","crit":["b64"],"b64":false}}"#),
        ] {
            assert_eq!(ring.verify(&signed(header.clone())), None, "{header}");
        }
    }
}
