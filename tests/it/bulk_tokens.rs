//! Bulk issuance of tokens, and revocation of the tokens in a file.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, Kind, Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::start;

on_both_stores!(
    thousand_tokens_are_issued_in_one_request,
    invalid_issuance_request_is_rejected_with_its_field,
    cli_tokens_are_recorded_before_they_are_written,
    tokens_are_revoked_from_a_file,
);

/// How many of these are active, asked in batches.
async fn active(server: &Server, client: &Credentials, tokens: &[String]) -> usize {
    let mut active = 0;
    for some in tokens.chunks(1000) {
        let request = server
            .http
            .post(server.url("/oauth/introspect/batch"))
            .header("authorization", client.basic());
        let answers = body_of(request.json(&json!({ "tokens": some })).send().await.unwrap()).await;
        active += answers
            .as_array()
            .unwrap()
            .iter()
            .filter(|response| response["active"] == true)
            .count();
    }
    active
}

async fn issue(server: &Server, body: Value) -> (StatusCode, Value) {
    let response = server
        .admin(Method::POST, "/tokens:issue")
        .json(&body)
        .send()
        .await
        .unwrap();
    (response.status(), body_of(response).await)
}

async fn thousand_tokens_are_issued_in_one_request(kind: Kind) {
    let server = start(kind).await;
    let counted = async || {
        server
            .metric("oauth2_server_oauth_token_issued_total", &[])
            .await
            .unwrap()
    };
    for format in ["paseto", "jwt", "opaque"] {
        let client = server
            .register(json!({"scope": "read write", "token_format": format}))
            .await;
        let before = counted().await;
        let (status, body) = issue(&server, json!({"client_id": client.id, "count": 1000, "scope": "read"})).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let tokens: Vec<String> = body["tokens"]
            .as_array()
            .unwrap()
            .iter()
            .map(|token| token["access_token"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            (tokens.len(), active(&server, &client, &tokens).await),
            (1000, 1000),
            "{format}"
        );
        assert!((counted().await - before - 1000.0).abs() < 0.5);
        let first = &body["tokens"][0];
        let response = server
            .introspect(&client, first["access_token"].as_str().unwrap())
            .await;
        assert_eq!(
            (&response["jti"], &response["exp"], &response["scope"]),
            (&first["jti"], &first["expires_at"], &json!("read"))
        );
        let listed = server
            .admin(Method::GET, &format!("/clients/{}/tokens?limit=1000", client.id))
            .send()
            .await
            .unwrap();
        assert_eq!(
            body_of(listed).await["items"].as_array().unwrap().len(),
            1000,
            "each is on record"
        );
    }
}

async fn invalid_issuance_request_is_rejected_with_its_field(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"client_id": "ci", "scope": "read"})).await;
    for (body, status, word) in [
        (json!({"client_id": "ci", "count": 0}), StatusCode::BAD_REQUEST, "count"),
        (
            json!({"client_id": "ci", "count": 1001}),
            StatusCode::BAD_REQUEST,
            "count",
        ),
        (
            json!({"client_id": "ci", "scope": "admin"}),
            StatusCode::BAD_REQUEST,
            "scope",
        ),
        (
            json!({"client_id": "ci", "audience": "https://else.example"}),
            StatusCode::BAD_REQUEST,
            "audience",
        ),
        (json!({"client_id": "ci", "cuont": 1}), StatusCode::BAD_REQUEST, "cuont"),
        (json!({"client_id": "nobody"}), StatusCode::NOT_FOUND, "client"),
    ] {
        let (found, response) = issue(&server, body.clone()).await;
        assert_eq!(found, status, "{body}");
        assert!(
            response["error_description"].as_str().unwrap().contains(word),
            "{response}"
        );
    }
    let stranger = server
        .http
        .post(server.management_url("/admin/v1/tokens:issue"))
        .json(&json!({"client_id": "ci"}));
    assert_eq!(stranger.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let run = |arguments: &[&str]| {
        server
            .setup
            .run(&[&["token", "issue", "--out", "-", "--client"], arguments].concat())
    };
    for (arguments, word) in [
        (vec!["nobody"], "nobody"),
        (vec!["ci", "--scope", "admin"], "--scope"),
        (vec!["ci", "--audience", "https://else.example"], "--audience"),
        (vec!["ci", "--count", "0"], "--count"),
    ] {
        let output = run(&arguments);
        assert!(
            output.code == 2 && output.stderr.contains(word),
            "{} {}",
            output.code,
            output.stderr
        );
        assert_eq!(output.stdout, "");
    }
    assert!(server.is_active(&client, run(&["ci"]).stdout.trim()).await);
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

async fn cli_tokens_are_recorded_before_they_are_written(kind: Kind) {
    const COUNT: usize = 5000;
    let server = start(kind).await;
    let client = server.register(json!({"client_id": "ci"})).await;
    let file = server.setup.directory().join("tokens.txt");
    let path = file.to_str().unwrap();
    let done = server.setup.run(&[
        "token",
        "issue",
        "--client",
        "ci",
        "--count",
        &COUNT.to_string(),
        "--out",
        path,
    ]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let tokens = lines(&std::fs::read_to_string(&file).unwrap());
    assert_eq!((tokens.len(), active(&server, &client, &tokens).await), (COUNT, COUNT));
    let again = server.setup.run(&["token", "issue", "--client", "ci", "--out", path]);
    assert!(
        again.code == 2 && again.stderr.contains("exists already"),
        "{}",
        again.stderr
    );

    // Killed in the middle: whatever stands in the file is on record. Opaque ones are nothing else.
    let opaque = server
        .register(json!({"client_id": "ref", "token_format": "opaque"}))
        .await;
    let file = server.setup.directory().join("killed.txt");
    let mut killed = server
        .setup
        .command(&[
            "token",
            "issue",
            "--client",
            "ref",
            "--count",
            "1000000",
            "--out",
            file.to_str().unwrap(),
            "--force",
        ])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while std::fs::read_to_string(&file).unwrap_or_default().lines().count() < 2000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    // The last line may be cut.
    let whole = &text[..=text.rfind('\n').unwrap()];
    let tokens = lines(whole);
    assert!(tokens.len() < 1_000_000, "it was killed in time");
    assert_eq!(active(&server, &opaque, &tokens).await, tokens.len());
    let line = server
        .setup
        .json(&["token", "issue", "--client", "ci", "--format", "json", "--out", "-"]);
    assert!(line["jti"].is_string() && line["expires_at"].is_number());
    let audited = server.setup.audit(&["--client", "ci", "--kind", "token.issue"]).await;
    let counts: Vec<_> = audited["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["detail"]["count"])
        .collect();
    assert_eq!(
        counts,
        [1, 1000, 1000, 1000, 1000, 1000],
        "newest first, a row a chunk: {audited}"
    );
}

async fn tokens_are_revoked_from_a_file(kind: Kind) {
    let server = start(kind).await;
    let client = server.register(json!({"client_id": "ci"})).await;
    let (_, body) = issue(&server, json!({"client_id": "ci", "count": 1000})).await;
    let (_, more) = issue(&server, json!({"client_id": "ci", "count": 1000})).await;
    let tokens: Vec<&Value> = body["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .chain(more["tokens"].as_array().unwrap())
        .collect();
    let whole: Vec<String> = tokens
        .iter()
        .map(|token| token["access_token"].as_str().unwrap().to_owned())
        .collect();
    // The second half by their ids; with a mark at the beginning, comments, empty lines and line ends of another system.
    let mut file = "\u{feff}# leaked\r\n\r\n".to_owned();
    for (place, token) in tokens.iter().enumerate().skip(1) {
        let named = if place < 1000 {
            &token["access_token"]
        } else {
            &token["jti"]
        };
        file.push_str(named.as_str().unwrap());
        file.push_str("\r\n");
    }
    let done = server
        .setup
        .run_with_input(&["token", "revoke", "--file", "-", "--json"], &file);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let response: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        (&response["revoked"], &response["refused_lines"]),
        (&json!(1999), &json!([]))
    );
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while active(&server, &client, &whole).await != 1 {
        assert!(std::time::Instant::now() < deadline, "the server does not hear of it");
    }
    assert!(server.is_active(&client, &whole[0]).await, "the one that was not named");
    let again = server.setup.run_with_input(&["token", "revoke", "--file", "-"], &file);
    assert_eq!(again.code, 0, "again changes nothing: {}", again.stderr);
    // What follows an endless line keeps its number.
    let mixed = format!("garbage\n{0}\n{1}\n\n{0}\nrubbish", whole[0], "x".repeat(100_000));
    let mixed = server.setup.run_with_input(&["token", "revoke", "--file", "-"], &mixed);
    assert!(
        mixed.code == 2 && mixed.stderr.trim_end().ends_with(" of this server: 1, 3, 6"),
        "{}",
        mixed.stderr
    );
    assert!(mixed.stdout.starts_with("2 tokens are revoked"), "{}", mixed.stdout);
    let missing = server.setup.run(&["token", "revoke", "--file", "nowhere"]);
    assert!(
        missing.code == 2 && missing.stderr.contains("nowhere"),
        "{}",
        missing.stderr
    );
}
