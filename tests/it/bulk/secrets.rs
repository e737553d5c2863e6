//! Secrets and unmentioned fields in imports, and files of exports.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use aws_lc_rs::digest::{SHA256, digest};
use oauth2_testkit::{Credentials, Kind};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{exported, import};
use crate::cli::migrated;
use crate::start;

on_both_stores!(
    line_changes_only_what_it_names,
    hash_is_not_a_secret,
    short_secret_of_an_imported_hash_does_not_authenticate,
    replaced_export_is_a_new_private_file,
);

/// A client that was disabled in an emergency stays disabled when an old file is imported again.
async fn line_changes_only_what_it_names(kind: Kind) {
    let setup = migrated(kind).await;
    let create = [
        "client",
        "create",
        "--id",
        "ci",
        "--scope",
        "read",
        "--name",
        "CI",
        "--lifetime",
        "60",
        "--quota",
        "day=9",
    ];
    assert_eq!(setup.run(&create).code, 0);
    assert_eq!(setup.run(&["client", "disable", "ci"]).code, 0);
    let shown = || setup.json(&["client", "show", "ci", "--json"]);
    import(
        &setup,
        &["--format", "jsonl"],
        r#"{"client_id": "ci", "scope": "read write"}"#,
    );
    let after = shown();
    assert_eq!(
        (&after["disabled"], &after["scope"]),
        (&json!(true), &json!("read write"))
    );
    assert_eq!(
        (&after["client_name"], &after["quotas"]),
        (&json!("CI"), &json!({"day": 9}))
    );
    import(
        &setup,
        &["--format", "csv"],
        "client_id,disabled,client_name,quota_day\nci,,,\n",
    );
    let after = shown();
    assert_eq!(
        (&after["disabled"], &after["access_token_lifetime"]),
        (&json!(true), &json!(60))
    );
    assert_eq!(
        (&after["client_name"], &after["quotas"]),
        (&json!(null), &json!({})),
        "an empty field is the default"
    );
    import(
        &setup,
        &["--format", "jsonl"],
        r#"{"client_id": "ci", "disabled": false}"#,
    );
    assert_eq!(shown()["disabled"], false);
}

/// What other systems store in place of a secret would log in as it stands, and the real secret would not.
async fn hash_is_not_a_secret(kind: Kind) {
    let setup = migrated(kind).await;
    for (hash, scheme) in [
        ("$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", "bcrypt"),
        ("{bcrypt}$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68L", "braces"),
        ("{noop}a-secret-in-clear-text-of-forty-letters", "braces"),
        ("{SSHA512}c2FsdGVkIGhhc2ggb2YgYSBzZWNyZXQgdGhhdCBpcyBsb25n", "braces"),
        ("$pbkdf2-sha256$25000$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2g", "PBKDF2"),
        ("pbkdf2_sha256$600000$saltsaltsalt$aGFzaGhhc2hoYXNoaGFzaA==", "PBKDF2"),
        ("$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo", "Argon2"),
        (
            "$scrypt$ln=16,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2g",
            "scrypt",
        ),
        (
            "$6$rounds=5000$saltsalt$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaA",
            "SHA-512",
        ),
    ] {
        let line = json!({"client_id": "foreign", "client_secret": hash}).to_string();
        let output = setup.run_with_input(&["client", "import", "-", "--format", "jsonl"], &line);
        assert!(
            output.code == 2 && output.stderr.contains(scheme),
            "{hash}: {}",
            output.stderr
        );
        assert!(!output.stderr.contains(hash), "no secret in an error");
        let output = setup.run(&["client", "create", "--id", "foreign", "--secret", hash]);
        assert!(
            output.code == 2 && output.stderr.contains(scheme),
            "{hash}: {}",
            output.stderr
        );
    }
    assert!(exported(&setup).is_empty());
}

async fn short_secret_of_an_imported_hash_does_not_authenticate(kind: Kind) {
    let server = start(kind).await;
    for (index, secret) in ["", "x", "hunter2", "nineteen-characters"].into_iter().enumerate() {
        let digest = digest(&SHA256, secret.as_bytes());
        let id = format!("short-{index}");
        let line = json!({"client_id": id, "client_secret_sha256": hex::encode(digest)}).to_string();
        let request = server.admin(Method::POST, "/clients:import");
        let request = request.header("content-type", "application/x-ndjson").body(line);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
        let response = server.request_token(&Credentials::new(id, secret), &[]).await;
        assert_ne!(response.status(), StatusCode::OK, "{secret:?}");
    }
}

/// An existing file may be readable by others, or open in another process.
async fn replaced_export_is_a_new_private_file(kind: Kind) {
    let setup = migrated(kind).await;
    assert_eq!(setup.run(&["client", "create", "--id", "ci"]).code, 0);
    let file = setup.directory().join("clients.jsonl");
    std::fs::write(&file, "old").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let before = std::fs::metadata(&file).unwrap();
    let path = file.to_str().unwrap();
    let export = ["client", "export", path, "--force", "--with-secret-hashes"];
    let output = setup.run(&export);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let after = std::fs::metadata(&file).unwrap();
    assert_eq!(after.mode() & 0o777, 0o600);
    assert_ne!(after.ino(), before.ino());
    assert!(std::fs::read_to_string(&file).unwrap().contains("\"ci\""));
}
