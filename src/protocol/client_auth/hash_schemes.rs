//! Texts that other systems store in place of a secret. As a secret such a text would authenticate, and the real one would not.
//!
//! A bare digest in hexadecimal or base64 is not among them: it cannot be told from a generated secret, such as the output of
//! `openssl rand -hex 32`. A digest is declared as `client_secret_sha256`, or as `client_secret_hash` with its scheme.

/// Beginnings, in lower case, and the scheme that they belong to. More specific ones first.
const PREFIXES: &[(&str, &str)] = &[
    ("$2$", "bcrypt"),
    ("$2a$", "bcrypt"),
    ("$2b$", "bcrypt"),
    ("$2x$", "bcrypt"),
    ("$2y$", "bcrypt"),
    ("$bcrypt", "bcrypt"),
    ("bcrypt$", "bcrypt"),
    ("bcrypt_", "bcrypt"),
    ("$argon2", "Argon2"),
    ("argon2$", "Argon2"),
    ("argon2i", "Argon2"),
    ("argon2d", "Argon2"),
    ("$pbkdf2", "PBKDF2"),
    ("$p5k2$", "PBKDF2"),
    ("pbkdf2_", "PBKDF2"),
    ("pbkdf2:", "PBKDF2"),
    ("pbkdf2$", "PBKDF2"),
    ("pbkdf2-", "PBKDF2"),
    ("$scrypt", "scrypt"),
    ("$s0$", "scrypt"),
    ("$7$", "scrypt"),
    ("scrypt$", "scrypt"),
    ("scrypt:", "scrypt"),
    ("$y$", "yescrypt"),
    ("$gy$", "yescrypt"),
    ("$1$", "MD5-crypt"),
    ("$apr1$", "MD5-crypt"),
    ("$md5", "MD5-crypt"),
    ("md5$", "MD5"),
    ("md5:", "MD5"),
    ("$sha1$", "SHA-1"),
    ("sha1$", "SHA-1"),
    ("sha1:", "SHA-1"),
    ("sha256$", "SHA-256"),
    ("sha256:", "SHA-256"),
    ("sha-256:", "SHA-256"),
    ("sha512$", "SHA-512"),
    ("sha512:", "SHA-512"),
    ("sha-512:", "SHA-512"),
    ("$5$", "SHA-256-crypt"),
    ("$6$", "SHA-512-crypt"),
    ("$3$", "NT hash"),
    ("scram-sha-", "SCRAM"),
    ("$scram", "SCRAM"),
    ("$a$0", "MySQL"),
    ("$s$", "Drupal"),
    ("$h$", "phpass"),
    ("$p$", "phpass"),
    ("$plaintext$", "plain text"),
    ("$base64$", "plain text in base64"),
    ("grub.pbkdf2.", "PBKDF2"),
];

/// Tags in braces, in lower case and without separators: Spring Security, UAA and LDAP (RFC 2307).
const TAGS: &[(&str, &str)] = &[
    ("bcrypt", "{bcrypt}"),
    ("blfcrypt", "{BLF-CRYPT}"),
    ("noop", "{noop}"),
    ("pbkdf2", "{pbkdf2}"),
    ("scrypt", "{scrypt}"),
    ("argon2", "{argon2}"),
    ("sha256", "{sha256}"),
    ("sha512", "{sha512}"),
    ("sha1", "{sha-1}"),
    ("sha224", "{sha224}"),
    ("sha384", "{sha384}"),
    ("sha3", "{sha-3}"),
    ("sha", "{SHA}"),
    ("ssha256", "{SSHA256}"),
    ("ssha512", "{SSHA512}"),
    ("ssha224", "{SSHA224}"),
    ("ssha384", "{SSHA384}"),
    ("ssha", "{SSHA}"),
    ("smd5", "{SMD5}"),
    ("md5", "{MD5}"),
    ("md4", "{MD4}"),
    ("crypt", "{CRYPT}"),
    ("plain", "{PLAIN}"),
    ("clear", "{CLEARTEXT}"),
];

/// The scheme of a text that other systems store in place of a secret.
pub fn of(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    if let Some(scheme) = tag(&lower) {
        return Some(scheme);
    }
    // Keycloak stores a password as a JSON document with its hash and the parameters.
    if lower.starts_with('{') && serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(text).is_ok() {
        return Some("a JSON document");
    }
    let known = PREFIXES.iter().find(|(prefix, _)| lower.starts_with(prefix));
    if let Some((_, scheme)) = known {
        return Some(scheme);
    }
    let is_hexadecimal = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if lower.strip_prefix("md5").is_some_and(|rest| is_hexadecimal(rest, 32)) {
        return Some("MD5 of Postgres");
    }
    if lower.strip_prefix('*').is_some_and(|rest| is_hexadecimal(rest, 40)) {
        return Some("SHA-1 of MySQL");
    }
    // Version 1, then the number of the hash as 32 bits, in base64.
    if text.starts_with("AQAAAA") && text.len() >= 60 {
        return Some("ASP.NET Core Identity");
    }
    is_modular_crypt(&lower).then_some("the modular crypt format")
}

/// A tag in braces before the rest.
fn tag(lower: &str) -> Option<&'static str> {
    let (tag, _) = lower.strip_prefix('{')?.split_once('}')?;
    let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"-_@.".contains(&byte);
    if tag.is_empty() || !tag.bytes().all(is_tag) {
        return None;
    }
    let name: String = tag.chars().filter(char::is_ascii_alphanumeric).collect();
    let known = TAGS.iter().find(|(known, _)| name.starts_with(known));
    Some(known.map_or("a scheme in braces", |(_, scheme)| scheme))
}

/// `$id$…$…`.
fn is_modular_crypt(lower: &str) -> bool {
    let Some((id, rest)) = lower.strip_prefix('$').and_then(|rest| rest.split_once('$')) else {
        return false;
    };
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=16).contains(&id.len()) && id.bytes().all(is_id) && rest.contains('$')
}

#[cfg(test)]
mod tests {
    use super::of;

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
        ] {
            assert_eq!(of(secret), None, "{secret}");
        }
    }
}
