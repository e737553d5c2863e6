//! Hashes of other products in requests and on the command line, one client at a time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2_testkit::Kind;
use oauth2_testkit::server::json as body_of;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{WEAK, accepted, strong};
use crate::start;

on_both_stores!(
    created_client_keeps_its_secret,
    hash_that_is_wrong_or_not_new_is_rejected,
    hash_behind_noop_is_rejected_everywhere,
    hash_in_another_spelling_is_no_secret,
);

/// SHA-256 of the strong secret of the vectors.
const DIGEST: &str = "0c2e078304c6da9c0d90c25ca7d3344ff6aaada9cd613319955fc5c5d259ec0b";

async fn created_client_keeps_its_secret(kind: Kind) {
    let server = start(kind).await;
    let (secret, hash) = strong("Spring Security {bcrypt}");
    let created = server
        .admin(Method::POST, "/clients")
        .json(&json!({"client_id": "posted", "client_secret_hash": hash}));
    let put = server
        .admin(Method::PUT, "/clients/put")
        .json(&json!({"client_secret_hash": hash}));
    for request in [created, put] {
        let response = request.send().await.unwrap();
        let (status, body) = (response.status(), body_of(response).await);
        assert_eq!(
            (status, body.get("client_secret")),
            (StatusCode::CREATED, None),
            "{body}"
        );
    }
    let again = server
        .admin(Method::PUT, "/clients/put")
        .json(&json!({"client_secret_hash": hash}))
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), StatusCode::OK, "the same hash is no change");
    let arguments = [
        "client",
        "create",
        "--id",
        "cli",
        "--secret-hash",
        DIGEST,
        "--secret-hash-scheme",
        "sha256-hex",
    ];
    let output = server.setup.run(&arguments);
    assert!(
        output.code == 0 && !output.stdout.contains("client_secret"),
        "{}{}",
        output.stdout,
        output.stderr
    );
    for id in ["posted", "put", "cli"] {
        accepted(&server, id, &secret).await;
    }
}

async fn hash_that_is_wrong_or_not_new_is_rejected(kind: Kind) {
    let server = start(kind).await;
    let (_, hash) = strong("Spring Security {bcrypt}");
    let put = json!({"client_secret_hash": hash});
    let put = server
        .admin(Method::PUT, "/clients/put")
        .json(&put)
        .send()
        .await
        .unwrap();
    assert_eq!(put.status(), StatusCode::CREATED);
    let other = server
        .admin(Method::PUT, "/clients/put")
        .json(&json!({"client_secret_hash": WEAK.1}))
        .send()
        .await
        .unwrap();
    let patched = server
        .admin(Method::PATCH, "/clients/put")
        .json(&json!({"client_secret_hash": WEAK.1}))
        .send()
        .await
        .unwrap();
    let both = json!({"client_secret_hash": WEAK.1, "client_secret": "a-secret-of-more-than-32-characters"});
    let both = server.admin(Method::POST, "/clients").json(&both).send().await.unwrap();
    for response in [other, patched, both] {
        let (status, body) = (response.status(), body_of(response).await);
        assert_eq!(
            (status, &body["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_client_metadata")),
            "{body}"
        );
        assert!(
            body["error_description"]
                .as_str()
                .unwrap()
                .contains("client_secret_hash"),
            "{body}"
        );
    }
    let bad = server.setup.run(&["client", "create", "--secret-hash", "$2b$12$cut"]);
    assert_eq!(bad.code, 2);
    assert!(
        bad.stderr
            .contains("--secret-hash has 3 characters after its cost instead of 53"),
        "{}",
        bad.stderr
    );
    let bad = server.setup.run(&["client", "create", "--secret-hash", DIGEST]);
    assert!(
        bad.code == 2 && bad.stderr.contains("has no tag of its scheme"),
        "{}",
        bad.stderr
    );
    let bad = server.setup.run(&[
        "client",
        "create",
        "--secret-hash",
        DIGEST,
        "--secret-hash-scheme",
        "md5",
    ]);
    assert!(
        bad.code == 2 && bad.stderr.contains("--secret-hash-scheme must be one of bcrypt, "),
        "{}",
        bad.stderr
    );
}

/// As a secret in clear, the text of a hash would authenticate.
async fn hash_behind_noop_is_rejected_everywhere(kind: Kind) {
    let server = start(kind).await;
    let before = super::exported(&server.setup);
    let hash = "{noop}$2b$12$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK";
    let sentence = "looks like a hash or a tagged password (bcrypt) and is no secret in clear";
    let of = |id: &str| json!({"client_id": id, "client_secret_hash": hash});
    let line = |record: &serde_json::Value| record.to_string();
    let previous = json!({"client_id": "c", "client_secret_hash": WEAK.1, "previous_secrets": [{"hash": hash}]});
    let requests = [
        server.admin(Method::POST, "/clients").json(&of("a")),
        server
            .admin(Method::PUT, "/clients/b")
            .json(&json!({"client_secret_hash": hash})),
        server.admin(Method::POST, "/clients:import").body(line(&previous)),
        server.admin(Method::POST, "/clients:import").body(line(&of("d"))),
    ];
    for (number, request) in requests.into_iter().enumerate() {
        let is_import = number >= 2;
        let request = if is_import {
            request.header("content-type", "application/x-ndjson")
        } else {
            request
        };
        let response = request.send().await.unwrap();
        let (status, body) = (response.status(), response.text().await.unwrap());
        assert!(
            status == StatusCode::BAD_REQUEST && body.contains(sentence),
            "{number}: {status} {body}"
        );
    }
    let declared = server.setup.directory().join("clients.yaml");
    let text = format!("owner: payments\nclients:\n  - client_id: e\n    client_secret_hash: '{hash}'\n");
    std::fs::write(&declared, text).unwrap();
    for (arguments, input) in [
        (
            vec!["client", "create", "--id", "f", "--secret-hash", hash],
            String::new(),
        ),
        (
            vec!["client", "import", "-", "--format", "csv"],
            format!("client_id,client_secret_hash\ng,{hash}\n"),
        ),
        (vec!["apply", "--file", declared.to_str().unwrap()], String::new()),
    ] {
        let output = server.setup.run_with_input(&arguments, &input);
        assert!(
            output.code == 2 && output.stderr.contains(sentence),
            "{arguments:?}: {} {}",
            output.code,
            output.stderr
        );
    }
    assert_eq!(super::exported(&server.setup), before, "no client was created");
}

/// As a secret, the text of a hash would authenticate: also with spaces, quotes or a name before it, and in base64.
async fn hash_in_another_spelling_is_no_secret(kind: Kind) {
    let server = start(kind).await;
    let before = super::exported(&server.setup);
    let hash = WEAK.1;
    let in_base64 = URL_SAFE_NO_PAD.encode(hash);
    let declared = server.setup.directory().join("clients.yaml");
    for secret in [
        &*format!("  {hash}"),
        &format!("\"{hash}\""),
        &format!(" '{hash}' "),
        &format!("user:{hash}"),
        &in_base64,
        " {noop}a-secret-in-plain-text-behind-a-tag",
        "{FSHP1|16|16384}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3",
        r#"[{"hash":"x","algorithm":"bcrypt","salt":""}]"#,
        &format!("sha256={DIGEST}"),
        &" ".repeat(40),
    ] {
        let member = json!({"client_id": "a", "client_secret": secret});
        let requests = [
            server
                .admin(Method::PUT, "/clients/a")
                .json(&json!({"client_secret": secret})),
            server.admin(Method::POST, "/clients").json(&member),
            server
                .admin(Method::POST, "/clients:import")
                .header("content-type", "application/x-ndjson")
                .body(member.to_string()),
        ];
        for (number, request) in requests.into_iter().enumerate() {
            let response = request.send().await.unwrap();
            let (status, body) = (response.status(), body_of(response).await);
            assert_eq!(status, StatusCode::BAD_REQUEST, "{number} {secret}: {body}");
            assert!(
                body["error_description"]
                    .as_str()
                    .unwrap()
                    .contains("client_secret must "),
                "{body}"
            );
        }
        let quoted = secret.replace('"', "\"\"");
        let text = format!(
            "owner: x\nclients:\n  - {}\n",
            json!({"client_id": "e", "client_secret": secret})
        );
        std::fs::write(&declared, text).unwrap();
        for (arguments, input) in [
            (vec!["client", "create", "--secret-stdin"], secret.to_owned()),
            (
                vec!["client", "import", "-", "--format", "csv"],
                format!("client_id,client_secret\ng,\"{quoted}\"\n"),
            ),
            (vec!["apply", "--file", declared.to_str().unwrap()], String::new()),
        ] {
            let output = server.setup.run_with_input(&arguments, &input);
            assert_eq!(output.code, 2, "{arguments:?} {secret}: {}", output.stderr);
            let is_create = arguments[1] == "create";
            assert!(
                !is_create || output.stderr.contains("--secret-stdin must "),
                "{}",
                output.stderr
            );
        }
    }
    assert_eq!(super::exported(&server.setup), before, "no client was created");
    let secret = format!("key={DIGEST}");
    let created = server
        .admin(Method::POST, "/clients")
        .json(&json!({"client_id": "a", "client_secret": secret}));
    assert_eq!(created.send().await.unwrap().status(), StatusCode::CREATED);
}
