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

/// What another node signs with it is verified here, and nothing here is signed with it.
#[test]
fn a_key_that_does_not_open_verifies_and_never_signs() {
    let seals = |current| Seals {
        current: [current; 32],
        previous: None,
    };
    let minted = uuid_v7_ms(&sample().jti) as i64;
    let open = |stored: &[StoredKey], seal, grace| {
        Keyring::open_what_opens(&sample().iss, &seals(seal), stored, None, Duration::from_millis(grace))
    };
    let make = |algorithm, seal, now_ms| {
        let times = Times {
            now_ms,
            wait: Duration::ZERO,
            token_lifetime: 60,
        };
        generate(algorithm, &seals(seal), times).unwrap()
    };
    for algorithm in KeyAlgorithm::ALL {
        let alg = SigningAlg::ALL.iter().find(|alg| alg.key() == Some(*algorithm));
        let sign = |ring: &Keyring| match alg {
            Some(alg) => ring.sign_jwt(&sample(), *alg),
            None => ring.sign_paseto(&sample()),
        };
        let stored = [make(*algorithm, 1, minted - 500), make(*algorithm, 2, minted - 100)];
        let (other, useless) = open(&stored, 2, 0);
        assert!(useless.len() == 1 && useless[0].to_string().contains(&stored[0].kid));
        let theirs = sign(&other).unwrap();
        let (ring, useless) = open(&stored, 1, 100);
        assert!(useless.len() == 1 && useless[0].to_string().contains(&stored[1].kid));
        assert_eq!(*ring.verify(&theirs).unwrap().kid, stored[1].kid);
        let mut altered = theirs.into_bytes();
        let place = altered.len() - 100;
        altered[place] ^= 1;
        assert_eq!(ring.verify(std::str::from_utf8(&altered).unwrap()), None);
        let published = format!("{}{}", ring.jwks(), ring.paseto_keys());
        assert!(stored.iter().all(|key| published.contains(&key.kid)));
        // The key before goes on until it may be removed before what it signs has expired.
        let ours = sign(&ring).unwrap();
        assert_eq!(*ring.verify(&ours).unwrap().kid, stored[0].kid);
        let (late, _) = open(&stored, 1, 99);
        assert!(matches!(sign(&late), Err(MintError::NoKey(_))));
    }
}

#[test]
fn a_node_that_cannot_sign_is_not_fit() {
    let seals = |current| Seals {
        current: [current; 32],
        previous: None,
    };
    let make = |seal, now_ms| {
        let times = Times {
            now_ms,
            wait: Duration::ZERO,
            token_lifetime: 60,
        };
        let make = move |algorithm: &KeyAlgorithm| generate(*algorithm, &seals(seal), times).unwrap();
        KeyAlgorithm::ALWAYS.iter().map(make).collect::<Vec<_>>()
    };
    let stored = [make(1, 0), make(2, 1000)].concat();
    let (ring, _) = Keyring::open_what_opens("", &seals(1), &stored, None, Duration::from_millis(50));
    assert!(ring.is_complete() && ring.can_sign(1050) && !ring.can_sign(1051));
    let (none, useless) = Keyring::open_what_opens("", &seals(3), &stored, None, Duration::from_millis(50));
    assert!(none.is_complete() && useless.len() == stored.len() && !none.can_sign(10));
    assert!(Keyring::open("", &seals(1), &stored, None).is_err());
}
