use super::*;
use crate::keys::generate::KeyTimes;
use crate::keys::keyring::Keyring;
use crate::keys::wrapping::KeyWrapper;
use crate::tokens::BASE64URL;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::time::Duration;

/// An Ed25519 key of RFC 8037, appendix A.
const D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn read(text: &str, algorithm: Option<KeyAlgorithm>) -> Result<NewKey, ImportError> {
    let options = ImportOptions {
        algorithm,
        ..ImportOptions::default()
    };
    super::read(text, options)
}

fn pem_of(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

/// Panics unless a keyring accepts the key.
fn assert_usable(pair: &NewKey) {
    let wrapper = KeyWrapper {
        current: [1; 32],
        previous: None,
    };
    let times = KeyTimes {
        now_ms: 0,
        wait: Duration::ZERO,
        token_lifetime: 1,
    };
    let stored = generate::to_stored(pair, &wrapper, times).unwrap();
    Keyring::open("https://issuer.example", &wrapper, &[stored], None).unwrap();
}

fn assert_rejected(text: &str, algorithm: Option<KeyAlgorithm>, phrase: &str) {
    let reason = read(text, algorithm).unwrap_err().to_string();
    assert!(reason.contains(phrase), "{reason:?} lacks {phrase:?}");
}

#[test]
fn every_format_of_an_ed25519_key_reads_as_the_same_key() {
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "d": D, "x": X, "kid": "theirs.2026-11_a"}).to_string();
    let (seed, public) = (BASE64URL.decode(D).unwrap(), BASE64URL.decode(X).unwrap());
    let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, &public).unwrap();
    let pem = pem_of("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref());
    let paserk = format!("k4.secret.{}", BASE64URL.encode([&seed[..], &public].concat()));
    for text in [&jwk, &pem, &paserk] {
        for algorithm in [KeyAlgorithm::EdDsa, KeyAlgorithm::PasetoV4Public] {
            let read = read(text, Some(algorithm)).unwrap();
            assert_eq!(
                (read.algorithm, &read.public, &read.private),
                (algorithm, &public, &seed)
            );
            assert_usable(&read);
            let has_kid = *text == jwk;
            assert_eq!(read.kid.as_deref(), has_kid.then_some("theirs.2026-11_a"));
        }
    }
    for kid in [".", "a b", "a\"b\\", "arn:aws:kms:key/1", "a+b/c=", &"a".repeat(256)] {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "d": D, "x": X, "kid": kid}).to_string();
        let read = read(&jwk, Some(KeyAlgorithm::EdDsa)).unwrap();
        assert_eq!(read.kid.as_deref(), Some(kid));
        assert_usable(&read);
    }
    for kid in ["", "ä", "a\nb", &"a".repeat(257)] {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "d": D, "x": X, "kid": kid}).to_string();
        assert_rejected(&jwk, Some(KeyAlgorithm::EdDsa), "kid");
    }
    assert_eq!(read(&paserk, None).unwrap().algorithm, KeyAlgorithm::PasetoV4Public);
    assert_rejected(&jwk, None, "EdDSA, Ed25519 or v4.public");
    assert_rejected(&pem, Some(KeyAlgorithm::Rs256), "cannot sign RS256");
    let mismatch = json!({"kty": "OKP", "crv": "Ed25519", "d": D, "x": D}).to_string();
    assert_rejected(&mismatch, Some(KeyAlgorithm::EdDsa), "d and x that do not match");
    assert_rejected("k4.secret.AAAA", None, "damaged");
    assert_rejected("k4.local.AAAA", None, "supported: k4.secret");
}

#[test]
fn p256_point_must_be_on_the_curve_and_match_the_private_key() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let key = generate::p256(&pair).unwrap();
    let pem = pem_of("PRIVATE KEY", &key.private);
    let imported = read(&pem, None).unwrap();
    assert_eq!(imported.public, key.public);
    assert_usable(&imported);
    let point = pair.public_key().as_ref();
    let [x, y] = [&point[1..33], &point[33..]].map(|coordinate| BASE64URL.encode(coordinate));
    let scalar: aws_lc_rs::encoding::EcPrivateKeyBin<'_> =
        aws_lc_rs::encoding::AsBigEndian::as_be_bytes(&pair.private_key()).unwrap();
    let d = BASE64URL.encode(scalar.as_ref());
    let jwk = json!({"kty": "EC", "crv": "P-256", "d": d, "x": x, "y": y, "alg": "ES256"}).to_string();
    assert_eq!(read(&jwk, None).unwrap().public, key.public);
    let off_curve = json!({"kty": "EC", "crv": "P-256", "d": d, "x": y, "y": x}).to_string();
    assert_rejected(&off_curve, None, "not a point on the curve");
    let mismatch = json!({"kty": "EC", "crv": "P-256", "d": X, "x": x, "y": y}).to_string();
    assert_rejected(&mismatch, None, "d that does not match x and y");
    assert_rejected(&jwk, Some(KeyAlgorithm::EdDsa), "the requested algorithm is EdDSA");
    let mut damaged = key.private.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_rejected(&pem_of("PRIVATE KEY", &damaged), None, "not on the curve");
}

#[test]
fn rsa_key_must_have_at_least_2048_bits() {
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let pem = pem_of("PRIVATE KEY", der.as_ref());
    for algorithm in [KeyAlgorithm::Rs256, KeyAlgorithm::Ps256] {
        assert_usable(&read(&pem, Some(algorithm)).unwrap());
    }
    assert_rejected(&pem, None, "RS256 or PS256");
    assert_rejected(RSA_1024, Some(KeyAlgorithm::Rs256), "allowed: 2048 to 8192 bits");
}

#[test]
fn error_names_why_the_text_is_not_a_private_key() {
    assert_rejected("", None, "no supported format");
    assert_rejected("garbage", None, "no supported format");
    assert_rejected("{", None, "not a JWK");
    assert_rejected(&json!({"kty": "oct", "k": "AA"}).to_string(), None, "OAUTH2_JWT_SECRET");
    assert_rejected(
        &json!({"kty": "EC", "crv": "P-384"}).to_string(),
        None,
        "unsupported curve P-384",
    );
    assert_rejected(
        &json!({"kty": "OKP", "crv": "Ed25519", "x": X}).to_string(),
        None,
        "lacks the parameter d",
    );
    assert_rejected(
        &json!({"kty": "RSA", "n": "AQ", "e": "AQAB"}).to_string(),
        None,
        "lacks the parameter d",
    );
    assert_rejected("-----BEGIN PRIVATE KEY-----\nAAAA", None, "malformed PEM");
    assert_rejected(&pem_of("ENCRYPTED PRIVATE KEY", b"x"), None, "encrypted and damaged");
    assert_rejected(&pem_of("PUBLIC KEY", b"x"), None, "only a public key");
    assert_rejected(
        &format!("{}{}", pem_of("PRIVATE KEY", b"x"), pem_of("PRIVATE KEY", b"y")),
        None,
        "2 private keys",
    );
}

/// An RSA key of 1024 bits, generated for this test.
const RSA_1024: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAKa+ttC5eLg4B7pC\n\
    wjzL+fjszsXZnyKRQ336Kh6EqANE1oHc6bjZZyGSCwyBjDilLjMPiuWTv8PlGbRv\n\
    ingfxrkKYOiFu1T/nNPbo1GmCWHbkgxJ9qF6bBzYpRaMFnwI9VsDIBqK6OQBsk+j\n\
    0CY/BynIEZpqkxiriqkTQ5Uv+m8pAgMBAAECgYEAh+aMTZW8xDg2ZCKg+Lgupikr\n\
    Zam2v4+xeG16AqGP5gom4nTQsO3P1laXVrwHMuu9ubQDOpWvB9QjnSIDs2ACr+A+\n\
    HBiPdnEGOpDGqM85LJBTW1Brz/E5HDsS1wD2qUWh/n+o9iDvvO+CF5sDaXN55thW\n\
    K2+9QDzywu1RAmQrueECQQDcbTv3b+rhvn7Fi0PYXSxZsXh60UwW710nPWGuKmii\n\
    gWp3l6YWQb7wa1DzhKbULKqXKucDdv2W+OD5avAWvtVlAkEAwaeozgB/v7KCaUzB\n\
    ynsVlwrcWnJQHwg9WTQqNqqWJSGXBxe9cK9mBcAo7TmeWHZHZIYZZJhX9PiJ8Eip\n\
    mRzIdQJAV80nGsu4usz/gD6V+sQ6W0vm2r0t2uDjsTKxCwgXf8ufFh4Q6UKtBOUq\n\
    bKXFMjTMisRrGqU2JAHk01T2Z4kCRQJANaSlw/qraISgT17tx5L01hQyGfPUceQs\n\
    akti7iWu1bZKSbKvzUko76rdK2lsjYCmIhhrbEwvATLfsunN4RXyCQJBAKPkalF1\n\
    wr8w8WsFuTBqmxH/B7Q4mxqChbcR3/GRF5d7kheRCaKvsNz8FdTL0x2OGh5PmATg\n\
    3TDvZEvIwU1ML0A=\n\
    -----END PRIVATE KEY-----";
