use super::*;
use crate::tokens::generate::Times;
use crate::tokens::keyring::Keyring;
use crate::tokens::sealing::Seals;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::KeyPair;
use serde_json::json;
use std::time::Duration;

/// An Ed25519 key of RFC 8037, appendix A.
const D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn pem_of(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

fn works(pair: &Pair) {
    let seals = Seals {
        current: [1; 32],
        previous: None,
    };
    let times = Times {
        now_ms: 0,
        wait: Duration::ZERO,
        token_lifetime: 1,
    };
    let stored = generate::store(pair, &seals, times).unwrap();
    Keyring::open("https://issuer.example", &seals, &[stored], None).unwrap();
}

fn refused(text: &str, algorithm: Option<KeyAlgorithm>, word: &str) {
    let why = read(text, algorithm).unwrap_err().to_string();
    assert!(why.contains(word), "{why:?} lacks {word:?}");
}

#[test]
fn every_form_of_ed25519_is_one_key() {
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
            works(&read);
            let brings_a_name = *text == jwk;
            assert_eq!(read.kid.as_deref(), brings_a_name.then_some("theirs.2026-11_a"));
        }
    }
    for kid in ["", ".", "..", "a b", "a\"b", "a/b", "ä", &"a".repeat(129)] {
        let named = json!({"kty": "OKP", "crv": "Ed25519", "d": D, "x": X, "kid": kid}).to_string();
        refused(&named, Some(KeyAlgorithm::EdDsa), "kid");
    }
    assert_eq!(read(&paserk, None).unwrap().algorithm, KeyAlgorithm::PasetoV4Public);
    refused(&jwk, None, "EdDSA or v4.public");
    refused(&pem, Some(KeyAlgorithm::Rs256), "cannot sign RS256");
    let other = json!({"kty": "OKP", "crv": "Ed25519", "d": D, "x": D}).to_string();
    refused(&other, Some(KeyAlgorithm::EdDsa), "do not belong together");
    refused("k4.secret.AAAA", None, "damaged");
    refused("k4.local.AAAA", None, "another type");
}

#[test]
fn p256_has_to_be_on_its_curve() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let made = generate::p256(&pair).unwrap();
    let pem = pem_of("PRIVATE KEY", &made.private);
    let again = read(&pem, None).unwrap();
    assert_eq!(again.public, made.public);
    works(&again);
    let point = pair.public_key().as_ref();
    let [x, y] = [&point[1..33], &point[33..]].map(|half| BASE64URL.encode(half));
    let scalar: aws_lc_rs::encoding::EcPrivateKeyBin<'_> =
        aws_lc_rs::encoding::AsBigEndian::as_be_bytes(&pair.private_key()).unwrap();
    let d = BASE64URL.encode(scalar.as_ref());
    let jwk = json!({"kty": "EC", "crv": "P-256", "d": d, "x": x, "y": y, "alg": "ES256"}).to_string();
    assert_eq!(read(&jwk, None).unwrap().public, made.public);
    let off = json!({"kty": "EC", "crv": "P-256", "d": d, "x": y, "y": x}).to_string();
    refused(&off, None, "no point on the curve");
    let foreign = json!({"kty": "EC", "crv": "P-256", "d": X, "x": x, "y": y}).to_string();
    refused(&foreign, None, "not the private half");
    refused(&jwk, Some(KeyAlgorithm::EdDsa), "is asked to be for EdDSA");
    let mut damaged = made.private.clone();
    *damaged.last_mut().unwrap() ^= 1;
    refused(&pem_of("PRIVATE KEY", &damaged), None, "not on the curve");
}

#[test]
fn rsa_has_to_be_large_enough() {
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let pem = pem_of("PRIVATE KEY", der.as_ref());
    for algorithm in [KeyAlgorithm::Rs256, KeyAlgorithm::Ps256] {
        works(&read(&pem, Some(algorithm)).unwrap());
    }
    refused(&pem, None, "RS256 or PS256");
    refused(SMALL, Some(KeyAlgorithm::Rs256), "2048");
}

#[test]
fn what_is_no_private_key_is_told_apart() {
    refused("", None, "none of the forms");
    refused("garbage", None, "none of the forms");
    refused("{", None, "not a JWK");
    refused(&json!({"kty": "oct", "k": "AA"}).to_string(), None, "OAUTH2_JWT_SECRET");
    refused(&json!({"kty": "EC", "crv": "P-384"}).to_string(), None, "none of OKP");
    refused(
        &json!({"kty": "OKP", "crv": "Ed25519", "x": X}).to_string(),
        None,
        "lacks the member d",
    );
    refused(
        &json!({"kty": "RSA", "n": "AQ", "e": "AQAB"}).to_string(),
        None,
        "lacks the member d",
    );
    refused("-----BEGIN PRIVATE KEY-----\nAAAA", None, "well-formed PEM");
    refused(&pem_of("ENCRYPTED PRIVATE KEY", b"x"), None, "encrypted");
    refused(&pem_of("PUBLIC KEY", b"x"), None, "public half");
    refused(
        &format!("{}{}", pem_of("PRIVATE KEY", b"x"), pem_of("PRIVATE KEY", b"y")),
        None,
        "more than one",
    );
}

/// An RSA key of 1024 bits, made for this test.
const SMALL: &str = "-----BEGIN PRIVATE KEY-----\n\
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
