//! Exports that are wrong: the error names the client and the field, and nothing is imported.

use oauth2_testkit::{Kind, Setup};
use serde_json::{Value, json};

use super::{fixture, hydra_client, parsed};
use crate::cli::migrated;

on_both_stores!(
    masked_secrets_are_rejected_with_the_way_to_export_them,
    truncated_and_foreign_files_are_rejected_by_name,
    one_wrong_client_prevents_the_import_of_all,
    errors_name_the_line_and_the_field_of_the_export,
    bare_carriage_returns_are_rejected_as_in_other_imports,
);

const SECRET: &str = "a-secret-that-no-error-may-ever-repeat";

const HASH: &str = "$2a$04$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK";

/// Imports an export, which must fail with exit code 2, and returns stderr.
pub(super) fn rejected(setup: &Setup, product: &str, text: &str, arguments: &[&str]) -> String {
    let file = setup.directory().join("export");
    std::fs::write(&file, text).unwrap();
    let command = ["client", "import", "--from", product, file.to_str().unwrap()];
    let output = setup.run(&[&command, arguments].concat());
    assert_eq!(output.code, 2, "{product} {text}: {}", output.stdout);
    assert!(!output.stderr.contains(SECRET) && !output.stdout.contains(SECRET));
    output.stderr
}

fn imported(setup: &Setup) -> Vec<Value> {
    let listed = parsed(&setup.run(&["client", "list", "--json"]));
    listed["items"].as_array().unwrap().clone()
}

async fn masked_secrets_are_rejected_with_the_way_to_export_them(kind: Kind) {
    let setup = migrated(kind).await;
    let text = std::fs::read_to_string(fixture("keycloak-masked.json")).unwrap();
    let report = setup.directory().join("report.jsonl");
    let error = rejected(&setup, "keycloak", &text, &["--report", report.to_str().unwrap()]);
    for expected in [
        "(billing): secret is a mask, such as ********** or <redacted>, which an export has instead of the secret",
        "kc.sh export --realm REALM --file",
    ] {
        assert!(error.contains(expected), "{error}");
    }
    let report = std::fs::read_to_string(report).unwrap();
    let first: Value = serde_json::from_str(report.lines().next().unwrap()).unwrap();
    assert_eq!(first["client_id"], "billing");
    assert!(first["position"].as_str().unwrap().starts_with("client "), "{first}");
    assert_eq!(imported(&setup), [json!(null); 0]);
}

async fn truncated_and_foreign_files_are_rejected_by_name(kind: Kind) {
    let setup = migrated(kind).await;
    let whole = json!([{"client_id": "a", "client_secret": SECRET, "grant_types": ["client_credentials"]}]).to_string();
    let header = "id,client_secret,grant_types";
    let cases = [
        ("hydra", whole[..whole.len() - 9].to_owned(), "the file is truncated"),
        ("hydra", String::new(), "is empty"),
        (
            "hydra",
            "{\"users\": []}".to_owned(),
            "has no clients: expected a list of them, or an object with clients or items",
        ),
        ("hydra", "[]".to_owned(), "there is no client of hydra in it"),
        ("hydra", "[1]".to_owned(), "client 1 must be an object"),
        (
            "hydra",
            format!("{header}\na,\"{SECRET}\n"),
            "a quote that is not closed",
        ),
        (
            "hydra",
            format!("{header}\na,{SECRET}\n"),
            "line 2: the row has 2 fields, the header 3",
        ),
        (
            "hydra",
            format!("{header},id\na,{SECRET},[],b\n"),
            "line 1: the column \"id\" occurs twice",
        ),
        ("duende", "Id,Name\n1,a\n".to_owned(), "line 2 (): ClientId is missing"),
        (
            "hydra",
            format!("[{{\"client_id\": \"a\",\n\"client_secret\": \"{SECRET}\", \"client_id\": \"b\"}}]"),
            "line 2: an object has the member client_id twice",
        ),
        (
            "hydra",
            format!("id\tclient_secret\tgrant_types\na\t{SECRET}\n"),
            "line 2: the row has 2 fields, the header 3",
        ),
        (
            "hydra",
            "id\tclient_secret\tid\n".to_owned(),
            "line 1: the column \"id\" occurs twice",
        ),
        (
            "hydra",
            format!("{header}\na\0b,{HASH},\"[\"\"client_credentials\"\"]\"\n"),
            "(a\\u{0}b): id must be 1 to 256 printable ASCII characters",
        ),
    ];
    for (product, text, expected) in cases {
        let error = rejected(&setup, product, &text, &[]);
        assert!(error.contains(expected), "{expected}\n{error}");
    }
    let utf16: Vec<u8> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let file = setup.directory().join("utf16.json");
    std::fs::write(&file, [&[0xff, 0xfe], &utf16[..]].concat()).unwrap();
    let output = setup.run(&["client", "import", "--from", "hydra", file.to_str().unwrap()]);
    assert!(
        output.code == 2
            && output
                .stderr
                .contains("is not valid UTF-8; convert it, such as with iconv -f UTF-16"),
        "{}",
        output.stderr
    );
    let error = rejected(&setup, "okta", &whole, &[]);
    for product in [
        "hydra",
        "keycloak",
        "spring",
        "duende",
        "uaa",
        "auth0",
        "cognito",
        "oidc-provider",
    ] {
        assert!(error.contains(product), "{error}");
    }
    let output = setup.run(&["client", "import", "--from", "hydra", "/nowhere.json"]);
    assert!(
        output.code == 2 && output.stderr.contains("/nowhere.json cannot be read"),
        "{}",
        output.stderr
    );
    let output = setup.run(&["client", "import", "x.jsonl", "--set", "group=a"]);
    assert!(
        output.code == 2 && output.stderr.contains("--from"),
        "{}",
        output.stderr
    );
    assert_eq!(imported(&setup), [json!(null); 0]);
}

async fn one_wrong_client_prevents_the_import_of_all(kind: Kind) {
    let setup = migrated(kind).await;
    let cases = [
        (
            hydra_client("a", json!({})),
            "client 2 (a): the client is in the export twice: client 1 has the same id",
        ),
        (
            hydra_client("b", json!({"client_id": 5})),
            "client 2 (): client_id must be a string",
        ),
        (
            hydra_client("b", json!({"scope": ["x"]})),
            "client 2 (b): scope must be a string",
        ),
        (
            hydra_client(
                "b",
                json!({"client_credentials_grant_access_token_lifespan": "90m0.5s"}),
            ),
            "client 2 (b): client_credentials_grant_access_token_lifespan must be whole seconds",
        ),
        (
            hydra_client("b", json!({"client_credentials_grant_access_token_lifespan": "99999h"})),
            "client 2 (b): client_credentials_grant_access_token_lifespan must be 1 to",
        ),
        (
            hydra_client("b", json!({"created_at": "yesterday"})),
            "client 2 (b): created_at must be a time",
        ),
        (
            hydra_client("b\u{1b}[2J", json!({})),
            "client_id must be 1 to 256 printable ASCII characters",
        ),
    ];
    for (wrong, expected) in cases {
        let text = json!([hydra_client("a", json!({})), wrong]).to_string();
        let error = rejected(&setup, "hydra", &text, &[]);
        assert!(error.contains(expected), "{expected}\n{error}");
        assert!(
            error.contains("so nothing was imported") && !error.contains('\u{1b}'),
            "{error}"
        );
        assert_eq!(imported(&setup), [json!(null); 0], "{expected}");
    }
    let spring = "client_id,client_secret,client_authentication_methods,authorization_grant_types\n";
    let row = format!("a,{SECRET},client_secret_basic,client_credentials\n");
    let error = rejected(&setup, "spring", &format!("{spring}{row}"), &[]);
    assert!(error.contains("line 2 (a): client_secret names no scheme"), "{error}");
    // The others are imported where that is asked for.
    let text = json!([
        hydra_client("a", json!({})),
        hydra_client("b", json!({"created_at": "yesterday"}))
    ])
    .to_string();
    rejected(&setup, "hydra", &text, &["--skip-refused"]);
    assert_eq!(imported(&setup).len(), 1);
}

async fn errors_name_the_line_and_the_field_of_the_export(kind: Kind) {
    let setup = migrated(kind).await;
    let too_slow = HASH.replace("$04$", "$15$");
    let rows = [
        hydra_client("a", json!({})),
        hydra_client("b", json!({"client_secret": too_slow})),
    ];
    let text = format!("{}\n\n{}\n", rows[0], rows[1]);
    let error = rejected(&setup, "hydra", &text, &[]);
    assert!(
        error.contains("line 3 (b): client_secret takes about 1.8 s of a core"),
        "{error}"
    );
    let realm = json!({"clients": [
        {"clientId": "a", "secret": "1234567", "serviceAccountsEnabled": true},
        {"clientId": "b", "secret": format!("{{bcrypt}}{HASH}"), "serviceAccountsEnabled": true},
        {"clientId": "c", "secret": SECRET, "serviceAccountsEnabled": true, "attributes": {"access.token.lifespan": 999_999_999}},
    ]});
    let error = rejected(&setup, "keycloak", &realm.to_string(), &[]);
    for expected in [
        "client 1 (a): secret is a secret in clear of 7 characters",
        "client 2 (b): secret looks like a hash or a tagged password ({bcrypt})",
        "client 3 (c): attributes.access.token.lifespan must be 1 to",
    ] {
        assert!(error.contains(expected), "{expected}\n{error}");
    }
    // An error about a member that was given by hand names that member.
    let error = rejected(
        &setup,
        "hydra",
        &rows[0].to_string(),
        &["--set", "access_token_lifetime=0"],
    );
    assert!(error.contains("(a): access_token_lifetime must be 1 to"), "{error}");
}

async fn bare_carriage_returns_are_rejected_as_in_other_imports(kind: Kind) {
    let setup = migrated(kind).await;
    let export = format!("id,client_secret,grant_types\na,{HASH},client_credentials\rb,{HASH},client_credentials\n");
    let error = rejected(&setup, "hydra", &export, &[]);
    assert!(error.contains("line 2: a line ends in a bare CR"), "{error}");
    let rows = format!("client_id,client_secret_hash\na,{HASH}\rb,{HASH}\n");
    let output = setup.run_with_input(&["client", "import", "-", "--format", "csv"], &rows);
    assert!(
        output.code == 2 && output.stderr.contains("line 2: a line ends in a bare CR"),
        "{}",
        output.stderr
    );
}
