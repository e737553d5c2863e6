//! Secrets whose hash was replaced, in files that their owners export and import.

use oauth2_testkit::{Kind, until};
use reqwest::StatusCode;
use serde_json::json;

use super::files::run_import;
use super::{PATIENCE, WEAK, accepted, exported_client, slow, status, strong};
use crate::cli::migrated;
use crate::start;

on_both_stores!(
    export_has_the_ids_of_replaced_hashes,
    edited_hash_of_a_replaced_secret_is_another_secret,
);

/// An owner edits the fast hash of a replaced secret in an export: it is another secret, although the id of the first hash stays.
async fn edited_hash_of_a_replaced_secret_is_another_secret(kind: Kind) {
    let server = start(kind).await;
    // With their SHA-256.
    let (old, old_sha256) = (
        "an-old-secret-of-more-than-128-bits-0123",
        "ac307f0945bf481d0f61fa2b81d89010061d6d65917a15bb3d333c1cebab4a58",
    );
    let (new, new_sha256) = (
        "a-new-secret-of-more-than-128-bits-45678",
        "833bfe060ab9cfc5dfeebe5e3241cf38188a0ddcdeaa532145f5eca1a666744b",
    );
    let line = |sha256: &str| {
        let id = "11".repeat(32);
        json!({"client_id": "edited", "client_secret_sha256": sha256, "client_secret_imported_as": id}).to_string()
    };
    run_import(&server.setup, "jsonl", &[], &line(old_sha256));
    let arguments = ["client", "import", "-", "--format", "jsonl"];
    let rejected = server.setup.run_with_input(&arguments, &line(new_sha256));
    assert_eq!(rejected.code, 2, "{}", rejected.stdout);
    assert!(rejected.stderr.contains("client_secret differs"), "{}", rejected.stderr);
    let changed = run_import(&server.setup, "jsonl", &["--overwrite"], &line(new_sha256));
    assert_eq!(changed["updated"], 1, "{changed}");
    accepted(&server, "edited", new).await;
    assert_eq!(status(&server, "edited", old).await, StatusCode::UNAUTHORIZED);
}

/// In another store, which was filled from an export, the file that a client was first imported from still describes it.
async fn export_has_the_ids_of_replaced_hashes(kind: Kind) {
    let server = start(kind).await;
    let (secret, hash) = strong("Ory Hydra pbkdf2-sha256");
    let original = json!({"client_id": "moved", "client_secret_hash": hash}).to_string();
    run_import(&server.setup, "jsonl", &[], &original);
    // As an export has a secret in its overlap.
    let (newest, id) = ("00".repeat(32), "11".repeat(32));
    let previous = json!([{"sha256": "22".repeat(32), "imported_as": id, "expires_at": 4_000_000_000_i64}]);
    let rotated = json!({"client_id": "rotated", "client_secret_sha256": newest, "previous_secrets": previous});
    run_import(&server.setup, "jsonl", &[], &rotated.to_string());
    assert_eq!(exported_client(&server.setup, "rotated")["previous_secrets"], previous);
    accepted(&server, "moved", &secret).await;
    until(PATIENCE, "its hashes are replaced", async || {
        slow(&server).await.is_empty()
    })
    .await;
    let client = exported_client(&server.setup, "moved");
    assert!(client["client_secret_imported_as"].is_string());
    for format in ["jsonl", "csv"] {
        let other = migrated(kind).await;
        let exported = server
            .setup
            .run(&["client", "export", "--with-secret-hashes", "--format", format]);
        run_import(&other, format, &[], &exported.stdout);
        assert_eq!(exported_client(&other, "moved"), client, "{format}");
        assert_eq!(
            exported_client(&other, "rotated")["previous_secrets"],
            previous,
            "{format}"
        );
        for options in [&[][..], &["--skip-existing"], &["--overwrite"]] {
            let again = run_import(&other, "jsonl", options, &original);
            assert_eq!(
                (&again["updated"], &again["created"]),
                (&json!(0), &json!(0)),
                "{again}"
            );
        }
        assert_eq!(exported_client(&other, "moved"), client, "not slow again");
    }
    for (line, problem) in [
        (
            json!({"client_secret_imported_as": "00"}),
            "client_secret_imported_as requires client_secret_sha256",
        ),
        (
            json!({"client_secret_sha256": "00".repeat(32), "client_secret_imported_as": "00"}),
            "client_secret_imported_as must be 64 hexadecimal digits",
        ),
        (
            json!({"client_secret_sha256": "00".repeat(32), "previous_secrets": [{"hash": WEAK.1, "imported_as": "00"}]}),
            "previous_secrets must be a list of objects with sha256",
        ),
    ] {
        let mut line = line;
        line["client_id"] = "bad".into();
        let rejected = server
            .setup
            .run_with_input(&["client", "import", "-", "--format", "jsonl"], &line.to_string());
        assert!(
            rejected.code == 2 && rejected.stderr.contains(problem),
            "{}",
            rejected.stderr
        );
    }
}
