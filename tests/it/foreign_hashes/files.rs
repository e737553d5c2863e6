//! Files with hashes of other products: two live secrets, exports, files of an owner, and what is wrong with a file.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use oauth2_testkit::{Kind, Setup, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{PATIENCE, WEAK, accepted, exported, exported_client, replaced, slow, status, strong};
use crate::cli::migrated;
use crate::start;

on_both_stores!(
    two_live_secrets_both_authenticate,
    newest_secret_that_becomes_a_previous_one_expires,
    hashes_survive_an_export,
    bad_hashes_are_rejected_by_line_and_field,
    more_hashes_than_a_client_may_have_are_rejected,
    killed_import_goes_on_next_to_clients_that_came,
    files_of_an_owner_agree_after_a_replacement,
);

const MONTH: i64 = 30 * 24 * 3600;

pub(super) fn run_import(setup: &Setup, format: &str, arguments: &[&str], text: &str) -> Value {
    let arguments = [&["client", "import", "-", "--json", "--format", format], arguments].concat();
    let output = setup.run_with_input(&arguments, text);
    assert_eq!(output.code, 0, "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

/// As Cloud Foundry's UAA has them: two hashes, and neither expires.
async fn two_live_secrets_both_authenticate(kind: Kind) {
    let server = start(kind).await;
    let (secret, hash) = strong("golang.org/x/crypto/bcrypt");
    let record =
        json!({"client_id": "uaa", "client_secret_hash": hash, "previous_secrets": [{"hash": WEAK.1}]}).to_string();
    let result = run_import(&server.setup, "jsonl", &[], &record);
    let warnings = result["warnings"].as_array().unwrap();
    assert!(
        warnings[0].as_str().unwrap().starts_with("bcrypt hashes of 1 clients"),
        "{result}"
    );
    assert_eq!(warnings[1], "previous secrets without expires_at expire in 30 days: 1");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let expires_at = exported_client(&server.setup, "uaa")["previous_secrets"][0]["expires_at"]
        .as_i64()
        .unwrap();
    assert!((expires_at - now - MONTH).abs() < 120, "{expires_at}");

    for secret in [&*secret, WEAK.0] {
        accepted(&server, "uaa", secret).await;
    }
    until(PATIENCE, "the strong one is replaced", async || {
        exported_client(&server.setup, "uaa")
            .get("client_secret_sha256")
            .is_some()
    })
    .await;
    assert_eq!(slow(&server).await, ["uaa"], "the weak one is left");
    let again = run_import(&server.setup, "jsonl", &["--overwrite"], &record);
    assert_eq!(again["unchanged"], 1, "the expiry that was set stays: {again}");
    assert!(
        exported_client(&server.setup, "uaa")
            .get("client_secret_sha256")
            .is_some()
    );
    assert_eq!(status(&server, "uaa", WEAK.0).await, StatusCode::OK);
}

/// A secret that was the newest one has no expiry of its own.
async fn newest_secret_that_becomes_a_previous_one_expires(kind: Kind) {
    let setup = migrated(kind).await;
    let (_, hash) = strong("golang.org/x/crypto/bcrypt");
    let first = json!({"client_id": "uaa", "client_secret_hash": WEAK.1}).to_string();
    run_import(&setup, "jsonl", &[], &first);
    let second =
        json!({"client_id": "uaa", "client_secret_hash": hash, "previous_secrets": [{"hash": WEAK.1}]}).to_string();
    let result = run_import(&setup, "jsonl", &["--overwrite"], &second);
    assert_eq!(
        (&result["updated"], &result["warnings"][1]),
        (
            &json!(1),
            &json!("previous secrets without expires_at expire in 30 days: 1")
        ),
        "{result}"
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let expires_at = exported_client(&setup, "uaa")["previous_secrets"][0]["expires_at"].as_i64();
    assert!(
        (expires_at.unwrap_or_default() - now - MONTH).abs() < 120,
        "{expires_at:?}"
    );
    let again = run_import(&setup, "jsonl", &["--overwrite"], &second);
    assert_eq!(again["unchanged"], 1, "{again}");
}

async fn hashes_survive_an_export(kind: Kind) {
    let setup = migrated(kind).await;
    let mut text = String::new();
    for (number, line) in super::VECTORS.lines().enumerate() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let mut record = json!({
            "client_id": format!("v{number:02}"), "client_secret_hash": vector["hash"],
            "previous_secrets": [{"hash": WEAK.1, "expires_at": 4_000_000_000_i64}, {"sha256": "ab".repeat(32), "expires_at": 4_000_000_001_i64}],
        });
        if let Some(scheme) = vector.get("scheme") {
            record["client_secret_hash_scheme"] = scheme.clone();
            record["previous_secrets"][0] =
                json!({"hash": vector["hash"], "scheme": scheme, "expires_at": 4_000_000_000_i64});
        }
        let _ = writeln!(text, "{record}");
    }
    run_import(&setup, "jsonl", &[], &text);
    let before = exported(&setup);
    let with_tag = |client: &&Value| {
        client["client_secret_hash"]
            .as_str()
            .is_some_and(|text| text.contains(['$', '}']))
    };
    assert_eq!(
        before.iter().filter(with_tag).count(),
        53,
        "all but unsalted SHA-256 and secrets in clear"
    );
    for format in ["csv", "jsonl"] {
        let other = migrated(kind.other()).await;
        let text = setup
            .run(&["client", "export", "--format", format, "--with-secret-hashes"])
            .stdout;
        assert_eq!(run_import(&other, format, &[], &text)["created"], before.len());
        assert_eq!(exported(&other), before, "{format}");
        assert_eq!(
            run_import(&other, format, &["--overwrite"], &text)["unchanged"],
            before.len()
        );
    }
    let without = setup.run(&["client", "export", "--format", "jsonl"]).stdout;
    assert!(!without.contains("hash") && !without.contains("$2"), "{without}");
}

async fn bad_hashes_are_rejected_by_line_and_field(kind: Kind) {
    let setup = migrated(kind).await;
    let good = json!({"client_id": "good", "client_secret_hash": WEAK.1}).to_string();
    let digest = "0c2e078304c6da9c0d90c25ca7d3344ff6aaada9cd613319955fc5c5d259ec0b";
    for (bad, problem) in [
        (
            json!({"client_secret_hash": &WEAK.1[..59]}),
            "client_secret_hash has 52 characters after its cost instead of 53; it may have been cut",
        ),
        (
            json!({"client_secret_hash": digest}),
            "client_secret_hash has no tag of its scheme, so client_secret_hash_scheme must name it: bcrypt, ",
        ),
        (
            json!({"client_secret_hash": digest, "client_secret_hash_scheme": "md5"}),
            "client_secret_hash_scheme must be one of bcrypt, ",
        ),
        (
            json!({"client_secret_hash": WEAK.1, "client_secret_hash_scheme": "scrypt"}),
            "client_secret_hash is tagged as bcrypt, but client_secret_hash_scheme says scrypt",
        ),
        (
            json!({"client_secret_hash": WEAK.1.replace("$04$", "$15$")}),
            "client_secret_hash takes about 1.8 s of a core for each try; at most 1 s is allowed",
        ),
        (
            json!({"client_secret_hash": "$scrypt$ln=20,r=8,p=1$c2FsdA$h0FMSxGd7A2EgsWakYrUWxkae90+c+wSvWdUsWx1la4"}),
            "client_secret_hash needs 1024 MiB of memory for each try; at most 64 MiB are allowed",
        ),
        (
            json!({"client_secret_hash": "$pbkdf2-sha256$i=25000,l=32$$h0FMSxGd7A2EgsWakYrUWxkae90+c+wSvWdUsWx1la4"}),
            "client_secret_hash has a salt of zero length",
        ),
        (
            json!({"client_secret_hash": format!("{}\r", WEAK.1)}),
            "client_secret_hash must be printable ASCII without spaces and line ends",
        ),
        (json!({"client_secret_hash": 7}), "client_secret_hash must be a string"),
        (
            json!({"client_secret_hash": WEAK.1, "client_secret_sha256": digest}),
            "client_secret_sha256 and client_secret_hash are both given; keep one of them",
        ),
        (
            json!({"client_secret_hash_scheme": "bcrypt"}),
            "client_secret_hash_scheme requires client_secret_hash",
        ),
        (
            json!({"client_secret_hash": "hunter2-hunter2", "client_secret_hash_scheme": "plain"}),
            "client_secret_hash is a secret in clear of less than 128 bits",
        ),
        (
            json!({"client_secret_hash": WEAK.1, "client_secret_hash_scheme": "plain"}),
            "client_secret_hash is tagged as bcrypt, but client_secret_hash_scheme says plain",
        ),
        (
            json!({"client_secret_hash": WEAK.1, "previous_secrets": [{"hash": "$2b$12$cut"}]}),
            "previous_secrets: hash has 3 characters after its cost instead of 53",
        ),
        (
            json!({"client_secret_hash": WEAK.1, "previous_secrets": [{"hash": digest, "sha256": digest}]}),
            "previous_secrets must be a list of objects with sha256",
        ),
    ] {
        let mut bad = bad;
        bad["client_id"] = "bad".into();
        let output = setup.run_with_input(
            &["client", "import", "-", "--format", "jsonl"],
            &format!("{good}\n{bad}\n"),
        );
        assert_eq!(output.code, 2, "{bad}");
        assert!(
            output.stderr.contains(&format!("line 2: {problem}")),
            "{bad}: {}",
            output.stderr
        );
    }
    let csv = format!(
        "client_id,client_secret_hash,client_secret_hash_scheme\r\ngood,{},\r\nbad,{digest}\r,sha256-hex\n",
        WEAK.1
    );
    let output = setup.run_with_input(&["client", "import", "-", "--format", "csv"], &csv);
    assert!(output.code == 2 && output.stderr.contains("line"), "{}", output.stderr);
    let csv = format!(
        "client_id,client_secret_hash,client_secret_hash_scheme\r\ngood,{},\nbad,{digest},md5\r\n",
        WEAK.1
    );
    let output = setup.run_with_input(&["client", "import", "-", "--format", "csv"], &csv);
    assert!(
        output.code == 2
            && output
                .stderr
                .contains("line 3: client_secret_hash_scheme must be one of"),
        "{}",
        output.stderr
    );
    assert!(exported(&setup).is_empty(), "nothing was imported");
}

/// A secret is compared with each hash, and each is slow.
async fn more_hashes_than_a_client_may_have_are_rejected(kind: Kind) {
    let setup = migrated(kind).await;
    let record = |previous: usize| {
        let previous = vec![json!({"hash": WEAK.1}); previous];
        json!({"client_id": "many", "client_secret_hash": strong("bcrypt").1, "previous_secrets": previous}).to_string()
    };
    let output = setup.run_with_input(&["client", "import", "-", "--format", "jsonl"], &record(4));
    let problem =
        "line 1: client_secret_hash and previous_secrets have 5 hashes of other products; at most 4 are allowed";
    assert!(
        output.code == 2 && output.stderr.contains(problem),
        "{} {}",
        output.code,
        output.stderr
    );
    let output = setup.run_with_input(&["client", "import", "-", "--format", "jsonl"], &record(3));
    assert!(!output.stderr.contains("hashes of other products"), "{}", output.stderr);
}

/// Clients come while the import runs, and their hashes are replaced: the next run finds them unchanged.
async fn killed_import_goes_on_next_to_clients_that_came(kind: Kind) {
    const COUNT: usize = 20_000;
    let server = start(kind).await;
    let (secret, hash) = strong("Ory Hydra pbkdf2-sha256");
    let mut text = "client_id,client_secret_hash\n".to_owned();
    for n in 0..COUNT {
        let _ = writeln!(text, "client-{n:06},\"{hash}\"");
    }
    let file = server.setup.directory().join("clients.csv");
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let mut import = server.setup.command(&["client", "import", path]);
    let mut killed = import.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(PATIENCE, "the first clients are known", async || {
        status(&server, "client-000000", &secret).await == StatusCode::OK
    })
    .await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    until(PATIENCE, "its hash is replaced", async || replaced(&server).await >= 1).await;
    let done = exported(&server.setup)
        .iter()
        .filter(|client| client["client_id"].as_str().unwrap().starts_with("client-"))
        .count();
    assert!(done < COUNT, "the import was killed half-way: {done}");
    let again = server.setup.json(&["client", "import", path, "--json"]);
    assert_eq!(
        (&again["created"], &again["unchanged"]),
        (&json!(COUNT - done), &json!(done))
    );
    assert_eq!(status(&server, "client-000000", &secret).await, StatusCode::OK);
    until(PATIENCE, "the last client is known", async || {
        status(&server, &format!("client-{:06}", COUNT - 1), &secret).await == StatusCode::OK
    })
    .await;
}

async fn files_of_an_owner_agree_after_a_replacement(kind: Kind) {
    let server = start(kind).await;
    let (secret, hash) = strong("Authelia argon2id");
    let file = server.setup.directory().join("clients.yaml");
    let text = format!("owner: payments\nclients:\n  - client_id: described\n    client_secret_hash: '{hash}'\n");
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let applied = server.setup.run(&["apply", "--file", path]);
    assert_eq!(applied.code, 0, "{}{}", applied.stdout, applied.stderr);
    accepted(&server, "described", &secret).await;
    until(PATIENCE, "its hash is replaced", async || {
        slow(&server).await.is_empty()
    })
    .await;
    let again = server.setup.json(&["apply", "--file", path, "--json"]);
    assert_eq!(again["unchanged"], 1, "{again}");
    assert_eq!(status(&server, "described", &secret).await, StatusCode::OK);
}
