use serde::Deserialize;

use super::*;

mod rejected;

/// Hashes that the original libraries made; `tests/foreign_hashes/README.md` says how.
const VECTORS: &str = include_str!("../../../../tests/foreign_hashes/vectors.jsonl");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    made_by: String,
    secret: String,
    hash: String,
    #[serde(default)]
    scheme: Option<String>,
}

#[test]
fn vectors_of_every_product_are_there() {
    for product in [
        "golang.org",
        "Ory Hydra",
        "Authelia",
        "Spring Security",
        "bcrypt",
        "passlib",
        "Django",
        "argon2-cffi",
        "hashlib",
    ] {
        assert!(
            vectors().iter().any(|vector| vector.made_by.starts_with(product)),
            "{product}"
        );
    }
}

fn vectors() -> Vec<Vector> {
    VECTORS
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn read(vector: &Vector) -> Imported {
    let scheme = vector.scheme.as_ref().map(|name| name.parse().unwrap());
    import(&vector.hash, scheme).unwrap_or_else(|problem| panic!("{vector:?}: {problem}"))
}

fn rejected(text: &str) -> String {
    import(text, None).expect_err(text)
}

#[test]
fn hashes_of_the_original_libraries_verify() {
    for vector in vectors() {
        match read(&vector) {
            Imported::Fast(hash) => assert_eq!(hash, secret::hash(&vector.secret), "{vector:?}"),
            Imported::Foreign(hash) => {
                assert!(hash.matches(&vector.secret), "{vector:?}");
                let stored = ForeignHash::from_stored(&hash.text()).unwrap();
                assert!(
                    stored == hash && stored.id() == hash.id(),
                    "{vector:?} is stored as it is"
                );
                assert_eq!(import(&hash.text(), None), Ok(Imported::Foreign(hash)), "{vector:?}");
            }
        }
    }
}

#[test]
fn near_misses_and_the_hash_itself_do_not_verify() {
    for vector in vectors() {
        let Imported::Foreign(hash) = read(&vector) else {
            continue;
        };
        let swapped: String = vector
            .secret
            .chars()
            .map(|c| {
                if c.is_lowercase() {
                    c.to_ascii_uppercase()
                } else {
                    c.to_ascii_lowercase()
                }
            })
            .collect();
        let mut cut = vector.secret.clone();
        cut.pop();
        for wrong in [
            &swapped,
            &cut,
            &format!("{}x", vector.secret),
            &format!("{}\0", vector.secret),
            &vector.hash,
            &hash.text(),
            "",
        ] {
            assert!(!hash.matches(wrong), "{vector:?}: {wrong}");
        }
    }
}

#[test]
fn a_changed_hash_does_not_verify() {
    for vector in vectors() {
        let Imported::Foreign(_) = read(&vector) else {
            continue;
        };
        // A character in the middle of the hash proper, so that no bit of it is without a meaning.
        let at = vector.hash.len() - 10;
        let (before, rest) = vector.hash.split_at(at);
        let changed = if rest.starts_with('a') { "b" } else { "a" };
        let text = format!("{before}{changed}{}", &rest[1..]);
        let scheme = vector.scheme.as_ref().map(|name| name.parse().unwrap());
        let Ok(Imported::Foreign(hash)) = import(&text, scheme) else {
            panic!("{vector:?} is a hash with one other character");
        };
        assert!(!hash.matches(&vector.secret), "{vector:?}");
    }
}

#[test]
fn every_truncation_is_rejected_or_another_hash() {
    let mut shorter = 0;
    for vector in vectors() {
        let scheme = vector.scheme.as_ref().map(|name| name.parse().unwrap());
        if scheme == Some(Scheme::Plain) || vector.hash.starts_with("{noop}") {
            continue;
        }
        for length in 0..vector.hash.trim_end_matches('=').len() {
            let text = &vector.hash[..length];
            let Ok(read) = import(text, scheme) else {
                continue;
            };
            // Two forms do not say how long their last part is.
            assert_eq!(shorter_last_part(text), Some(true), "{vector:?} cut to {length}");
            let Imported::Foreign(hash) = read else {
                panic!("{vector:?} cut to {length} is no SHA-256");
            };
            if let ForeignHash::Digest(_) = &hash {
                assert!(!hash.matches(&vector.secret), "{vector:?} cut to {length}");
            }
            shorter += 1;
        }
    }
    assert!(shorter > 0, "salts of LDAP and hashes of Argon2 can be shorter");
}

/// Whether the last part of such a form is long enough: the salt of LDAP after a whole hash, or the hash of Argon2 after its salt. `None`:
/// another form.
fn shorter_last_part(text: &str) -> Option<bool> {
    let decoded = |part: &str| fields::base64(part.trim_end_matches('=')).map_or(0, |bytes| bytes.len());
    for (tag, length) in [("{SSHA256}", 32), ("{SSHA512}", 64)] {
        if let Some(rest) = text.strip_prefix(tag) {
            return Some(decoded(rest) > length);
        }
    }
    let argon2 = text.find("argon2i").map(|at| &text[at..])?;
    let parts: Vec<_> = argon2.split('$').collect();
    Some(parts.len() == 5 && decoded(parts[4]) == 16)
}

#[test]
fn a_scheme_is_never_guessed_and_must_agree_with_a_tag() {
    let hex = "0c2e078304c6da9c0d90c25ca7d3344ff6aaada9cd613319955fc5c5d259ec0b";
    assert!(rejected(hex).contains("client_secret_hash_scheme must name it: bcrypt, "));
    let bcrypt = "$2a$04$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK";
    let problem = import(bcrypt, Some(Scheme::Argon2id)).unwrap_err();
    assert_eq!(
        problem,
        "is tagged as bcrypt, but client_secret_hash_scheme says argon2id"
    );
    assert!(import(bcrypt, Some(Scheme::Bcrypt)).is_ok());
    let problem = import(hex, Some(Scheme::Bcrypt)).unwrap_err();
    assert_eq!(problem, "is no bcrypt hash in a spelling that is supported");
}

/// As a secret, the text of a hash would authenticate.
#[test]
fn a_hash_is_no_secret_in_clear() {
    let bcrypt = "$2b$12$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK";
    let problem = "looks like a hash or a tagged password (bcrypt) and is no secret in clear";
    let tagged = format!("{{noop}}{bcrypt}");
    for (text, scheme) in [
        (&*tagged, None),
        (&*tagged, Some(Scheme::Plain)),
        ("{noop}bcrypt$$2b$12$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadx", None),
    ] {
        assert_eq!(import(text, scheme).unwrap_err(), problem, "{text}");
    }
    let untagged = import("md50123456789abcdef0123456789abcdef", Some(Scheme::Plain)).unwrap_err();
    assert!(untagged.contains("(MD5 of Postgres)"), "{untagged}");
    let twice = rejected(&format!("{{noop}}{{bcrypt}}{bcrypt}"));
    assert!(twice.contains("({bcrypt})"), "{twice}");
}

/// Made by Python's bcrypt of the first 72 characters of `long` below.
const LONG: &str = "$2b$04$Wa4WXDLuPp6BKV9Sr.GHV.bads0SL1AZzNAW8JpUlpFQwqNOizTL6";

/// bcrypt ignores what follows byte 72: such a secret verifies by its beginning, and another text must not be pinned as the secret.
#[test]
fn a_secret_that_bcrypt_cuts_is_never_replaced() {
    let long = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_0123456789abcdef";
    let Ok(Imported::Foreign(hash)) = import(LONG, None) else {
        panic!("it is a hash");
    };
    assert!(hash.matches(long) && hash.matches(&long[..72]), "by its beginning");
    assert!(!hash.matches(&long[..71]));
    assert!(hash.ignores_the_end_of_long_secrets());
    assert!(!hash.may_be_replaced_by(long) && !hash.may_be_replaced_by(&long[..72]));
    assert!(hash.may_be_replaced_by(&long[..71]), "all of its bytes were verified");
    assert!(!hash.may_be_replaced_by("hunter2"), "too weak");
}

#[test]
fn sha_512_of_spring_is_taken_without_a_salt() {
    let hex = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, b"hunter2"));
    let Ok(Imported::Foreign(hash)) = import(&format!("{{SHA-512}}{hex}"), None) else {
        panic!("it is a hash");
    };
    assert!(hash.matches("hunter2") && hash.scheme() == Scheme::Sha512Base64);
    assert!(rejected(&format!("{{SHA-512}}{}", &hex[..126])).contains("it may have been cut"));
}
