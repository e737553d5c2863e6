//! Texts that are not accepted.

use super::*;

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
        (
            "$5$salt$hash",
            "has a hash of 4 characters instead of 43 letters, digits, dots and slashes; it may have been cut",
        ),
        ("$5$rounds=999$salt$hash", "must have 1000 to 999999999 rounds"),
        ("$5$$hash", "has a salt of zero length"),
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
            // The first 24 of 32 bytes.
            &format!("$argon2id$v=19$m=4096,t=3,p=1${salt}${}", &hash[..32]),
            "has a hash of 24 bytes instead of 16, 32, 64 or 128; it may have been cut",
        ),
        (
            &format!("$scrypt$ln=14,r=8,p=1${salt}${}", &hash[..32]),
            "has 24 bytes instead of 32; it may have been cut",
        ),
        (
            &format!("$pbkdf2-sha256$25000${salt}${}", &hash[..32]),
            "has 24 bytes instead of 32; it may have been cut",
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
fn tags_in_another_case_are_rejected_with_the_supported_spelling() {
    for (tag, supported) in [
        ("BCRYPT", "{bcrypt}"),
        ("Sha256", "{sha256} or {SHA256}"),
        ("ssha512", "{SSHA512}"),
    ] {
        assert_eq!(
            rejected(&format!("{{{tag}}}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3")),
            format!(
                "has the tag {{{tag}}}, which is not supported: tags are case-sensitive, and {supported} is supported"
            )
        );
    }
    for tag in TAGS {
        let problem = import(&format!("{{{tag}}}x"), None).unwrap_err();
        assert!(
            tag == "CRYPT" || !problem.contains("not supported ("),
            "{tag}: {problem}"
        );
        assert!(!problem.contains("case-sensitive"), "{tag}: {problem}");
    }
}

/// Taken as a secret, the text of any of them would authenticate.
#[test]
fn other_spellings_are_rejected_with_their_scheme_and_the_way_out() {
    let hex = "0123456789abcdef0123456789abcdef";
    for (text, scheme) in [
        (&*format!("md5$salt${hex}"), "MD5: MD4"),
        (&format!("sha1$salt${hex}01234567"), "SHA-1: MD4"),
        (&format!("sha256$salt${hex}{hex}"), "SHA-256"),
        ("{MD5}kcwySbKCZkTKyGwqvnbz1Q==", "{MD5}: MD4"),
        ("{SMD5}kcwySbKCZkTKyGwqvnbz1XNhbHQ=", "{SMD5}: MD4"),
        ("{SHA}kcwySbKCZkTKyGwqvnbz1kcwySY=", "{SHA}: MD4"),
        ("{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3", "{SSHA}: MD4"),
        ("{SSHA224}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3", "{SSHA224}"),
        ("{SSHA384}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3", "{SSHA384}"),
        ("{SHA384}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3", "{sha384}"),
        ("{CRYPT}$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "MD5-crypt: MD4"),
        ("{PKCS5S2}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3", "a scheme in braces"),
        ("$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "MD5-crypt: MD4"),
        ("$apr1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "MD5-crypt: MD4"),
        ("$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9S", "yescrypt"),
        ("$7$CU..../....salt$aGFzaGhhc2hoYXNoaGFzaGhhc2g", "scrypt"),
        ("$p5k2$1000$c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2g", "PBKDF2"),
        ("$P$984478476IagS59wHZvyQMArzfx58u.", "phpass"),
        (&format!("pbkdf2:sha256:600000$salt${hex}{hex}"), "PBKDF2"),
        (&format!("scrypt:32768:8:1$salt${hex}{hex}"), "scrypt"),
        (&format!("grub.pbkdf2.sha512.10000.{hex}.{hex}"), "PBKDF2"),
        (
            "AQAAAAEAACcQAAAAEJSPbbFM1aeXB8fGRV7RRamLpjzktAF7FjwDWtFx35eol4AxN6vm4zWR9EaugiQe",
            "ASP.NET Core Identity",
        ),
        (&format!("md5{hex}"), "MD5 of Postgres: MD4"),
        ("*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19", "SHA-1 of MySQL: MD4"),
        ("SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0$c3RvcmVkS2V5:c2VydmVyS2V5", "SCRAM"),
        (
            "$unheard-of$rounds=1$c2FsdHNhbHRzYWx0c2FsdHNhbHQ",
            "the modular crypt format",
        ),
        (r#"{"algorithm":"pbkdf2-sha256","value":"x"}"#, "a JSON document"),
    ] {
        assert_eq!(
            rejected(text),
            format!(
                "is of a scheme or in a spelling that is not supported ({}); leave it out and give the client a new secret",
                scheme.replace(": MD4", ": MD4, MD5 and SHA-1 do not protect a secret")
            ),
            "{text}"
        );
        assert!(hash_schemes::of(text).is_some(), "{text} is no secret");
    }
    for (digest, other) in [(hex, "MD5"), (&*format!("{hex}01234567"), "SHA-1")] {
        let problem = import(digest, Some(Scheme::Sha256Hex)).unwrap_err();
        assert!(
            problem.contains(&format!("is a digest of {other}, which")) && problem.ends_with("a new secret"),
            "{problem}"
        );
    }
    assert!(
        import("c2hvcnQtc2VjcmV0", None)
            .unwrap_err()
            .contains("client_secret_hash_scheme must name it")
    );
}

/// Authelia and passlib write tags before spellings of others, too.
#[test]
fn tags_of_other_spellings_are_read_through() {
    let strong = "Xy7-q2LmZ0vB9nTfKc4WsJd8RgHe3UaPi5oQ_1rEtYw";
    for text in [
        format!("$plaintext${strong}"),
        format!("$base64${}", fields::to_base64(strong.as_bytes())),
    ] {
        assert_eq!(import(&text, None), Ok(Imported::Fast(secret::hash(strong))), "{text}");
        assert!(hash_schemes::of(&text).is_some(), "{text} is no secret");
    }
    assert!(rejected("$plaintext$hunter2").contains("less than 128 bits"));
    assert!(rejected("$plaintext$$2b$12$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK").contains("(bcrypt)"));
    assert_eq!(import(&format!("{{CRYPT}}{LONG}"), None), import(LONG, None));
}

#[test]
fn what_costs_too_much_is_rejected() {
    let (salt, hash) = ("c2FsdHNhbHRzYWx0c2FsdA", "h0FMSxGd7A2EgsWakYrUWxkae90+c+wSvWdUsWx1la4");
    let bcrypt = |cost: u32| format!("$2b${cost}$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK");
    assert!(import(&bcrypt(14), None).is_ok());
    assert_eq!(
        rejected(&bcrypt(15)),
        "takes about 1.8 s of a core for each try; at most 1 s is allowed"
    );
    assert!(rejected(&bcrypt(31)).starts_with("takes about "));
    for (accepted, too_much, problem) in [
        (
            "$pbkdf2-sha256$i=9200000,l=32",
            "$pbkdf2-sha256$i=9300000,l=32",
            "takes about 1.1 s",
        ),
        (
            "$pbkdf2-sha512$i=2700000,l=32",
            "$pbkdf2-sha512$i=4294967295,l=32",
            "takes about 1546.2 s",
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
            "$argon2i$v=19$m=65536,t=14,p=1",
            "$argon2i$v=19$m=65536,t=15,p=1",
            "takes about 1.1 s",
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
