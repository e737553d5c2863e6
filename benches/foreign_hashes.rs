//! A try at each hash of another product, from which the costs in `src/protocol/client_auth/foreign_hash/cost.rs` follow.
#![allow(clippy::panic, missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use oauth2_server::protocol::client_auth::foreign_hash::{Imported, import};

fn tries(c: &mut Criterion) {
    // The longest secret that is verified.
    let secret = "x".repeat(128);
    let salt = "A".repeat(22);
    let output = |length| "A".repeat(length);
    let mut group = c.benchmark_group("try");
    group.sample_size(10);
    for (name, text) in [
        (
            "bcrypt, 1024 rounds",
            "$2a$10$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK".to_owned(),
        ),
        (
            "PBKDF2 with SHA-1, 100 000 iterations",
            format!("$pbkdf2$100000${salt}${}", output(27)),
        ),
        (
            "PBKDF2 with SHA-256, 100 000 iterations",
            format!("$pbkdf2-sha256$100000${salt}${}", output(43)),
        ),
        (
            "PBKDF2 with SHA-512, 100 000 iterations",
            format!("$pbkdf2-sha512$100000${salt}${}", output(86)),
        ),
        (
            "scrypt, N 16 384, r 8, p 1",
            format!("$scrypt$ln=14,r=8,p=1${salt}${}", output(43)),
        ),
        (
            "Argon2id, 19 456 KiB, 2 passes",
            format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${}", output(43)),
        ),
        (
            "SHA-crypt with SHA-256, 100 000 rounds",
            format!("$5$rounds=100000$saltsaltsaltsalt${}", ".".repeat(43)),
        ),
        (
            "SHA-crypt with SHA-512, 100 000 rounds",
            format!("$6$rounds=100000$saltsaltsaltsalt${}", ".".repeat(86)),
        ),
    ] {
        let Ok(Imported::Foreign(hash)) = import(&text, None) else {
            panic!("{name} is no hash");
        };
        group.bench_function(name, |b| b.iter(|| hash.matches(black_box(&secret))));
    }
    group.finish();
}

criterion_group!(benches, tries);
criterion_main!(benches);
