//! `client import --from`: what becomes of the clients of each product.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, DedicatedServer, Kind, Output, Setup, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{fixture, parsed};
use crate::cli::migrated;
use crate::setup;

on_both_stores!(
    records_are_as_expected,
    imported_clients_get_tokens_with_the_secrets_they_have,
    what_is_carried_over_is_reported_per_field,
    members_can_be_set_for_every_client,
);

/// The exports and their products. The exports of Hydra and Keycloak were written by Hydra 2.3.0 and Keycloak 26.5.6, `uaa-4.30.csv` is of UAA 4.30.0,
/// and the tables with tabs were written by
/// `mariadb --batch` 10.11 from the same rows as those in CSV.
const EXPORTS: [(&str, &str); 16] = [
    ("hydra", "hydra-clients.json"),
    ("hydra", "hydra-client.csv"),
    ("hydra", "hydra-client.tsv"),
    ("keycloak", "keycloak-realm.json"),
    ("spring", "spring.csv"),
    ("spring", "spring.tsv"),
    ("duende", "duende"),
    ("duende", "duende-appsettings.json"),
    ("uaa", "uaa-clients.json"),
    ("uaa", "uaa.csv"),
    ("uaa", "uaa.tsv"),
    ("uaa", "uaa-4.30.csv"),
    ("auth0", "auth0"),
    ("cognito", "cognito"),
    ("oidc-provider", "oidc-provider.json"),
    ("oidc-provider", "oidc-provider-adapter.json"),
];

/// A server notices clients and keys of another process within a second; the rest is for a busy machine.
const NOTICED: Duration = Duration::from_secs(5);

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn import(setup: &Setup, product: &str, export: &str, arguments: &[&str]) -> Output {
    let file = fixture(export);
    setup.run(&[&["client", "import", "--from", product, &file], arguments].concat())
}

async fn records_are_as_expected(kind: Kind) {
    let setup = migrated(kind).await;
    for (product, export) in EXPORTS {
        let out = setup.directory().join(format!("{export}.out"));
        let output = import(&setup, product, export, &["--records-out", out.to_str().unwrap()]);
        assert_eq!((output.code, &*output.stderr), (0, ""), "{export}");
        let expected = std::fs::read_to_string(fixture(&format!("records/{export}.jsonl"))).unwrap();
        assert_eq!(
            lines(&std::fs::read_to_string(&out).unwrap()),
            lines(&expected),
            "{export}"
        );
        let mode = out.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // It has secrets, so it is not replaced.
        let again = import(&setup, product, export, &["--records-out", out.to_str().unwrap()]);
        assert!(
            again.code == 2 && again.stderr.contains("exists already"),
            "{}",
            again.stderr
        );
    }
    let listed = setup.run(&["client", "list", "--json"]);
    assert_eq!(parsed(&listed)["items"], json!([]), "nothing was imported");
}

async fn imported_clients_get_tokens_with_the_secrets_they_have(kind: Kind) {
    // It makes the key of an algorithm that nobody used before.
    let server = DedicatedServer::start(setup(kind).await).await;
    let setup = &server.setup;
    let cases = [
        ("auth0", "auth0", 1),
        ("cognito", "cognito", 1),
        ("oidc-provider", "oidc-provider.json", 1),
    ];
    for (product, export, created) in cases {
        let output = import(setup, product, export, &["--json"]);
        assert_eq!(output.code, 0, "{export}: {}", output.stderr);
        assert_eq!(parsed(&output)["created"], created, "{export}");
        let again = import(setup, product, export, &["--json"]);
        assert_eq!(parsed(&again)["unchanged"], created, "{export}");
    }
    let cases = [
        (
            "kZ8aYb3cQeR1tUvW5xYz7A9bCdEfGhIj",
            "billing-secret-with-enough-characters-as-auth0-has-sixty-four-00",
            ("invoices:read invoices:write reports:read", 7200),
            json!({"aud": "https://api.example", "sub": "kZ8aYb3cQeR1tUvW5xYz7A9bCdEfGhIj"}),
        ),
        (
            "1example23456789",
            "9example87654321abcdefghijklmnopqrstuvwxyz0123456789",
            ("https://api.example/read https://api.example/write", 5400),
            json!({"token_use": "access"}),
        ),
        (
            "billing",
            "billing-secret-with-enough-characters",
            ("read write", 1800),
            json!({"sub": "billing"}),
        ),
    ];
    for (id, secret, (scope, lifetime), claims) in cases {
        let client = Credentials::new(id, secret);
        let is_served = async || server.request_token(&client, &[]).await.status() == StatusCode::OK;
        until(NOTICED, "a token of an imported client", is_served).await;
        let response = server.request_token(&client, &[]).await;
        let body = body_of(response).await;
        assert_eq!(
            (&body["scope"], &body["expires_in"]),
            (&json!(scope), &json!(lifetime)),
            "{id}"
        );
        let token = body["access_token"].as_str().unwrap();
        let inspected = parsed(&server.setup.run(&["token", "inspect", token, "--json"]));
        for (name, value) in claims.as_object().unwrap() {
            assert_eq!(inspected["claims"][name], *value, "{inspected}");
        }
        let near = Credentials::new(id, format!("{secret}x"));
        let response = server.request_token(&near, &[]).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{id}");
    }
}

async fn what_is_carried_over_is_reported_per_field(kind: Kind) {
    let setup = migrated(kind).await;
    let output = import(&setup, "oidc-provider", "oidc-provider.json", &["--dry-run", "--json"]);
    let translation = &parsed(&output)["translation"];
    let field = |name: &str| {
        let fields = translation["fields"].as_array().unwrap();
        fields.iter().find(|field| field["field"] == name).cloned().unwrap()
    };
    assert_eq!(
        field("client_secret"),
        json!({"field": "client_secret", "to": "client_secret", "carried": "exactly", "clients": 1, "example": "billing"})
    );
    assert_eq!(field("scope")["carried"], "approximately");
    assert_eq!(field("id_token_signed_response_alg")["carried"], "not");
    let omitted: Vec<_> = translation["omitted"]
        .as_array()
        .unwrap()
        .iter()
        .map(|client| client["client_id"].as_str().unwrap())
        .collect();
    assert_eq!(omitted, ["portal", "robot", "lapsed"]);
    let table = import(&setup, "oidc-provider", "oidc-provider.json", &["--dry-run"]);
    for text in [
        "FIELD ",
        "scope                         scope          approximately  1        billing  a request without scope",
        "not imported: portal: it may not use client_credentials; it has authorization_code",
        "not imported: lapsed: its secret has expired",
        "1 rows are valid, 0 are rejected; nothing was changed",
    ] {
        assert!(table.stdout.contains(text), "{text}\n{}", table.stdout);
    }
    let secret = "billing-secret-with-enough-characters";
    assert!(!table.stdout.contains(secret) && !output.stdout.contains(secret));
    // A field that no translator knows is named.
    let output = import(&setup, "oidc-provider", "oidc-provider-adapter.json", &["--dry-run"]);
    assert!(output.stdout.contains("plan  "), "{}", output.stdout);
    assert!(output.stdout.contains("unknown to this version"), "{}", output.stdout);
}

async fn members_can_be_set_for_every_client(kind: Kind) {
    let setup = migrated(kind).await;
    let settings = [
        "--set",
        "token_format=jwt",
        "--set",
        "access_token_lifetime=60",
        "--set",
        "audience=[\"https://api.example\"]",
    ];
    let output = import(&setup, "oidc-provider", "oidc-provider.json", &settings);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let client = parsed(&setup.run(&["client", "show", "billing", "--json"]));
    assert_eq!(client["token_format"], "jwt");
    assert_eq!(client["access_token_lifetime"], 60);
    assert_eq!(client["audience"], json!(["https://api.example"]));
    for (setting, expected) in [
        ("client_secret=x", "cannot set client_secret: every client has its own"),
        ("token_format", "must be FIELD=VALUE"),
        ("colour=red", "unknown field `colour`"),
    ] {
        let output = import(
            &setup,
            "oidc-provider",
            "oidc-provider.json",
            &["--overwrite", "--set", setting],
        );
        assert!(
            output.code == 2 && output.stderr.contains(expected),
            "{}",
            output.stderr
        );
    }
}
