use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

#[test]
fn hashes_of_known_schemes_are_recognized() {
    let cases = [
        ("$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", "bcrypt"),
        ("$2b$12$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", "bcrypt"),
        ("$2x$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", "bcrypt"),
        ("$2y$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", "bcrypt"),
        ("bcrypt_sha256$$2b$12$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldG", "bcrypt"),
        ("$bcrypt-sha256$v=2,t=2b,r=12$n79VH.0Q2TMWmt3Oqt9uku$Kq4Noyk3", "bcrypt"),
        ("$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub", "Argon2"),
        ("argon2$argon2id$v=19$m=102400,t=2,p=8$c29tZXNhbHQ$RdescudvJC", "Argon2"),
        ("$pbkdf2-sha256$i=25000,l=32$c2FsdA$aGFzaGhhc2hoYXNoaGFzaA", "PBKDF2"),
        ("$pbkdf2-sha512$25000$c2FsdA$aGFzaGhhc2hoYXNoaGFzaA", "PBKDF2"),
        ("pbkdf2_sha256$600000$salt$aGFzaGhhc2hoYXNoaGFzaGhhc2g=", "PBKDF2"),
        ("pbkdf2:sha256:600000$salt$0123456789abcdef0123456789abcdef", "PBKDF2"),
        ("$scrypt$ln=17,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "scrypt"),
        ("scrypt:32768:8:1$salt$0123456789abcdef0123456789abcdef", "scrypt"),
        ("$7$CU..../....salt$aGFzaGhhc2hoYXNoaGFzaGhhc2g", "scrypt"),
        ("$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9S", "yescrypt"),
        ("$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "MD5-crypt"),
        ("$apr1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "MD5-crypt"),
        ("$5$saltsalt$qjXMvbEw8oaL.CzflDtaK/qjXMvbEw8oaL", "SHA-256-crypt"),
        ("$6$saltsalt$qjXMvbEw8oaL.CzflDtaK/qjXMvbEw8oaL", "SHA-512-crypt"),
        ("sha256$salt$0123456789abcdef0123456789abcdef", "SHA-256"),
        ("md5$salt$0123456789abcdef0123456789abcdef", "MD5"),
        ("sha1$salt$0123456789abcdef0123456789abcdef01234567", "SHA-1"),
        (
            "{bcrypt}$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJ",
            "{bcrypt}",
        ),
        ("{noop}a-secret-in-plain-text-behind-a-tag", "{noop}"),
        (
            "{pbkdf2}5d923b44a6d129f3ddf3e3c8d29412723dcbde72445e8ef6bf3b508f",
            "{pbkdf2}",
        ),
        (
            "{pbkdf2@SpringSecurity_v5_8}5d923b44a6d129f3ddf3e3c8d2941272",
            "{pbkdf2}",
        ),
        (
            "{scrypt}$e0801$8bWJaSu2IKSn9Z9kM+TPXfOc/9bdYSrN1oD9qfVThWEwdRTn",
            "{scrypt}",
        ),
        (
            "{sha256}97cde38028ad898ebc02e690819fa220e88c62e0699403e94fff291c",
            "{sha256}",
        ),
        (
            "{SHA-256}{salt}97cde38028ad898ebc02e690819fa220e88c62e0699403e9",
            "{sha256}",
        ),
        ("{MD5}kcwySbKCZkTKyGwqvnbz1Q==kcwySbKCZkTKyGwqvnbz1Q==", "{MD5}"),
        ("{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3DkMTwBl+a/3DQT", "{SSHA}"),
        ("{SHA}kcwySbKCZkTKyGwqvnbz1kcwySbKCZkTKyGwqvnbz1", "{SHA}"),
        (
            "{X-OTHER}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3DkMTwBl+a/3DQT",
            "a scheme in braces",
        ),
        (
            r#"{"hashIterations":27500,"algorithm":"pbkdf2-sha256","value":"x"}"#,
            "a JSON document",
        ),
        ("SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0$c3RvcmVkS2V5:c2VydmVyS2V5", "SCRAM"),
        ("md50123456789abcdef0123456789abcdef", "MD5 of Postgres"),
        ("*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19", "SHA-1 of MySQL"),
        (
            "AQAAAAEAACcQAAAAEJSPbbFM1aeXB8fGRV7RRamLpjzktAF7FjwDWtFx35eol4AxN6vm4zWR9EaugiQe",
            "ASP.NET Core Identity",
        ),
        (
            "$unheard-of$rounds=1$c2FsdHNhbHRzYWx0c2FsdHNhbHQ",
            "the modular crypt format",
        ),
    ];
    for (text, scheme) in cases {
        assert_eq!(of(text), Some(scheme), "{text}");
        for around in [
            format!("  {text}"),
            format!("{text}\t"),
            format!("\"{text}\""),
            format!(" '{text}' "),
        ] {
            assert_eq!(of(&around), Some(scheme), "{around}");
        }
    }
}

#[test]
fn hashes_in_other_spellings_are_recognized() {
    let bcrypt = "$2b$12$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";
    let hex = |digits: usize| "0123456789abcdef".repeat(digits.div_ceil(16))[..digits].to_owned();
    for (text, scheme) in [
        (format!("bcrypt:{bcrypt}"), "bcrypt"),
        (format!("user:{bcrypt}"), "bcrypt"),
        (format!("password = \"{bcrypt}\""), "bcrypt"),
        (format!("ci:realm:{bcrypt}"), "bcrypt"),
        ("user:$apr1$saltsalt$qjXMvbEw8oaL.CzflDtaK/".to_owned(), "MD5-crypt"),
        (STANDARD.encode(bcrypt), "bcrypt"),
        (URL_SAFE_NO_PAD.encode(format!("{bcrypt}\n")), "bcrypt"),
        (r#" {"hashIterations":27500,"value":"x"}"#.to_owned(), "a JSON document"),
        (
            r#"[{"hash":"x","algorithm":"bcrypt","salt":""}]"#.to_owned(),
            "a JSON document",
        ),
        ("{FSHP1|16|16384}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3".to_owned(), "{FSHP}"),
        ("$NT$0123456789abcdef0123456789abcdef".to_owned(), "NT hash"),
        (STANDARD.encode(format!("billing:{bcrypt}")), "bcrypt"),
        (format!("ACME\\billing:{bcrypt}"), "bcrypt"),
        (
            "$unheard-of$c2FsdHNhbHRzYWx0c2FsdHNhbHQ".to_owned(),
            "the modular crypt format",
        ),
        (format!("sha256={}", hex(64)), "SHA-256"),
        (format!("SHA-512 = {}", hex(128)), "SHA-512"),
        (format!("md5={}", hex(32)), "MD5"),
        (
            "sha256-n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=".to_owned(),
            "SHA-256",
        ),
        (format!("sha1-{}", hex(40)), "SHA-1"),
        (format!("S:{}", hex(60).to_uppercase()), "Oracle"),
        (format!("0x0200{}", hex(136).to_uppercase()), "SQL Server"),
        (format!("0x0100{}", hex(48)), "SQL Server"),
        (format!("{}:aSaltOfJoomla", hex(32)), "MD5"),
        (format!("{}:salt", hex(64)), "SHA-256"),
    ] {
        assert_eq!(of(&text), Some(scheme), "{text}");
    }
}

#[test]
fn generated_and_chosen_secrets_are_not_hashes() {
    for secret in [
        "oas_cs_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG",
        // `openssl rand -hex 32`, `-hex 20`, `-base64 32`.
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
        "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
        "correct horse battery staple, and more",
        "$ecret-that-begins-with-a-dollar-sign",
        "$2-costs-more-than-this-long-secret",
        "{not a tag} but a secret in braces, long",
        "{}-a-secret-that-begins-with-braces",
        "bcrypt-is-what-we-do-not-use-here-now",
        "md5-is-broken-and-this-is-no-hash-of-it",
        "550e8400-e29b-41d4-a716-446655440000",
        "sha256-is-what-we-do-not-use-here-now",
        "key=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "0x9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "https://api.example:8443/a-secret-like-a-url",
        "a=b:c=d:e=f:g=h:i=j:k=l:m=n:o=p:q=r:s=t",
        "\"a secret in quotes that is long enough\"",
        "c2hvcnQgc2VjcmV0IGluIGJhc2U2NCB0aGF0IGlzIHRleHQ=",
        "{\"not\": json because of this end",
        "$$-two-dollars-are-no-id-of-a-scheme-",
        "$m0ney$hunter-with-a-long-passphrase-here-1",
        "prod: $ecret$ are kept in the vault, always",
        "{a|b}:is-not-a-tag-of-a-known-scheme-at-all",
        // An id and a secret.
        "0123456789abcdef0123456789abcdef:fedcba9876543210fedcba9876543210",
    ] {
        assert_eq!(of(secret), None, "{secret}");
    }
}

proptest! {
    #[test]
    fn random_secrets_are_not_hashes(high in any::<u128>(), low in any::<u128>()) {
        let bytes = [high.to_be_bytes(), low.to_be_bytes()].concat();
        let hex = format!("{high:032x}{low:032x}");
        for secret in [STANDARD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes), hex] {
            prop_assert_eq!(of(&secret), None, "{}", secret);
        }
    }
}
