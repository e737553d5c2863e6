//! What `key import` takes, as OpenSSL and others write it, and the reason where it does not.

use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2_testkit::{Kind, Output, Setup};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{kid_of, published, until};
use crate::cli::migrated;
use crate::client_ids::encoded;
use crate::start;

on_both_stores!(kid_is_kept_verbatim);

pub const PASSPHRASE: &str = "correct horse";

/// Runs `openssl` commands in a directory.
pub fn openssl(directory: &Path, commands: &[&str]) {
    for command in commands {
        let output = Command::new("sh")
            .args(["-ec", &format!("openssl {command}")])
            .current_dir(directory)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

pub fn import(setup: &Setup, file: &str, arguments: &[&str]) -> Output {
    setup.run(&[&["key", "import", file, "--json"], arguments].concat())
}

/// Private keys in every form that is taken.
fn make_keys(directory: &Path) {
    std::fs::write(directory.join("pass"), format!("{PASSPHRASE}\nsecond line\n")).unwrap();
    // OpenSSL reads the second line of a file that is named twice.
    std::fs::copy(directory.join("pass"), directory.join("pass-out")).unwrap();
    let x509 = "-x509 -subj /CN=issuer.example -days 1";
    openssl(
        directory,
        &[
            "ecparam -genkey -name prime256v1 -out ecparam.pem",
            "ecparam -genkey -noout -name prime256v1 -out sec1.pem",
            "ecparam -genkey -name prime256v1 -param_enc explicit -out explicit.pem",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out pkcs8-ec.pem",
            "genpkey -algorithm ed25519 -out pkcs8-ed25519.pem",
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out pkcs8-rsa.pem",
            "genrsa -traditional -out pkcs1.pem 2048",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out with-certificate.pem",
            &format!("req {x509} -key with-certificate.pem -out certificate.pem"),
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out bag-key.pem",
            &format!("req {x509} -key bag-key.pem -out bag-certificate.pem"),
            "pkcs12 -export -inkey bag-key.pem -in bag-certificate.pem -name signer -passout file:pass -out bag.p12",
            "pkcs12 -in bag.p12 -passin file:pass -nodes -out bag.pem",
            "pkcs12 -in bag.p12 -passin file:pass -passout file:pass-out -out bag-encrypted.pem",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes-256-cbc -pass file:pass -out pbes2.pem",
            "genpkey -algorithm ed25519 -out pbes2-sha1-key.pem",
            "pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA1 -in pbes2-sha1-key.pem -passout file:pass -out pbes2-sha1.pem",
            "genpkey -algorithm ed25519 -out pbes2-sha512-key.pem",
            "pkcs8 -topk8 -v2 aes-192-cbc -v2prf hmacWithSHA512 -in pbes2-sha512-key.pem -passout file:pass -out pbes2-sha512.pem",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out scrypt-key.pem",
            "pkcs8 -topk8 -scrypt -in scrypt-key.pem -passout file:pass -out scrypt.pem",
            "genrsa -traditional -aes256 -passout file:pass -out traditional-rsa.pem 2048",
            "ecparam -genkey -noout -name prime256v1 -out traditional-key.pem",
            "ec -in traditional-key.pem -aes128 -passout file:pass -out traditional-ec.pem",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_taken_as_openssl_writes_them() {
    let setup = migrated(Kind::Postgres).await;
    let directory = setup.directory();
    make_keys(directory);
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    write(
        "with-certificate.pem",
        &(read("certificate.pem") + &read("with-certificate.pem")),
    );
    write(
        "crlf.pem",
        &format!("\u{feff}  \r\n{}", pem_of_new_key(directory).replace('\n', "\r\n")),
    );
    assert!(read("ecparam.pem").contains("EC PARAMETERS") && read("bag.pem").contains("Bag Attributes"));
    assert!(
        read("traditional-rsa.pem").contains("Proc-Type: 4,ENCRYPTED")
            && read("pbes2.pem").contains("ENCRYPTED PRIVATE KEY")
    );

    let pass: &[&str] = &["--passphrase-file", "pass"];
    for (file, algorithm, arguments) in [
        ("ecparam.pem", "ES256", &[][..]),
        ("sec1.pem", "ES256", &[]),
        ("explicit.pem", "ES256", &[]),
        ("pkcs8-ec.pem", "ES256", &[]),
        ("pkcs8-ed25519.pem", "EdDSA", &["--alg", "EdDSA"]),
        ("pkcs8-rsa.pem", "RS256", &["--alg", "RS256"]),
        ("pkcs1.pem", "PS256", &["--alg", "PS256"]),
        ("with-certificate.pem", "ES256", &[]),
        ("bag.pem", "ES256", &[]),
        ("crlf.pem", "ES256", &[]),
        ("pbes2.pem", "ES256", pass),
        ("scrypt.pem", "ES256", pass),
        (
            "pbes2-sha1.pem",
            "v4.public",
            &["--alg", "v4.public", "--passphrase-file", "pass"],
        ),
        (
            "pbes2-sha512.pem",
            "v4.public",
            &["--alg", "v4.public", "--passphrase-file", "pass"],
        ),
        (
            "traditional-rsa.pem",
            "RS256",
            &["--alg", "RS256", "--passphrase-file", "pass"],
        ),
        ("traditional-ec.pem", "ES256", pass),
    ] {
        let is_encrypted = arguments.contains(&"pass");
        if is_encrypted {
            let without: Vec<&str> = arguments
                .iter()
                .copied()
                .filter(|word| !word.contains("pass"))
                .collect();
            let refused = import(&setup, file, &without);
            assert_eq!(refused.code, 2, "{file}");
            assert!(
                refused.stderr.contains("is encrypted") && refused.stderr.contains("--passphrase-file"),
                "{}",
                refused.stderr
            );
            let wrong = [&without[..], &["--passphrase-file", "ecparam.pem"]].concat();
            let refused = import(&setup, file, &wrong);
            assert!(
                refused.code == 2 && refused.stderr.contains("passphrase is wrong"),
                "{file}: {}",
                refused.stderr
            );
        }
        let taken = import(&setup, file, arguments);
        assert_eq!(taken.code, 0, "{file}: {}", taken.stderr);
        assert!(!taken.stdout.contains(PASSPHRASE));
        let taken: Value = serde_json::from_str(&taken.stdout).unwrap();
        assert_eq!(taken["items"][0]["algorithm"], algorithm, "{file}");
    }
    // The same key, encrypted by another tool.
    let again = import(&setup, "bag-encrypted.pem", pass);
    assert!(
        again.code == 2 && again.stderr.contains("stored already"),
        "{}",
        again.stderr
    );
}

fn pem_of_new_key(directory: &Path) -> String {
    openssl(
        directory,
        &["genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out new.pem"],
    );
    std::fs::read_to_string(directory.join("new.pem")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_files_are_refused_with_the_reason_that_is_true() {
    let setup = migrated(Kind::Postgres).await;
    let directory = setup.directory();
    std::fs::write(directory.join("pass"), PASSPHRASE).unwrap();
    openssl(
        directory,
        &[
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem",
            "pkey -in key.pem -pubout -out public.pem",
            "pkey -in key.pem -outform DER -out key.der",
            "req -x509 -subj /CN=x -days 1 -key key.pem -out certificate.pem",
            "req -new -subj /CN=x -key key.pem -out request.pem",
            "ecparam -name prime256v1 -out parameters.pem",
            "ecparam -genkey -name secp384r1 -out p384-sec1.pem",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.pem",
            "ecparam -genkey -name secp256k1 -out secp256k1.pem",
            "ecparam -genkey -name secp384r1 -param_enc explicit -out explicit.pem",
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out rsa1024.pem",
            "genrsa -traditional -out rsa1024-pkcs1.pem 1024",
            "genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out rsa-pss.pem",
            "genpkey -algorithm ed448 -out ed448.pem",
            "genpkey -algorithm x25519 -out x25519.pem",
            "pkcs8 -topk8 -v1 PBE-SHA1-3DES -in key.pem -passout file:pass -out pbes1.pem",
            "pkcs8 -topk8 -v2 des3 -in key.pem -passout file:pass -out des3.pem",
            "ec -in key.pem -des3 -passout file:pass -out traditional-des3.pem",
        ],
    );
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    std::fs::write(directory.join("two.pem"), read("key.pem") + &read("p384.pem")).unwrap();
    std::fs::write(directory.join("text"), "no key").unwrap();
    for (file, reason) in [
        ("public.pem", "only a public key"),
        ("certificate.pem", "only a certificate"),
        ("request.pem", "only a certificate request"),
        ("parameters.pem", "only the parameters"),
        ("key.der", "openssl pkey -inform DER"),
        ("p384-sec1.pem", "curve P-384"),
        ("p384.pem", "curve P-384"),
        ("secp256k1.pem", "curve secp256k1"),
        ("explicit.pem", "explicit parameters"),
        ("rsa1024.pem", "2048 to 8192 bits"),
        ("rsa1024-pkcs1.pem", "2048 to 8192 bits"),
        ("rsa-pss.pem", "RSA-PSS"),
        ("ed448.pem", "an Ed448 key"),
        ("x25519.pem", "an X25519 key"),
        ("pbes1.pem", "which is not supported"),
        ("des3.pem", "which is not supported"),
        ("traditional-des3.pem", "a cipher other than AES-CBC"),
        ("two.pem", "2 private keys"),
        ("text", "no supported format"),
    ] {
        let refused = import(&setup, file, &["--passphrase-file", "pass"]);
        assert_eq!(refused.code, 2, "{file}: {}", refused.stdout);
        assert!(
            refused.stderr.contains(reason) && refused.stderr.contains(file),
            "{file}: {}",
            refused.stderr
        );
    }
    let missing = import(&setup, "key.pem", &["--passphrase-file", "nowhere"]);
    assert!(
        missing.code == 2 && missing.stderr.contains("--passphrase-file nowhere"),
        "{}",
        missing.stderr
    );
}

/// The parameters of a new RSA key, as a JWK.
fn rsa_jwk(directory: &Path) -> Value {
    openssl(
        directory,
        &[
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out jwk.pem",
            "pkey -in jwk.pem -noout -text -out jwk.txt",
        ],
    );
    let text = std::fs::read_to_string(directory.join("jwk.txt")).unwrap();
    let parameter = |name: &str| {
        let (_, rest) = text.split_once(&format!("{name}:\n")).unwrap();
        let digits: String = rest.lines().take_while(|line| line.starts_with(' ')).collect();
        let digits: String = digits.chars().filter(char::is_ascii_hexdigit).collect();
        let bytes = hex::decode(digits).unwrap();
        URL_SAFE_NO_PAD.encode(bytes.strip_prefix(&[0]).unwrap_or(&bytes))
    };
    json!({
        "kty": "RSA", "e": "AQAB", "n": parameter("modulus"), "d": parameter("privateExponent"), "p": parameter("prime1"),
        "q": parameter("prime2"), "dp": parameter("exponent1"), "dq": parameter("exponent2"), "qi": parameter("coefficient"),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn jwk_sets_and_rsa_keys_of_n_e_and_d_are_taken() {
    let setup = migrated(Kind::Postgres).await;
    let directory = setup.directory();
    let jwk = rsa_jwk(directory);
    let take = |value: &Value, arguments: &[&str]| {
        std::fs::write(directory.join("key.json"), value.to_string()).unwrap();
        import(&setup, "key.json", arguments)
    };
    let refused = |value: &Value, arguments: &[&str], words: &[&str]| {
        let output = take(value, arguments);
        assert_eq!(output.code, 2, "{}", output.stdout);
        for word in words {
            assert!(output.stderr.contains(word), "{} lacks {word}", output.stderr);
        }
    };
    let without = |names: &[&str]| {
        let mut jwk = jwk.clone();
        jwk.as_object_mut()
            .unwrap()
            .retain(|name, _| !names.contains(&name.as_str()));
        jwk
    };
    let mut other = without(&["p", "q", "dp", "dq", "qi"]);
    other["d"] = "AQAC".into();
    refused(&other, &["--alg", "RS256"], &["n, e and d that do not match"]);
    refused(
        &without(&["d"]),
        &["--alg", "RS256"],
        &["public key", "private key is required"],
    );
    let bare = without(&["p", "q", "dp", "dq", "qi"]);
    let taken = take(&bare, &["--alg", "RS256"]);
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    // The same key with its factors.
    refused(&jwk, &["--alg", "RS256"], &["stored already"]);

    let ed25519 = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": "ed/1=", "alg": "EdDSA", "use": "sig",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    let mut for_encryption = jwk.clone();
    for_encryption["use"] = "enc".into();
    for_encryption["kid"] = "enc".into();
    let mut rsa = jwk.clone();
    rsa["kid"] = "rsa:1".into();
    let mut public = ed25519.clone();
    public.as_object_mut().unwrap().remove("d");
    public["kid"] = "public".into();
    let secret = json!({"kty": "oct", "k": "AAAA", "kid": "oct"});
    refused(
        &json!({"keys": [rsa, ed25519]}),
        &[],
        &["several private keys", "--kid", "rsa:1", "ed/1="],
    );
    refused(
        &json!({"keys": [rsa, ed25519]}),
        &["--kid", "nothing"],
        &["without this kid"],
    );
    refused(&json!({"keys": [public, secret]}), &[], &["without a private key"]);
    refused(&json!({"keys": [public]}), &[], &["public key"]);
    refused(&json!({"keys": []}), &[], &["without keys"]);
    refused(&for_encryption, &["--alg", "RS256"], &["not for signatures"]);
    refused(&ed25519, &["--kid", "other"], &["another kid"]);
    refused(&json!({"kty": "EC", "crv": "P-384"}), &[], &["P-384"]);
    let set = json!({"keys": [secret, public, for_encryption, ed25519]});
    let taken = take(&set, &[]);
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    let taken: Value = serde_json::from_str(&taken.stdout).unwrap();
    assert_eq!(taken["items"][0]["kid"], "ed/1=");
    let set = json!({"keys": [rsa_named(&rsa_jwk(directory), "one"), rsa_named(&rsa_jwk(directory), "two")]});
    let taken = take(&set, &["--kid", "two", "--alg", "PS256"]);
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    assert!(taken.stdout.contains("\"two\""));
}

fn rsa_named(jwk: &Value, kid: &str) -> Value {
    let mut jwk = jwk.clone();
    jwk["kid"] = kid.into();
    jwk
}

async fn kid_is_kept_verbatim(kind: Kind) {
    const KIDS: [&str; 2] = ["arn:aws:kms:eu-1:1/key/a+b==", "\"quoted\\\" %2F ?#."];
    let server = start(kind).await;
    let client = server
        .register(json!({"token_format": "jwt", "signing_alg": "ES256"}))
        .await;
    for kid in KIDS {
        openssl(
            server.setup.directory(),
            &[
                "ecparam -genkey -noout -name prime256v1 -out k.pem",
                "ec -in k.pem -noout -text -out k.txt",
            ],
        );
        let text = std::fs::read_to_string(server.setup.directory().join("k.txt")).unwrap();
        let bytes = |name: &str| {
            let (_, rest) = text.split_once(&format!("{name}:\n")).unwrap();
            let digits: String = rest.lines().take_while(|line| line.starts_with(' ')).collect();
            hex::decode(digits.replace([':', ' '], "")).unwrap()
        };
        let (d, point) = (bytes("priv"), bytes("pub"));
        let d = d.strip_prefix(&[0]).unwrap_or(&d);
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "kid": kid, "d": URL_SAFE_NO_PAD.encode(d), "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        });
        let output = server
            .setup
            .run_with_input(&["key", "import", "-", "--published", "--json"], &jwk.to_string());
        assert_eq!(output.code, 0, "{}", output.stderr);
        until("the server signs with it", async || {
            kid_of(&server.token(&client).await) == kid
        })
        .await;
        let token = server.token(&client).await;
        assert!(server.is_active(&client, &token).await);
        assert!(published(&server).await.contains(&kid.to_owned()));
        let encoded = encoded(kid);
        let revoked = server
            .admin(Method::POST, &format!("/keys/{encoded}/revoke"))
            .send()
            .await
            .unwrap();
        assert_eq!(revoked.status(), StatusCode::OK, "{kid}");
        assert!(!server.is_active(&client, &token).await);
    }
}
