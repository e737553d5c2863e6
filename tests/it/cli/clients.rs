//! `client …` on a store that nobody serves from.

use oauth2_testkit::Kind;
use serde_json::{Value, json};

use super::{migrated, rejected, stdout_of};

on_both_stores!(
    create_sets_every_field,
    secret_can_be_supplied,
    update_sets_and_resets_fields,
    client_is_disabled_enabled_and_deleted,
    client_list_is_paginated,
    human_output_is_aligned_plain_text,
    invalid_metadata_is_rejected,
    unknown_client_is_named_in_the_error,
);

const SECRET: &str = "a-secret-of-the-operators-own-making-123";

/// The client JSON with the defaults of a registration that says nothing.
fn client(id: &str, created_at: &Value) -> Value {
    json!({
        "client_id": id, "client_name": null, "grant_types": ["client_credentials"], "scope": "",
        "token_format": null, "signing_alg": null, "token_typ": null, "audience": [], "introspection_audiences": [], "token_ledger": null,
        "access_token_lifetime": null,
        "rate_limits": {}, "rate_limit_mode": null, "quotas": {}, "quota_mode": null, "reuse_percent": null, "claims": {},
        "group": null, "disabled": false, "managed_by": null, "created_at": created_at,
    })
}

/// Takes the secret out of a client's JSON.
fn take_secret(client: &mut Value) -> String {
    let secret = client.as_object_mut().unwrap().remove("client_secret");
    secret.expect("a secret").as_str().expect("a string").to_owned()
}

async fn create_sets_every_field(kind: Kind) {
    let setup = migrated(kind).await;
    let mut plain = setup.json(&["client", "create", "--id", "plain", "--json"]);
    assert!(take_secret(&mut plain).starts_with("oas_cs_"));
    assert!(plain["created_at"].as_i64().unwrap() > 1_700_000_000);
    assert_eq!(plain, client("plain", &plain["created_at"]));

    #[rustfmt::skip]
    let mut full = setup.json(&[
        "client", "create", "--id", "full", "--name", "The \"CI\" ü", "--grant", "client_credentials",
        "--scope", "read write", "--format", "jwt", "--signing-alg", "ES256",
        "--audience", "https://a.example", "--audience", "urn:b", "--introspection-audience", "https://r.example",
        "--introspection-audience", "https://s.example/x", "--ledger", "stateless", "--lifetime", "60", "--json",
    ]);
    take_secret(&mut full);
    let expected = json!({
        "client_id": "full", "client_name": "The \"CI\" ü", "grant_types": ["client_credentials"],
        "scope": "read write", "token_format": "jwt", "signing_alg": "ES256", "token_typ": null,
        "audience": ["https://a.example", "urn:b"], "introspection_audiences": ["https://r.example", "https://s.example/x"],
        "token_ledger": "stateless", "access_token_lifetime": 60,
        "rate_limits": {}, "rate_limit_mode": null, "quotas": {}, "quota_mode": null, "reuse_percent": null, "claims": {},
        "group": null, "disabled": false, "managed_by": null, "created_at": full["created_at"],
    });
    assert_eq!(full, expected);
    assert_eq!(
        setup.json(&["client", "show", "full", "--json"]),
        expected,
        "without the secret"
    );

    let nameless = setup.json(&["client", "create", "--json"]);
    assert!(nameless["client_id"].as_str().unwrap().len() >= 8, "{nameless}");
    rejected(
        &setup.run(&["client", "create", "--id", "full"]),
        2,
        &["full", "exists"],
    );
    assert_eq!(
        setup.json(&["client", "show", "full", "--json"]),
        expected,
        "it is still the first"
    );
}

async fn secret_can_be_supplied(kind: Kind) {
    let setup = migrated(kind).await;
    let made = setup.json(&["client", "create", "--id", "a", "--secret", SECRET, "--json"]);
    assert_eq!(made["client_secret"], SECRET);
    let read = ["client", "create", "--id", "b", "--secret-stdin", "--json"];
    let output = setup.run_with_input(&read, &format!("{SECRET}\r\n"));
    let made: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(made["client_secret"], SECRET, "without the line's end");

    let short = setup.run(&["client", "create", "--id", "c", "--secret", "too-short"]);
    rejected(&short, 2, &["--secret", "32"]);
    assert!(!short.stderr.contains("too-short"));
    rejected(
        &setup.run(&["client", "create", "--id", "c", "--secret-stdin"]),
        2,
        &["--secret"],
    );
    rejected(&setup.run(&["client", "show", "c"]), 2, &["\"c\""]);
}

async fn update_sets_and_resets_fields(kind: Kind) {
    let setup = migrated(kind).await;
    let made = setup.json(&["client", "create", "--id", "ci", "--json"]);
    #[rustfmt::skip]
    let changed = setup.json(&[
        "client", "update", "ci", "--name", "n", "--scope", "x", "--format", "jwt", "--signing-alg", "EdDSA",
        "--audience", "https://a.example", "--introspection-audience", "https://r.example", "--ledger", "durable",
        "--lifetime", "5", "--json",
    ]);
    let expected = json!({
        "client_id": "ci", "client_name": "n", "grant_types": ["client_credentials"], "scope": "x",
        "token_format": "jwt", "signing_alg": "EdDSA", "token_typ": null, "audience": ["https://a.example"],
        "introspection_audiences": ["https://r.example"], "token_ledger": "durable", "access_token_lifetime": 5,
        "rate_limits": {}, "rate_limit_mode": null, "quotas": {}, "quota_mode": null, "reuse_percent": null, "claims": {},
        "group": null, "disabled": false, "managed_by": null, "created_at": made["created_at"],
    });
    assert_eq!(changed, expected);
    let only = setup.json(&["client", "update", "ci", "--scope", "y z", "--json"]);
    assert_eq!((&only["scope"], &only["client_name"]), (&json!("y z"), &json!("n")));

    #[rustfmt::skip]
    let back = setup.json(&[
        "client", "update", "ci", "--reset", "name", "--reset", "scope", "--reset", "format", "--reset", "signing-alg",
        "--reset", "audience", "--reset", "introspection-audience", "--reset", "ledger", "--reset", "lifetime", "--json",
    ]);
    assert_eq!(back, client("ci", &made["created_at"]));
    assert_eq!(setup.json(&["client", "show", "ci", "--json"]), back);

    let both = ["client", "update", "ci", "--format", "jwt", "--reset", "format"];
    rejected(&setup.run(&both), 2, &["--format", "--reset"]);
    assert_eq!(setup.json(&["client", "show", "ci", "--json"]), back);
}

async fn client_is_disabled_enabled_and_deleted(kind: Kind) {
    let setup = migrated(kind).await;
    setup.json(&["client", "create", "--id", "ci", "--json"]);
    let disabled = |subcommand: &str| setup.json(&["client", subcommand, "ci", "--json"])["disabled"].clone();
    assert_eq!(disabled("disable"), true);
    assert_eq!(disabled("disable"), true, "again changes nothing");
    assert_eq!(disabled("show"), true);
    assert!(stdout_of(&setup, &["client", "list"]).contains("disabled"));
    assert_eq!(disabled("enable"), false);

    let deleted = setup.json(&["client", "delete", "ci", "--json"]);
    assert_eq!(deleted, json!({"client_id": "ci", "deleted": true}));
    rejected(&setup.run(&["client", "delete", "ci"]), 2, &["\"ci\""]);
    assert_eq!(setup.json(&["client", "list", "--json"])["items"], json!([]));
}

async fn client_list_is_paginated(kind: Kind) {
    let setup = migrated(kind).await;
    let ids: Vec<_> = (0..5).map(|n| format!("page-{n}")).collect();
    for id in ids.iter().rev() {
        setup.json(&["client", "create", "--id", id, "--json"]);
    }
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let mut arguments = vec!["client", "list", "--limit", "2", "--json"];
        arguments.extend(
            cursor
                .as_deref()
                .map(|cursor| ["--cursor", cursor])
                .into_iter()
                .flatten(),
        );
        let mut page = setup.json(&arguments);
        let next = page["next_cursor"].take();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2, "{page}");
        found.extend(
            items
                .iter()
                .map(|client| client["client_id"].as_str().unwrap().to_owned()),
        );
        assert!(!page.to_string().contains("secret"), "{page}");
        match next {
            Value::String(next) => cursor = Some(next),
            other => break assert_eq!(other, Value::Null),
        }
    }
    assert_eq!(found, ids, "by id");

    // For people: the table on stdout, how to go on beside it.
    let first = setup.run(&["client", "list", "--limit", "2"]);
    assert_eq!(first.stdout.lines().count(), 3, "{}", first.stdout);
    let hint = first.stderr.trim().split_once("--cursor ");
    let (_, next) = hint.unwrap_or_else(|| panic!("{}", first.stderr));
    let rest = stdout_of(&setup, &["client", "list", "--limit", "100", "--cursor", next]);
    assert_eq!(rest.lines().count(), 4, "{rest}");
}

async fn human_output_is_aligned_plain_text(kind: Kind) {
    let setup = migrated(kind).await;
    let shown = stdout_of(&setup, &["client", "create", "--id", "ci", "--scope", "read"]);
    let secrets: Vec<_> = shown.lines().filter(|line| line.contains("oas_cs_")).collect();
    assert_eq!(secrets.len(), 1, "{shown}");
    assert!(
        secrets[0].starts_with("client_secret ") && secrets[0].contains("not shown again"),
        "{shown}"
    );
    let again = stdout_of(&setup, &["client", "show", "ci"]);
    assert!(again.starts_with("client_id ") && !again.contains("secret"), "{again}");

    let table = stdout_of(&setup, &["client", "list"]);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    let title = |word: &str| lines[0].find(word).unwrap_or_else(|| panic!("{word}: {table}"));
    assert_eq!(title("ID"), 0);
    assert_eq!(
        lines[1].find("read"),
        Some(title("SCOPE")),
        "columns are aligned: {table}"
    );
    assert_eq!(lines[1].find("enabled"), Some(title("STATE")), "{table}");
    assert!(lines.iter().all(|line| *line == line.trim_end()), "{table}");

    let deleted = stdout_of(&setup, &["client", "delete", "ci"]);
    assert!(deleted.contains("ci") && deleted.contains("deleted"), "{deleted}");
}

async fn invalid_metadata_is_rejected(kind: Kind) {
    let setup = migrated(kind).await;
    let too_long = "x".repeat(257);
    for (flags, word) in [
        (&["--id", "a\nb"][..], "--id"),
        (&["--id", &too_long], "--id"),
        (&["--id", ""], "--id"),
        (&["--name", "\u{1b}[31mred"], "--name"),
        (&["--grant", "password"], "--grant"),
        (&["--scope", "caf\u{e9}"], "--scope"),
        (&["--format", "saml"], "--format"),
        (&["--signing-alg", "ES256"], "--signing-alg"),
        (&["--signing-alg", "HS256", "--format", "jwt"], "--signing-alg"),
        (&["--audience", "not a: uri"], "--audience"),
        (
            &["--introspection-audience", "https://r.example/ f"],
            "--introspection-audience",
        ),
        (&["--ledger", "maybe"], "--ledger"),
        (&["--format", "opaque", "--ledger", "stateless"], "--ledger"),
        (&["--lifetime", "0"], "--lifetime"),
        (&["--lifetime", "2592001"], "--lifetime"),
    ] {
        let output = setup.run(&[&["client", "create"], flags].concat());
        rejected(&output, 2, &[word]);
        assert!(!output.stderr.contains('\u{1b}'), "{}", output.stderr);
    }
    let listed = setup.json(&["client", "list", "--json"]);
    assert_eq!(
        listed,
        json!({"items": [], "next_cursor": null}),
        "nothing was half done"
    );
}

async fn unknown_client_is_named_in_the_error(kind: Kind) {
    let setup = migrated(kind).await;
    for arguments in [
        &["client", "show", "nobody"][..],
        &["client", "update", "nobody", "--scope", "x"],
        &["client", "disable", "nobody"],
        &["client", "enable", "nobody"],
        &["client", "delete", "nobody"],
        &["client", "rotate-secret", "nobody"],
        &["token", "list", "--client", "nobody"],
        &["token", "revoke", "--client", "nobody"],
    ] {
        rejected(&setup.run(arguments), 2, &["no client \"nobody\""]);
        rejected(
            &setup.run(&[arguments, &["--json"]].concat()),
            2,
            &["no client \"nobody\""],
        );
    }
}
