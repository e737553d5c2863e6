//! `key import` of PKCS #12 files.

use std::path::Path;

use oauth2_testkit::Kind;
use serde_json::{Value, json};

use super::import_formats::{PASSPHRASE, import, openssl};
use crate::cli::migrated;

/// With the algorithm and the passphrase.
const PASS: &[&str] = &["--alg", "RS256", "--passphrase-file", "pass"];

/// A key in files of every kind, whole and damaged.
fn make_files(directory: &Path) {
    std::fs::write(directory.join("pass"), PASSPHRASE).unwrap();
    std::fs::write(directory.join("wrong"), "wrong").unwrap();
    let x509 = "-x509 -subj /CN=issuer.example -days 1";
    openssl(
        directory,
        &[
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out p12-key.pem",
            &format!("req {x509} -key p12-key.pem -out p12-certificate.pem"),
            "pkcs12 -export -inkey p12-key.pem -in p12-certificate.pem -name signer -passout file:pass -out key.p12",
            "pkcs12 -export -legacy -inkey p12-key.pem -in p12-certificate.pem -passout file:pass -out legacy.p12",
            "pkcs12 -export -inkey p12-key.pem -in p12-certificate.pem -keypbe NONE -certpbe NONE -passout file:pass -out plain.p12",
            "pkcs12 -export -inkey p12-key.pem -in p12-certificate.pem -iter 2000000 -passout file:pass -out slow.p12",
            "pkcs12 -export -inkey p12-key.pem -in p12-certificate.pem -legacy -keypbe PBE-SHA1-RC2-128 -passout file:pass -out rc2.p12",
            "pkcs12 -export -nokeys -in p12-certificate.pem -passout file:pass -out certificate.p12",
        ],
    );
    let plain = std::fs::read(directory.join("plain.p12")).unwrap();
    std::fs::write(directory.join("cut.p12"), &plain[..plain.len() - 7]).unwrap();
    let mut changed = plain;
    // Nothing is encrypted: only the MAC shows it.
    changed[400] ^= 1;
    std::fs::write(directory.join("changed.p12"), changed).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pkcs12_files_are_taken() {
    let setup = &migrated(Kind::Postgres).await;
    let directory = setup.directory();
    make_files(directory);
    for (file, arguments, reason) in [
        (
            "key.p12",
            &["--alg", "RS256"][..],
            "is encrypted, and its passphrase is not given; name a file",
        ),
        (
            "key.p12",
            &["--alg", "RS256", "--passphrase-file", "wrong"],
            "passphrase is wrong",
        ),
        ("key.p12", &["--passphrase-file", "pass"], "set --alg"),
        (
            "key.p12",
            &["--alg", "RS256", "--passphrase-file", "pass", "--kid", "a\tb"],
            "invalid kid",
        ),
        (
            "legacy.p12",
            &["--alg", "RS256", "--passphrase-file", "wrong"],
            "passphrase is wrong",
        ),
        (
            "legacy.p12",
            &["--alg", "RS256"],
            "is encrypted, and its passphrase is not given",
        ),
        // The key is in clear: only the MAC shows that a byte was changed.
        ("changed.p12", PASS, "the passphrase is wrong, or the file is damaged"),
        ("slow.p12", PASS, "more rounds of key derivation than are allowed"),
        ("rc2.p12", PASS, "an encryption or a MAC that is not supported"),
        ("cut.p12", PASS, "damaged or not in DER"),
        ("certificate.p12", PASS, "without a private key"),
    ] {
        let refused = import(setup, file, arguments);
        assert!(
            refused.code == 2 && refused.stderr.contains(reason),
            "{file}: {}",
            refused.stderr
        );
    }
    let kid = "8F2C0D3E77AA4C558F2E6A9F1F0C7D11RS256";
    let taken = import(
        setup,
        "key.p12",
        &["--alg", "RS256", "--passphrase-file", "pass", "--kid", kid],
    );
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    let taken: Value = serde_json::from_str(&taken.stdout).unwrap();
    assert_eq!(
        (&taken["items"][0]["kid"], &taken["items"][0]["algorithm"]),
        (&json!(kid), &json!("RS256"))
    );
    // The same key in other files: each is read as far as that.
    for file in ["legacy.p12", "plain.p12"] {
        let again = import(setup, file, PASS);
        assert!(
            again.code == 2 && again.stderr.contains("stored already"),
            "{file}: {}",
            again.stderr
        );
    }
    let again = import(setup, "p12-key.pem", &["--alg", "RS256"]);
    assert!(
        again.code == 2 && again.stderr.contains("stored already"),
        "{}",
        again.stderr
    );
}
