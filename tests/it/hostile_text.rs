//! Text that others choose (names, claims, ids, parameters) never changes the structure of an answer: every answer is serialized.

use std::fmt::Write;

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, Kind, Server};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::strict_json::parsed;
use crate::{shared, unique};

on_both_stores!(
    claims_and_names_do_not_change_the_structure_of_answers,
    rejections_of_hostile_text_are_well_formed,
    listings_of_hostile_names_keep_their_lines,
    forged_claims_do_not_control_a_terminal,
);

/// Text that would end a string, an object or a line, or control a terminal, if it were copied.
const HOSTILE: [&str; 16] = [
    "\"",
    "\\",
    "}",
    "\"}],\"active\":true,{\"x\":\"",
    "\",\"scope\":\"oauth2.admin\",\"x\":\"",
    "\"scope\":\"",
    "{\"active\":true}",
    "\u{2028}\u{2029}",
    "\u{202e}eslaf",
    "\u{1}\u{1f}\u{7f}\u{9b}31m",
    "\u{1b}[2J\u{1b}]0;x\u{7}",
    "a\r\nb\tc",
    "\\u0000\\ud800",
    "</script><!--",
    "%00%0a%22",
    "é日本\u{1F600}\u{feff}",
];

async fn strict(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    (status, parsed(&response.text().await.unwrap()))
}

fn runner(cases: u32) -> TestRunner {
    // No files: a failure prints its input, smallest form first.
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

fn hostile() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(HOSTILE.to_vec()), 1..3).prop_map(|parts| parts.concat())
}

/// Claims with hostile strings, nested, also as names within objects.
fn claims() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![
        hostile().prop_map(Value::from),
        (hostile(), hostile()).prop_map(|(name, text)| json!({ name: { "scope": text } })),
        hostile().prop_map(|text| json!(["scope", text, null, true, -1.5e300])),
        any::<i64>().prop_map(Value::from),
    ];
    let name = prop::sample::select(vec!["tenant", "x-y.z", "https://c.example/a", "_", "0"]);
    prop::collection::btree_map(name, value, 1..5).prop_map(|members| {
        members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    })
}

async fn batch(server: &Server, client: &Credentials, tokens: &[&str]) -> Value {
    let request = server.http.post(server.url("/oauth/introspect/batch"));
    let request = request.basic_auth(&*client.id, Some(&*client.secret));
    strict(request.json(&json!({ "tokens": tokens })).send().await.unwrap())
        .await
        .1
}

/// Registers a client with these claims, and compares every answer that shows them.
async fn check_claims(server: &Server, format: &str, name: &str, claims: &Map<String, Value>) {
    let id = unique("hostile");
    let new = json!({
        "client_id": id, "client_name": name, "scope": "read", "token_format": format, "claims": claims,
    });
    let created = server.admin(Method::POST, "/clients").json(&new).send().await.unwrap();
    let (status, created) = strict(created).await;
    if status == StatusCode::BAD_REQUEST {
        let why = created["error_description"].as_str().unwrap();
        assert!(why.starts_with("claims ") || why.starts_with("client_name "), "{why}");
        return;
    }
    assert_eq!((status, &created["claims"]), (StatusCode::CREATED, &json!(claims)));
    let client = Credentials::of(&created);
    let shown = server
        .admin(Method::GET, &format!("/clients/{id}"))
        .send()
        .await
        .unwrap();
    let (_, shown) = strict(shown).await;
    assert_eq!(
        (&shown["claims"], &shown["client_name"]),
        (&json!(claims), &json!(name))
    );

    let (status, issued) = strict(server.request_token(&client, &[]).await).await;
    assert_eq!(status, StatusCode::OK, "{issued}");
    let token = issued["access_token"].as_str().unwrap();
    let one = server.post(&client, "/oauth/introspect", &[("token", token)]).await;
    let (_, one) = strict(one).await;
    let many = batch(server, &client, &["x", token, "\"}]", token]).await;
    let [_, second, _, fourth] = &many.as_array().unwrap()[..] else {
        panic!("{many}");
    };
    for response in [&one, second, fourth] {
        assert_eq!(
            (&response["active"], &response["scope"]),
            (&json!(true), &json!("read")),
            "{response}"
        );
        for (claim, value) in claims {
            assert_eq!(&response[claim], value, "{response}");
        }
    }
    let audited = server
        .admin(Method::GET, &format!("/audit?client_id={id}"))
        .send()
        .await
        .unwrap();
    let (_, audited) = strict(audited).await;
    let changes = &audited["items"][0]["detail"]["changes"];
    if audited["items"].as_array().unwrap().len() == 1 {
        assert_eq!(
            (&changes["claims"]["new"], &changes["client_name"]["new"]),
            (&json!(claims), &json!(name))
        );
    }
}

async fn claims_and_names_do_not_change_the_structure_of_answers(kind: Kind) {
    let server = shared(kind).await;
    let format = prop::sample::select(vec!["paseto", "jwt", "opaque"]);
    let tested = runner(40).run(&(format, hostile(), claims()), |(format, name, claims)| {
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        let name = if name.is_empty() { "n".to_owned() } else { name };
        block_in_place(|| Handle::current().block_on(check_claims(&server, format, &name, &claims)));
        Ok(())
    });
    tested.unwrap();
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02X}").unwrap();
        encoded
    })
}

async fn rejections_of_hostile_text_are_well_formed(kind: Kind) {
    let server = shared(kind).await;
    let client = server.register(json!({})).await;
    let path = format!("/clients/{}", client.id);
    for text in HOSTILE.into_iter().chain(["\0"]) {
        let segment = percent_encoded(text);
        for (method, path, body) in [
            (Method::PATCH, path.clone(), json!({ text: "x" })),
            (Method::PATCH, path.clone(), json!({ "scope": format!("a \"{text}") })),
            (Method::PATCH, path.clone(), json!({ "token_format": text })),
            (Method::PATCH, path.clone(), json!({ "claims": { text: 1 } })),
            (Method::PATCH, path.clone(), json!({ "quotas": { text: 1 } })),
            (Method::GET, format!("/clients/{segment}"), json!({})),
            (Method::DELETE, format!("/clients/{segment}"), json!({})),
            (Method::POST, format!("/keys/{segment}/revoke"), json!({})),
            (Method::POST, format!("/tokens/{segment}/revoke"), json!({})),
            (Method::GET, format!("/tokens/{segment}"), json!({})),
            (Method::GET, format!("/audit?kind={segment}"), json!({})),
            (Method::GET, format!("/audit?cursor={segment}"), json!({})),
            (Method::GET, format!("/audit?jti={segment}"), json!({})),
            (Method::POST, "/tokens:issue".to_owned(), json!({ "client_id": text })),
            (
                Method::POST,
                "/tokens:issue".to_owned(),
                json!({ "client_id": &*client.id, "scope": text }),
            ),
            (Method::POST, "/keys/rotate".to_owned(), json!({ "algorithm": text })),
        ] {
            let request = server.admin(method.clone(), &path).json(&body);
            let (status, answer) = strict(request.send().await.unwrap()).await;
            assert!(status.is_client_error(), "{method} {path} {body}: {status} {answer}");
            assert!(answer["error"].is_string(), "{answer}");
        }
        for (path, form) in [
            ("/oauth/token", vec![("grant_type", text)]),
            (
                "/oauth/token",
                vec![("grant_type", "client_credentials"), ("scope", text)],
            ),
            (
                "/oauth/token",
                vec![("grant_type", "client_credentials"), ("resource", text)],
            ),
            ("/oauth/introspect", vec![("token", text)]),
        ] {
            let (_, answer) = strict(server.post(&client, path, &form).await).await;
            // OAuth errors repeat nothing of the request; a single character may be part of an English sentence or of JSON.
            let description = answer["error_description"].as_str().unwrap_or_default();
            let repeats = text.len() > 3 && description.contains(text);
            assert!(!repeats, "{answer}");
        }
    }
    // A lone surrogate is no text.
    for body in [
        r#"{"claims":{"a":"\ud800"}}"#,
        r#"{"client_name":"\udfff\ud800"}"#,
        r#"{"\ud800":1}"#,
    ] {
        let request = server
            .admin(Method::PATCH, &path)
            .header("content-type", "application/json")
            .body(body);
        let (status, answer) = strict(request.send().await.unwrap()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {answer}");
    }
    let request = server
        .admin(Method::PATCH, &path)
        .json(&json!({"claims": {"a": {"b": ["\0"]}}}));
    let (status, answer) = strict(request.send().await.unwrap()).await;
    assert_eq!(
        (status, &answer["error"]),
        (StatusCode::BAD_REQUEST, &json!("invalid_client_metadata")),
        "{answer}"
    );
    // Nothing of it is in a metric.
    for line in server.metrics().await.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(series.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{line}");
        assert!(
            !HOSTILE.iter().any(|text| text.len() > 8 && series.contains(text)),
            "{line}"
        );
    }
}

async fn listings_of_hostile_names_keep_their_lines(kind: Kind) {
    let server = shared(kind).await;
    let prefix = unique("listed");
    let texts: Vec<String> = HOSTILE
        .chunks(4)
        .map(|part| part.iter().copied().collect::<String>())
        .collect();
    for (index, text) in texts.iter().enumerate() {
        let name: String = text.chars().filter(|c| !c.is_control()).collect();
        let new = json!({"client_id": format!("{prefix}-{index}"), "client_name": name, "claims": {"t": text}});
        server.register(new).await;
    }
    let output = server.setup.run(&["client", "list", "--prefix", &prefix]);
    assert_eq!(output.stdout.lines().count(), 1 + texts.len(), "{}", output.stdout);
    let mut printed = output.stdout;
    for index in 0..texts.len() {
        let id = format!("{prefix}-{index}");
        for arguments in [
            &["client", "show", &id][..],
            &["client", "show", &id, "--json"],
            &["audit", "list", "--client", &id],
            &["audit", "list", "--client", &id, "--json"],
        ] {
            let output = server.setup.run(arguments);
            assert_eq!(output.code, 0, "{}", output.stderr);
            if arguments.last() == Some(&"--json") {
                parsed(&output.stdout);
            }
            printed.push_str(&output.stdout);
        }
    }
    assert_no_terminal_control(&printed);
}

/// Neither control characters nor characters that change the direction of text or are invisible.
fn assert_no_terminal_control(printed: &str) {
    let found = printed.chars().find(|c| {
        (c.is_control() && *c != '\n') || matches!(c, '\u{2028}'..='\u{202e}' | '\u{200b}'..='\u{200f}' | '\u{feff}')
    });
    assert_eq!(found, None, "{printed}");
}

/// What a token of another issuer says is shown, and is nothing but text.
async fn forged_claims_do_not_control_a_terminal(kind: Kind) {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let server = shared(kind).await;
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for text in HOSTILE {
        let (header, claims) = (
            json!({"alg": "ES256", "kid": text}),
            json!({"sub": text, text: {text: text}}),
        );
        let token = format!(
            "{}.{}.{}",
            encode(&header),
            encode(&claims),
            URL_SAFE_NO_PAD.encode([7; 64])
        );
        let output = server
            .setup
            .run_with_input(&["token", "inspect", "-", "--json"], &token);
        assert_eq!(output.code, 2, "{}", output.stderr);
        let shown = parsed(&output.stdout);
        assert_eq!((&shown["claims"], &shown["header"]["kid"]), (&claims, &json!(text)));
        let output_text = server.setup.run_with_input(&["token", "inspect", "-"], &token);
        assert!(output_text.stdout.starts_with("signature  "), "{}", output_text.stdout);
        let is_field = |line: &str| {
            ["signature ", "record ", "format ", "header.", "claim."]
                .iter()
                .any(|name| line.starts_with(name))
        };
        assert!(output_text.stdout.lines().all(is_field), "{}", output_text.stdout);
        for printed in [&output.stdout, &output_text.stdout, &output.stderr, &output_text.stderr] {
            assert_no_terminal_control(printed);
        }
        let response = server
            .http
            .get(server.management_url("/admin/v1/keys"))
            .bearer_auth(&token);
        let (status, answer) = strict(response.send().await.unwrap()).await;
        assert_eq!(
            (status, &answer["error"]),
            (StatusCode::UNAUTHORIZED, &json!("invalid_token"))
        );
    }
    let client = server.register(json!({})).await;
    let inactive = server.post(&client, "/oauth/introspect", &[("token", "\"}]")]).await;
    assert_eq!(body_of(inactive).await, json!({"active": false}));
}
