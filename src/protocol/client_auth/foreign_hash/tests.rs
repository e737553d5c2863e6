use serde::Deserialize;

use super::*;

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
    Some(parts.len() == 5 && decoded(parts[4]) >= 16)
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

#[test]
fn bad_hashes_are_rejected_with_their_reason() {
    let salt = "c2FsdHNhbHRzYWx0c2FsdA";
    let hash = "h0FMSxGd7A2EgsWakYrUWxkae90+c+wSvWdUsWx1la4";
    for (text, problem) in [
        ("", "is empty"),
        ("$2b$12$cut\r\n", "must be printable ASCII without spaces and line ends"),
        (
            "$2b$12$N9qo8uLOickgx2ZMRZoMye",
            "has 22 characters after its cost instead of 53; it may have been cut",
        ),
        (
            "$2x$12$N9qo8uLOickgx2ZMRZoMye",
            "was made by a faulty implementation of bcrypt ($2x$)",
        ),
        ("$5$salt$hash", "has the tag of a scheme that is not supported"),
        (
            "{MD5}kcwySbKCZkTKyGwqvnbz1Q==",
            "has a tag in braces of a scheme that is not supported",
        ),
        (
            &format!("$pbkdf2-sha256$i=25000,l=32$${hash}"),
            "has a salt of zero length",
        ),
        (
            &format!("$pbkdf2-sha256$i=0,l=32${salt}${hash}"),
            "must have at least one iteration",
        ),
        (
            &format!("$pbkdf2-sha256$i=-5,l=32${salt}${hash}"),
            "has no usable number as its i",
        ),
        (
            &format!("$pbkdf2-sha256$i=25000,l=16${salt}${hash}"),
            "has 32 bytes instead of 16; it may have been cut",
        ),
        (
            &format!("$pbkdf2-sha224$i=25000,l=32${salt}${hash}"),
            "must be PBKDF2 with SHA-1, SHA-256 or SHA-512",
        ),
        (
            &format!("$pbkdf2-sha256$25000${salt}${hash}$x"),
            "has too few or too many parts between $; it may have been cut",
        ),
        (&format!("pbkdf2_sha256$25000$${hash}="), "has a salt of zero length"),
        (
            &format!("$argon2id$v=19$m=4096,t=3,p=1$YWJj${hash}"),
            "has a salt of 3 bytes; Argon2 needs 8",
        ),
        (
            &format!("$argon2id$v=18$m=4096,t=3,p=1${salt}${hash}"),
            "must have the version v=19 or v=16",
        ),
        (
            &format!("$argon2d$v=19$m=4096,t=3,p=1${salt}${hash}"),
            "must be Argon2id or Argon2i",
        ),
        (
            &format!("$argon2id$v=19$t=3,m=4096,p=1${salt}${hash}"),
            "must have the parameters m=…,t=…,p=…",
        ),
        (
            &format!("$argon2id$v=19$m=7,t=3,p=1${salt}${hash}"),
            "must have parameters of Argon2: t and p at least 1, m at least 8 times p",
        ),
        (
            &format!("$scrypt$ln=0,r=8,p=1${salt}${hash}"),
            "must have parameters of scrypt: N at least 2, r and p at least 1",
        ),
        (
            "{SHA-256}{}b3d76cedbaacd4a39dd56a7993efbbe1c62554227acff1d75df7d4671ac0fd81",
            "has a salt of zero length",
        ),
        (
            "{SSHA256}h0FMSxGd7A2EgsWakYrUWxkae90+c+wSvWdUsWx1la4=",
            "has a salt of zero length",
        ),
        (
            "{noop}short",
            "is a secret in clear of less than 128 bits by its length and characters, or of more than 256 characters: give the client a new secret",
        ),
    ] {
        assert_eq!(rejected(text), problem, "{text}");
    }
}

#[test]
fn what_costs_too_much_is_rejected() {
    let (salt, hash) = ("c2FsdHNhbHRzYWx0c2FsdA", "h0FMSxGd7A2EgsWakYrUWxkae90+c+wSvWdUsWx1la4");
    let bcrypt = |cost: u32| format!("$2b${cost}$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK");
    assert!(import(&bcrypt(13), None).is_ok());
    assert_eq!(
        rejected(&bcrypt(14)),
        "takes about 1.1 s of a core for each try; at most 0.6 s is allowed"
    );
    assert!(rejected(&bcrypt(31)).starts_with("takes about "));
    for (accepted, too_much, problem) in [
        (
            "$pbkdf2-sha256$i=4400000,l=32",
            "$pbkdf2-sha256$i=4500000,l=32",
            "takes about 0.7 s",
        ),
        (
            "$pbkdf2-sha512$i=1300000,l=32",
            "$pbkdf2-sha512$i=4294967295,l=32",
            "takes about 1932.8 s",
        ),
        (
            "$scrypt$ln=16,r=8,p=1",
            "$scrypt$ln=17,r=8,p=1",
            "needs 128 MiB of memory",
        ),
        ("$scrypt$ln=15,r=8,p=4", "$scrypt$ln=14,r=8,p=16384", "takes about "),
        ("$scrypt$ln=16,r=8,p=1", "$scrypt$ln=40,r=8,p=1", "needs 1073741824 MiB"),
        (
            "$argon2id$v=19$m=65536,t=3,p=4",
            "$argon2id$v=19$m=65537,t=3,p=4",
            "needs 65 MiB of memory",
        ),
        (
            "$argon2i$v=19$m=65536,t=7,p=1",
            "$argon2i$v=19$m=65536,t=8,p=1",
            "takes about 0.7 s",
        ),
        (
            "$argon2id$m=4096,t=3,p=1",
            "$argon2id$v=19$m=4294967295,t=4294967295,p=1",
            "needs 4194304 MiB",
        ),
    ] {
        let text = |parameters: &str| format!("{parameters}${salt}${hash}");
        assert!(import(&text(accepted), None).is_ok(), "{accepted}");
        let found = rejected(&text(too_much));
        assert!(found.starts_with(problem), "{too_much}: {found}");
    }
    let django = "argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdHNhbHRzYWx0$h0FMSxGd7A2EgsWakYrUWxkae90+c+wSvWdUsWx1la4";
    assert_eq!(
        rejected(django),
        "needs 100 MiB of memory for each try; at most 64 MiB are allowed"
    );
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
