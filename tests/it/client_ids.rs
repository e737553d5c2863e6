//! Client ids of any printable ASCII characters, wherever they appear.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Kind, Server, until};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cli::migrated;
use crate::shared;

on_both_stores!(
    id_of_any_printable_characters_works_everywhere,
    ids_are_listed_and_imported_verbatim,
    creation_says_how_to_send_an_id_with_a_colon,
);

const SECRET: &str = "a-secret-of-a-client-with-an-unusual-id";

const IDS: [&str; 15] = [
    ".",
    "..",
    "a/../b",
    "a/b",
    "/",
    "a b",
    " leading and trailing ",
    "me@example.com",
    "https://app.example/cb?x=1&y=%2F#z",
    "team:ci",
    "100%",
    "a%2Fb",
    "a+b",
    "\"quoted\"\\,;'<>{}|^`",
    "oauth2.admin:import",
];

/// Every byte but letters and digits percent-encoded.
pub fn encoded(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(encode).collect()
}

/// A request whose path is sent as it is: URL libraries remove `%2E` segments. Returns the status and the body.
fn raw(server: &Server, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.setup.management)).unwrap();
    let token = server.admin_token();
    let length = body.len();
    write!(
        stream,
        "{method} /admin/v1{path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}",
        server.setup.management
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let status = response.split(' ').nth(1).unwrap().parse().unwrap();
    let body = response.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap_or_default())
}

async fn token_by(server: &Server, authorization: Option<&str>, form: &[(&str, &str)]) -> (StatusCode, Value) {
    let mut request = server.http.post(server.url("/oauth/token"));
    if let Some(value) = authorization {
        request = request.header("authorization", format!("Basic {}", STANDARD.encode(value)));
    }
    let form = [&[("grant_type", "client_credentials")], form].concat();
    let response = request.form(&form).send().await.unwrap();
    (response.status(), body_of(response).await)
}

async fn id_of_any_printable_characters_works_everywhere(kind: Kind) {
    let server = shared(kind).await;
    for id in IDS {
        let new = json!({"client_id": id, "client_secret": SECRET, "scope": "read", "quotas": {"day": 1000}});
        let created = server.admin(Method::POST, "/clients").json(&new).send().await.unwrap();
        assert_eq!(created.status(), StatusCode::CREATED, "{id}");
        assert_eq!(body_of(created).await["client_id"], id);

        // HTTP Basic as RFC 6749 has it and as sent, and the body.
        let form: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
        for authorization in [
            format!("{form}:{SECRET}"),
            format!("{}:{SECRET}", encoded(id)),
            format!("{id}:{SECRET}"),
        ] {
            let (status, body) = token_by(&server, Some(&authorization), &[]).await;
            assert_eq!(status, StatusCode::OK, "{authorization}: {body}");
        }
        let in_body = [("client_id", id), ("client_secret", SECRET)];
        let (status, body) = token_by(&server, None, &in_body).await;
        assert_eq!(status, StatusCode::OK, "{id}: {body}");
        let token = body["access_token"].as_str().unwrap();
        let introspected = server.http.post(server.url("/oauth/introspect"));
        let introspected = introspected.form(&[&in_body[..], &[("token", token)]].concat());
        let introspected = body_of(introspected.send().await.unwrap()).await;
        assert_eq!(
            (&introspected["client_id"], &introspected["sub"]),
            (&json!(id), &json!(id))
        );

        let path = |rest: &str| format!("/clients/{}{rest}", encoded(id));
        for (method, rest, body) in [
            ("GET", "", ""),
            ("PATCH", "", "{\"client_name\":\"N\"}"),
            ("POST", "/disable", "{}"),
            ("POST", "/enable", "{}"),
        ] {
            let (status, shown) = raw(&server, method, &path(rest), body);
            assert_eq!(
                (status, &shown["client_id"]),
                (200, &json!(id)),
                "{method} {rest}: {shown}"
            );
        }
        let (status, usage) = raw(&server, "GET", &path("/usage"), "");
        assert_eq!(status, 200, "{id}: {usage}");
        let (status, tokens) = raw(&server, "GET", &path("/tokens?limit=2"), "");
        assert_eq!(
            (status, tokens["items"].as_array().map(Vec::len)),
            (200, Some(2)),
            "{id}: {tokens}"
        );
        let cursor = tokens["next_cursor"].as_str().unwrap();
        let (status, tokens) = raw(&server, "GET", &path(&format!("/tokens?cursor={cursor}")), "");
        assert_eq!(
            (status, tokens["items"].as_array().map(Vec::len)),
            (200, Some(2)),
            "{id}: {tokens}"
        );

        // On Postgres, rows appear when the transactions of other tests that began before them have ended.
        let query = format!("/audit?kind=client&client_id={}", encoded(id));
        until(Duration::from_secs(20), &format!("audit rows of {id}"), async || {
            let (status, audit) = raw(&server, "GET", &query, "");
            assert_eq!(status, 200);
            let rows = audit["items"].as_array().unwrap();
            let has = |action: &str| rows.iter().any(|row| row["action"] == action);
            has("client.create") && has("client.update")
        })
        .await;

        let shown = server.setup.json(&["client", "show", "--json", "--", id]);
        assert_eq!((&shown["client_id"], &shown["client_name"]), (&json!(id), &json!("N")));
        let is_active = async || {
            let response = server.http.post(server.url("/oauth/introspect"));
            let form = [&in_body[..], &[("token", token)]].concat();
            body_of(response.form(&form).send().await.unwrap()).await["active"].clone()
        };
        assert_eq!(is_active().await, true);
        let (status, _) = raw(&server, "POST", &path("/tokens:revoke-all"), "{}");
        assert!((200..300).contains(&status), "{id}: {status}");
        assert_eq!(is_active().await, false, "{id}");
        let revoked = server.setup.run(&["token", "revoke", &format!("--client={id}")]);
        assert_eq!(revoked.code, 0, "{id}: {}", revoked.stderr);

        let (status, rotated) = raw(&server, "POST", &path("/rotate-secret"), "{}");
        assert_eq!(status, 200, "{id}");
        let authorization = format!("{form}:{}", rotated["client_secret"].as_str().unwrap());
        assert_eq!(
            token_by(&server, Some(&authorization), &[]).await.0,
            StatusCode::OK,
            "{id}"
        );
        let (status, _) = raw(&server, "DELETE", &path(""), "");
        assert_eq!(status, 204, "{id}");
        let (status, _) = raw(&server, "GET", &path(""), "");
        assert_eq!(status, 404, "{id}");
    }
}

async fn ids_are_listed_and_imported_verbatim(kind: Kind) {
    let setup = migrated(kind).await;
    let mut sorted = IDS;
    sorted.sort_unstable();
    let rows = IDS.map(|id| format!("{}\n", json!({"client_id": id}))).concat();
    let secrets = setup.directory().join("secrets.csv");
    let arguments = [
        "client",
        "import",
        "-",
        "--format",
        "jsonl",
        "--secrets-out",
        secrets.to_str().unwrap(),
    ];
    let imported = setup.run_with_input(&arguments, &rows);
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_path(&secrets)
        .unwrap();
    let mut named: Vec<String> = reader.records().map(|record| record.unwrap()[0].to_owned()).collect();
    named.sort_unstable();
    assert_eq!(named, sorted);

    // In pages, by the cursor of the page before.
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut arguments = vec!["client", "list", "--limit", "4", "--json"];
        if !cursor.is_empty() {
            arguments.extend(["--cursor", &cursor]);
        }
        let page = setup.json(&arguments);
        let items = page["items"].as_array().unwrap().iter();
        listed.extend(items.map(|client| client["client_id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(listed, sorted);
    for prefix in ["a", "a/", "a%", " ", "\"", "https://app.example/cb?x=1&y=%"] {
        let page = setup.json(&["client", "list", "--prefix", prefix, "--json"]);
        let found: Vec<_> = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|client| client["client_id"].as_str().unwrap())
            .collect();
        let expected: Vec<_> = sorted.into_iter().filter(|id| id.starts_with(prefix)).collect();
        assert_eq!(found, expected, "{prefix}");
    }
    for format in ["csv", "jsonl"] {
        let exported = setup
            .run(&["client", "export", "--format", format, "--with-secret-hashes"])
            .stdout;
        let again = setup.run_with_input(&["client", "import", "-", "--format", format, "--json"], &exported);
        let again: Value = serde_json::from_str(&again.stdout).unwrap_or_else(|_| panic!("{}", again.stderr));
        assert_eq!(again["unchanged"], IDS.len(), "{format}");
    }
}

async fn creation_says_how_to_send_an_id_with_a_colon(kind: Kind) {
    let server = shared(kind).await;
    let create = async |id: &str| {
        let response = server
            .admin(Method::POST, "/clients")
            .json(&json!({"client_id": id}))
            .send()
            .await
            .unwrap();
        body_of(response).await
    };
    let created = create("notice:http").await;
    assert!(
        created["notice"].as_str().unwrap().ends_with(": notice%3Ahttp"),
        "{created}"
    );
    assert_eq!(create("notice-http").await.get("notice"), None);
    let generated = server
        .admin(Method::POST, "/clients")
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(
        body_of(generated).await.get("notice"),
        None,
        "generated credentials need no encoding"
    );
    let shown = server
        .admin(Method::GET, "/clients/notice%3Ahttp")
        .send()
        .await
        .unwrap();
    assert_eq!(body_of(shown).await.get("notice"), None);

    let created = server.setup.run(&["client", "create", "--id", "notice:cli"]);
    assert_eq!(created.code, 0);
    assert!(created.stderr.contains("notice%3Acli"), "{}", created.stderr);
    let created = server.setup.run(&["client", "create", "--id", "notice-cli"]);
    assert!(!created.stderr.contains("note"), "{}", created.stderr);
}
