//! `migrate-check`: two servers that differ, and its files and flags.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;

use oauth2_testkit::{Credentials, DedicatedServer, Kind, Output, Server};
use serde_json::{Value, json};

use super::parsed;
use crate::setup;

on_both_stores!(
    issuers_that_differ_by_their_url_only_are_accepted,
    sample_log_and_clients_are_validated,
    mirrored_requests_are_compared_by_status,
    key_set_that_cannot_be_read_is_no_success,
    requests_without_scope_are_compared,
);

pub(super) const SECRET: &str = "the-secret-that-both-issuers-know-0001";

/// Accepts what differs because the servers have URLs and keys of their own.
pub(super) const OF_ANOTHER_URL: [&str; 6] = [
    "--accept",
    "discovery.issuer",
    "--accept",
    "jwks",
    "--accept",
    "introspection.old_token_at_new",
];

/// Two servers whose JWTs have the same algorithm.
pub async fn servers(kind: Kind) -> (DedicatedServer, DedicatedServer) {
    let old = DedicatedServer::start(setup(kind).await).await;
    let new = DedicatedServer::start(setup(kind).await).await;
    (old, new)
}

pub(super) async fn register(server: &Server, id: &str, metadata: Value) -> Credentials {
    let mut client = json!({"client_id": id, "client_secret": SECRET, "scope": "read write", "token_format": "jwt"});
    client
        .as_object_mut()
        .unwrap()
        .extend(metadata.as_object().unwrap().clone());
    server.register(client).await
}

/// Runs the check with these clients.
pub fn check(old: &Server, new: &Server, clients: &str, arguments: &[&str]) -> Output {
    let file = old.setup.directory().join("sample.csv");
    std::fs::write(&file, clients).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let (old_url, new_url) = (old.url(""), new.url(""));
    let command = [
        "migrate-check",
        "--old",
        &old_url,
        "--new",
        &new_url,
        "--clients",
        file.to_str().unwrap(),
    ];
    let output = old.setup.run(&[&command, arguments].concat());
    for text in [&output.stdout, &output.stderr] {
        assert!(!text.contains(SECRET), "{text}");
        // Nor a token.
        assert!(!text.contains("eyJ"), "{text}");
    }
    output
}

/// The codes of the noticed differences, and of the unnoticed differences.
pub(super) fn codes(output: &Output) -> (Vec<String>, Vec<String>) {
    let report = parsed(output);
    let differences = report["differences"].as_array().unwrap();
    let of = |noticed: bool| {
        let of = differences
            .iter()
            .filter(|it| (it["noticed_by"] != "nobody") == noticed);
        of.map(|it| it["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    (of(true), of(false))
}

pub(super) fn csv(ids: &[&str]) -> String {
    ids.iter().fold("client_id,client_secret\n".to_owned(), |mut text, id| {
        let _ = writeln!(text, "{id},{SECRET}");
        text
    })
}

async fn issuers_that_differ_by_their_url_only_are_accepted(kind: Kind) {
    let (old, new) = servers(kind).await;
    for server in [&old, &new] {
        register(server, "a", json!({"audience": ["https://api.example"]})).await;
    }
    let output = check(&old, &new, &csv(&["a"]), &["--json"]);
    assert_eq!(output.code, 1, "{}", output.stderr);
    let (noticed, _) = codes(&output);
    // Each server has keys of its own, and a URL of its own.
    let (of_keys, others): (Vec<_>, Vec<_>) = noticed.iter().partition(|code| code.starts_with("jwks.missing_kid."));
    assert_eq!(others, ["introspection.old_token_at_new", "discovery.issuer"]);
    let published = old.get_json(old.url("/.well-known/jwks.json")).await;
    assert_eq!(of_keys.len(), published["keys"].as_array().unwrap().len());
    let accepted = OF_ANOTHER_URL;
    let output = check(&old, &new, &csv(&["a"]), &accepted);
    assert_eq!((output.code, &*output.stderr), (0, ""), "{}", output.stdout);
    assert!(
        output.stdout.contains("clients and verifiers notice nothing"),
        "{}",
        output.stdout
    );
    let output = check(
        &old,
        &new,
        &csv(&["a"]),
        &[&accepted[..], &["--accept", "token.claim.x"]].concat(),
    );
    assert!(
        output.stdout.contains("nothing differs in token.claim.x"),
        "{}",
        output.stdout
    );
}

async fn sample_log_and_clients_are_validated(kind: Kind) {
    let (old, new) = servers(kind).await;
    let cases: [(&str, &[&str], &str); 9] = [
        (
            "id,secret\n",
            &[],
            "line 1: the header must name client_id and client_secret",
        ),
        (
            "client_id,client_secret\n",
            &[],
            "there is no client with a client_secret in it",
        ),
        (
            "client_id,client_secret\na,x\na,y\n",
            &[],
            "line 3: client_id a occurs on line 2 already",
        ),
        (
            "client_id,client_secret\r\na,x\r\na,y\r\n",
            &[],
            "line 3: client_id a occurs on line 2 already",
        ),
        (
            "client_id,client_secret,colour\na,x,red\n",
            &[],
            "line 2: unknown field \"colour\"",
        ),
        (
            "client_id,client_secret\na,x\n",
            &["--sample", "0"],
            "must be 1 to 10000",
        ),
        (
            "client_id,client_secret\na,x\n",
            &["--concurrency", "65"],
            "must be 1 to 64",
        ),
        (
            "client_id,client_secret\na,x\n",
            &["--requests", "/nowhere"],
            "--requests /nowhere: cannot be read",
        ),
        (
            "client_id,client_secret\na,x\n",
            &["--old-token-endpoint", "ftp://a/b"],
            "must be an http or https URL",
        ),
    ];
    for (clients, arguments, expected) in cases {
        let output = check(&old, &new, clients, arguments);
        assert!(
            output.code == 2 && output.stderr.contains(expected),
            "{expected}\n{}",
            output.stderr
        );
    }
    // An issuer that does not answer is an obstacle, not a difference.
    let file = old.setup.directory().join("sample.csv");
    let closed = format!("http://127.0.0.1:{}", oauth2_testkit::ports::free());
    let url = new.url("");
    let output = old.setup.run(&[
        "migrate-check",
        "--old",
        &closed,
        "--new",
        &url,
        "--clients",
        file.to_str().unwrap(),
    ]);
    assert!(
        output.code == 3 && output.stderr.contains("--old: "),
        "{}",
        output.stderr
    );
}

async fn mirrored_requests_are_compared_by_status(kind: Kind) {
    let (old, new) = servers(kind).await;
    for server in [&old, &new] {
        register(server, "a", json!({})).await;
    }
    let line = |id: u32, side: &str, client: &str, status: u16| {
        json!({"time": "2026-01-01T00:00:00+00:00", "id": id.to_string(), "side": side, "client": client, "method": "POST",
            "path": "/token", "status": status.to_string()})
        .to_string()
    };
    let lines = [
        line(1, "old", "a", 200),
        line(1, "new", "a", 200),
        line(2, "old", "b", 200),
        line(2, "new", "b", 401),
        line(3, "old", "c", 200),
    ];
    let log = old.setup.directory().join("mirror.log");
    // The proxy is writing the last line.
    let text = lines.join("\n");
    std::fs::write(&log, format!("{text}\n{}", &lines[0][..30])).unwrap();
    let more = ["--json", "--requests", log.to_str().unwrap()];
    let output = check(&old, &new, &csv(&["a"]), &[&OF_ANOTHER_URL[..], &more].concat());
    assert_eq!(output.code, 1, "{}", output.stdout);
    let report = parsed(&output);
    assert_eq!(report["mirrored_requests"], json!({"compared": 2, "unpaired": 1}));
    let difference = report["differences"].as_array().unwrap().iter();
    let difference = difference
        .clone()
        .find(|it| it["code"] == "mirrored.status.200.401")
        .unwrap();
    let example = json!({"client_id": "b", "old": "POST /token 200", "new": "401"});
    assert_eq!(difference["examples"], json!([example]));
    let accepted = [&OF_ANOTHER_URL[..], &more, &["--accept", "mirrored"]].concat();
    let output = check(&old, &new, &csv(&["a"]), &accepted);
    // A third of the requests has one answer only.
    assert_eq!(output.code, 1);
    assert!(
        codes(&output).0.contains(&"not_compared.mirrored".to_owned()),
        "{}",
        output.stdout
    );
    std::fs::write(&log, lines[4].clone() + "\n").unwrap();
    let output = check(&old, &new, &csv(&["a"]), &[&OF_ANOTHER_URL[..], &more].concat());
    assert_eq!(output.code, 1, "nothing was compared: {}", output.stdout);
}

async fn key_set_that_cannot_be_read_is_no_success(kind: Kind) {
    let (old, new) = servers(kind).await;
    for server in [&old, &new] {
        register(server, "a", json!({})).await;
    }
    let (missing, readable) = (new.url("/nowhere"), new.url("/.well-known/jwks.json"));
    for (url, code) in [(&missing, 1), (&readable, 0)] {
        let more = ["--json", "--new-jwks", url];
        let output = check(&old, &new, &csv(&["a"]), &[&OF_ANOTHER_URL[..], &more].concat());
        assert_eq!(output.code, code, "{}", output.stdout);
        let is_reported = codes(&output).0.contains(&"not_compared.jwks".to_owned());
        assert_eq!(is_reported, code == 1);
    }
}

async fn requests_without_scope_are_compared(kind: Kind) {
    let (old, new) = servers(kind).await;
    register(&old, "a", json!({"scope": "read"})).await;
    register(&new, "a", json!({"scope": "read write"})).await;
    let clients = format!("client_id,client_secret,scope\na,{SECRET},read\n");
    let more = ["--json", "--accept", "introspection"];
    let output = check(&old, &new, &clients, &[&OF_ANOTHER_URL[..4], &more].concat());
    assert!(
        codes(&output).0.contains(&"without_scope.scope".to_owned()),
        "{}",
        output.stdout
    );
}
