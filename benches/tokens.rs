//! The computations of a token request and an introspection, without HTTP and without a store.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use oauth2_server::keys::generate::{KeyTimes, generate};
use oauth2_server::keys::keyring::Keyring;
use oauth2_server::keys::wrapping::KeyWrapper;
use oauth2_server::protocol::client_auth::Credentials;
use oauth2_server::protocol::client_auth::client_secret_basic::Authorization;
use oauth2_server::protocol::form::Form;
use oauth2_server::tokens::claims::{self, Claims};
use oauth2_server::tokens::fingerprint::Fingerprints;
use oauth2_server::tokens::issued::IssuedTokens;
use oauth2_server::tokens::verified::VerifiedTokens;
use oauth2_server::tokens::{opaque, secret};
use oauth2_store::model::{KeyAlgorithm, SigningAlg, TokenTyp};
use uuid::Uuid;

const MIB: usize = 1024 * 1024;

fn sample_claims(n: u128) -> Claims {
    Claims {
        iss: "https://auth.example".into(),
        sub: "billing".into(),
        aud: "https://api.example".into(),
        exp: 1_800_001_800,
        iat: 1_800_000_000,
        jti: Uuid::from_u128(0x01a3_1856_c400_7000_8000_0000_0000_0000 | n),
        client_id: "billing".into(),
        scope: "read write".into(),
        extra: None,
    }
}

fn keyring() -> Keyring {
    let wrapper = KeyWrapper {
        current: [7; 32],
        previous: None,
    };
    let times = KeyTimes {
        now_ms: 0,
        wait: Duration::ZERO,
        token_lifetime: 60,
    };
    let keys: Vec<_> = KeyAlgorithm::ALL
        .iter()
        .map(|algorithm| generate(*algorithm, &wrapper, times).unwrap())
        .collect();
    Keyring::open(&sample_claims(0).iss, &wrapper, &keys, Some(&[7; 32])).unwrap()
}

fn mint(c: &mut Criterion) {
    let (ring, claims) = (keyring(), sample_claims(1));
    let mut group = c.benchmark_group("mint");
    group.bench_function("paseto", |b| b.iter(|| ring.sign_paseto(black_box(&claims)).unwrap()));
    group.bench_function("jwt_eddsa", |b| {
        b.iter(|| {
            ring.sign_jwt(black_box(&claims), SigningAlg::EdDsa, TokenTyp::AtJwt)
                .unwrap()
        });
    });
    group.bench_function("jwt_es256", |b| {
        b.iter(|| {
            ring.sign_jwt(black_box(&claims), SigningAlg::Es256, TokenTyp::AtJwt)
                .unwrap()
        });
    });
    for alg in [SigningAlg::Rs256, SigningAlg::Hs256] {
        group.bench_function(format!("jwt_{}", alg.as_str().to_lowercase()), |b| {
            b.iter(|| ring.sign_jwt(black_box(&claims), alg, TokenTyp::AtJwt).unwrap());
        });
    }
    group.bench_function("opaque", |b| {
        b.iter(|| {
            let random = secret::random_bytes().unwrap();
            (secret::hash(random), opaque::format(claims.jti, claims.exp, &random))
        });
    });
    group.bench_function("claims_only", |b| {
        let mut out = Vec::with_capacity(512);
        b.iter(|| {
            out.clear();
            claims::write_paseto(black_box(&claims), &mut out);
        });
    });
    group.finish();
}

fn verify(c: &mut Criterion) {
    let (ring, claims) = (keyring(), sample_claims(1));
    let tokens = [
        ("paseto", ring.sign_paseto(&claims).unwrap()),
        (
            "jwt_eddsa",
            ring.sign_jwt(&claims, SigningAlg::EdDsa, TokenTyp::AtJwt).unwrap(),
        ),
        (
            "jwt_es256",
            ring.sign_jwt(&claims, SigningAlg::Es256, TokenTyp::AtJwt).unwrap(),
        ),
    ];
    let mut group = c.benchmark_group("verify");
    for (name, token) in &tokens {
        group.bench_function(format!("signature_{name}"), |b| {
            b.iter(|| ring.verify(black_box(token)).unwrap());
        });
    }
    let token = &tokens[0].1;
    let fingerprints = Fingerprints::new().unwrap();
    let fingerprint = fingerprints.of(token);
    let issued = IssuedTokens::new(16 * MIB);
    issued.insert(&fingerprint);
    group.bench_function("issued_here_paseto", |b| {
        b.iter(|| {
            assert!(issued.contains(&fingerprints.of(black_box(token))));
            ring.recognize(token).unwrap()
        });
    });
    let verified = VerifiedTokens::new(MIB as u64);
    verified.insert(fingerprint, Arc::new(ring.verify(token).unwrap()));
    group.bench_function("verified_before", |b| {
        b.iter(|| verified.get(&fingerprints.of(black_box(token))).unwrap());
    });
    group.bench_function("insert_issued", |b| {
        let mut n = 0_u64;
        b.iter_batched(
            || {
                n += 1;
                fingerprints.of(&n.to_string())
            },
            |fingerprint| issued.insert(&fingerprint),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    group.bench_function("token_form", |b| {
        b.iter(|| Form::parse(black_box(b"grant_type=client_credentials&scope=read+write")).unwrap());
    });
    let body = format!("token={}", keyring().sign_paseto(&sample_claims(1)).unwrap());
    group.bench_function("introspection_form", |b| {
        b.iter(|| Form::parse(black_box(body.as_bytes())).unwrap());
    });
    let header = b"Basic YmlsbGluZzpvYXNfY3NfQWxsX3RoZV9zZWNyZXRzX3RoYXRfYXJlX25vdF9zZWNyZXRfMDAwMA==";
    group.bench_function("basic_credentials", |b| {
        b.iter(|| {
            let header = Authorization::parse(black_box(header));
            Credentials::from_header(Some(&header)).unwrap().secrets().count()
        });
    });
    group.finish();
}

criterion_group!(benches, mint, verify, parse);
criterion_main!(benches);
