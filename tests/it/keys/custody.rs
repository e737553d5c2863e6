//! Where signing keys come from, and what they rest under.

use std::process::Command;

use oauth2_testkit::Kind;
use serde_json::{Value, json};

use super::{kid_of, published, restart, until};
use crate::start;

on_both_stores!(
    keys_from_elsewhere_are_taken_over,
    what_is_no_usable_key_is_named,
    the_key_encryption_key_is_changed_while_the_server_runs,
);

/// A key of RFC 8037, appendix A.
const JWK: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

async fn keys_from_elsewhere_are_taken_over(store: Kind) {
    let server = start(store).await;
    let client = server.register(json!({"token_format": "jwt"})).await;
    let before = kid_of(&server.token(&client).await);
    let taken = server
        .setup
        .run_with_input(&["key", "import", "-", "--alg", "EdDSA", "--published", "--json"], JWK);
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    let taken: Value = serde_json::from_str(&taken.stdout).unwrap();
    // The thumbprint that the RFC gives.
    let kid = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    assert_eq!(
        (&taken["items"][0]["kid"], &taken["items"][0]["state"]),
        (&json!(kid), &json!("signing"))
    );
    until("the server signs with it", async || {
        kid_of(&server.token(&client).await) == kid
    })
    .await;
    assert!(
        published(&server).await.contains(&before),
        "what it has signed can be verified on"
    );
    let again = server
        .setup
        .run_with_input(&["key", "import", "-", "--alg", "EdDSA"], JWK);
    assert!(again.code == 2 && again.stderr.contains("already"), "{}", again.stderr);
    // One that nobody knows yet is published first.
    let pem = Command::new("openssl")
        .args(["genpkey", "-algorithm", "ed25519"])
        .output()
        .unwrap()
        .stdout;
    let file = server.setup.directory().join("key.pem");
    std::fs::write(&file, pem).unwrap();
    let taken = server
        .setup
        .json(&["key", "import", file.to_str().unwrap(), "--alg", "v4.public", "--json"]);
    assert_eq!(taken["items"][0]["state"], "published");
}

async fn what_is_no_usable_key_is_named(store: Kind) {
    let setup = crate::cli::migrated(store).await;
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).output().unwrap();
        String::from_utf8(made.stdout).unwrap()
    };
    let small = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    let curve = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    let off = JWK.replace("11qY", "11qZ");
    for (text, alg, word) in [
        (&*small, Some("RS256"), "2048"),
        (&*curve, None, "curve"),
        (JWK, None, "--alg"),
        (JWK, Some("ES256"), "ES256"),
        (&*off, Some("EdDSA"), "belong together"),
        ("no key", None, "PEM"),
        ("", None, "PEM"),
    ] {
        let mut arguments = vec!["key", "import", "-"];
        arguments.extend(alg.iter().flat_map(|alg| ["--alg", alg]));
        let output = setup.run_with_input(&arguments, text);
        assert_eq!(output.code, 2, "{}", output.stdout);
        assert!(
            output.stderr.contains("stdin") && output.stderr.contains(word),
            "{} lacks {word}",
            output.stderr
        );
        assert!(!output.stderr.contains("nWGx"), "nothing of the key is told");
    }
    let missing = setup.run(&["key", "import", "nowhere.pem"]);
    assert!(
        missing.code == 2 && missing.stderr.contains("nowhere.pem"),
        "{}",
        missing.stderr
    );
    let unknown = setup.run(&["key", "rotate", "--alg", "none"]);
    assert!(
        unknown.code == 2 && unknown.stderr.contains("PS256"),
        "{}",
        unknown.stderr
    );
}

async fn the_key_encryption_key_is_changed_while_the_server_runs(store: Kind) {
    const NEW: &str = "//////////////////////////////////////////8=";
    let mut server = start(store).await;
    let client = server.register(json!({})).await;
    let token = server.token(&client).await;
    let old = match store {
        Kind::Postgres => server.setup.variable("OAUTH2_KEY_ENCRYPTION_KEY").unwrap().to_owned(),
        Kind::Sqlite => std::fs::read_to_string(server.setup.directory().join("data/key_encryption_key"))
            .unwrap()
            .trim()
            .to_owned(),
    };
    // The overlap: every node knows both, then the keys are sealed anew, then the old one goes.
    server.setup.set("OAUTH2_KEY_ENCRYPTION_KEY", NEW);
    server.setup.set("OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS", &*old);
    restart(&mut server).await;
    let doctor = server.setup.run(&["doctor"]);
    assert!(doctor.stdout.contains("key rewrap"), "{}", doctor.stdout);
    assert!(server.is_active(&client, &token).await);
    assert_eq!(server.setup.json(&["key", "rewrap", "--json"])["rewrapped"], 3);
    assert_eq!(
        server.setup.json(&["key", "rewrap", "--json"])["rewrapped"],
        0,
        "again changes nothing"
    );
    assert!(server.setup.run(&["doctor"]).stdout.contains("of no more use"));
    assert!(
        server.is_active(&client, &server.token(&client).await).await,
        "the server goes on meanwhile"
    );
    server.setup.unset("OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS");
    restart(&mut server).await;
    assert!(server.is_active(&client, &server.token(&client).await).await);
    server.setup.set("OAUTH2_KEY_ENCRYPTION_KEY", &*old);
    let refused = server.setup.run(&["key", "rotate"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("OAUTH2_KEY_ENCRYPTION_KEY"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        server.setup.run(&["doctor"]).code,
        3,
        "the old key opens nothing any more"
    );
}
