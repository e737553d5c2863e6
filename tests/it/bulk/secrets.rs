//! Secrets and unmentioned fields in imports, and files of exports.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;

use aws_lc_rs::digest::{SHA256, digest};
use oauth2_testkit::{Credentials, Kind};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{exported, import};
use crate::cli::migrated;
use crate::{shared, start};

on_both_stores!(
    line_changes_only_what_it_names,
    hash_is_not_a_secret,
    short_secret_of_an_imported_hash_does_not_authenticate,
    replaced_export_is_a_new_private_file,
    failed_export_leaves_the_existing_file,
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
    let (setup, server) = (migrated(kind).await, shared(kind).await);
    let post = async |path: &str, media: &str, body: String| {
        let request = server.admin(Method::POST, path).header("content-type", media);
        let response = request.body(body).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    };
    for (hash, scheme) in [
        ("$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", "bcrypt"),
        ("{bcrypt}$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68L", "{bcrypt}"),
        ("{noop}a-secret-in-clear-text-of-forty-letters", "{noop}"),
        ("{SSHA512}c2FsdGVkIGhhc2ggb2YgYSBzZWNyZXQgdGhhdCBpcyBsb25n", "{SSHA512}"),
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
        (
            r#"{"hashIterations":27500,"algorithm":"pbkdf2-sha256"}"#,
            "a JSON document",
        ),
    ] {
        let member = json!({"client_id": "foreign", "client_secret": hash}).to_string();
        let row = format!("client_id,client_secret\nforeign,\"{}\"\n", hash.replace('"', "\"\""));
        let import = |format: &str, text: &str| {
            let output = setup.run_with_input(&["client", "import", "-", "--format", format], text);
            (output.code == 2, output.stderr)
        };
        let create = ["client", "create", "--id", "foreign"];
        let given = setup.run(&[&create[..], &["--secret", hash]].concat());
        let on_stdin = setup.run_with_input(&[&create[..], &["--secret-stdin"]].concat(), hash);
        let mut doors = vec![
            import("jsonl", &member),
            import("csv", &row),
            (given.code == 2, given.stderr),
            (on_stdin.code == 2, on_stdin.stderr),
        ];
        for (path, media, body) in [
            ("/clients", "application/json", &member),
            ("/clients:import", "application/x-ndjson", &member),
            ("/clients:import", "text/csv", &row),
        ] {
            let (status, answer) = post(path, media, body.clone()).await;
            doors.push((status == StatusCode::BAD_REQUEST, answer));
        }
        for (is_rejected, answer) in doors {
            assert!(is_rejected && answer.contains(scheme), "{hash}: {answer}");
            assert!(!answer.contains(hash), "no secret in an error");
        }
    }
    assert!(exported(&setup).is_empty());
    // A digest cannot be told from a generated secret.
    let digest = hex::encode(digest(&SHA256, b"x"));
    let taken = setup.run(&["client", "create", "--secret", &digest]);
    assert_eq!(taken.code, 0, "{}", taken.stderr);
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

/// The signal of a process that writes beyond its limit.
const SIGXFSZ: i32 = 25;

/// A file is complete or not there: the existing one stays until the new one is complete.
async fn failed_export_leaves_the_existing_file(kind: Kind) {
    let setup = migrated(kind).await;
    let line = |number| format!("{{\"client_id\": \"client-{number}\", \"client_secret_sha256\": \"{number:064}\"}}");
    let lines: Vec<_> = (0..2_000).map(line).collect();
    import(&setup, &["--format", "jsonl"], &lines.join("\n"));
    let file = setup.directory().join("clients.jsonl");
    std::fs::write(&file, "old").unwrap();
    let failed = |arguments: &str| {
        // A process that writes beyond this size is ended by a signal.
        let script = format!("ulimit -c 0; exec prlimit --fsize=262144 \"$0\" client export {arguments}");
        let status = setup.script(&script).output().unwrap().status;
        assert_eq!(status.signal(), Some(SIGXFSZ), "{arguments}");
    };
    failed("clients.jsonl --force --with-secret-hashes");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "old");
    let new = setup.directory().join("new.jsonl");
    failed("new.jsonl");
    assert!(!new.exists());
}
