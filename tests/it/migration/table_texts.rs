//! Texts of tables: line ends, and lists within a column.

use oauth2_testkit::Kind;
use serde_json::json;

use super::SECRET;
use super::export_details::{entries, has, translated_text};
use super::invalid_exports::rejected;
use super::side_tables::import;
use crate::cli::{self, migrated};

on_both_stores!(
    errors_name_the_line_of_a_table_with_either_line_end,
    lists_of_hydra_1_are_separated_by_bars,
);

const HASH: &str = "$2a$04$KAgh7nYFo6i/wDWwQu9tIOeP3fSioLuaAaxadxWGj.pRv4HKkqAMK";

async fn errors_name_the_line_of_a_table_with_either_line_end(kind: Kind) {
    let setup = migrated(kind).await;
    let hydra = "id,client_secret,grant_types";
    let spring = "client_id,client_secret,client_authentication_methods,authorization_grant_types";
    let uaa = "client_id,client_secret,authorized_grant_types";
    let tables = [
        (
            "hydra",
            format!("{hydra}\na,{HASH},client_credentials\nb,x,client_credentials\n"),
            "line 3 (b): client_secret is a hash of an unknown scheme",
        ),
        (
            "hydra",
            format!("{hydra}\n\na,{HASH},client_credentials\n\n\nb,x,client_credentials\n"),
            "line 6 (b): client_secret is a hash of an unknown scheme",
        ),
        (
            "hydra",
            format!("{hydra},client_name\na,{HASH},client_credentials,\"one\ntwo\"\nb,x,client_credentials,"),
            "line 4 (b): client_secret is a hash of an unknown scheme",
        ),
        (
            "hydra",
            format!("{hydra}\na,{HASH},client_credentials\nb,{HASH}\n"),
            "line 3: the row has 2 fields, the header 3",
        ),
        (
            "spring",
            format!(
                "{spring}\na,{HASH},client_secret_basic,client_credentials\nb,{SECRET},client_secret_basic,client_credentials\n"
            ),
            "line 3 (b): client_secret names no scheme",
        ),
        (
            "uaa",
            format!("{uaa}\na,{HASH},client_credentials\nb,{SECRET},client_credentials\n"),
            "line 3 (b): client_secret names no scheme",
        ),
    ];
    for (product, table, expected) in tables {
        for text in [table.clone(), table.replace('\n', "\r\n")] {
            let error = rejected(&setup, product, &text, &[]);
            assert!(error.contains(expected), "{text:?}: {expected}\n{error}");
        }
    }
    for end in ["\n", "\r\n"] {
        let files = [
            ("Clients.csv", "Id,ClientId\n1,a\n"),
            ("ClientSecrets.csv", "Id,ClientId,Value\n"),
            (
                "ClientGrantTypes.csv",
                "Id,ClientId,GrantType\n1,1,client_credentials\n",
            ),
            ("ClientScopes.csv", "Id,ClientId,Scope\n1,1,read\n2,,write\n"),
        ];
        let files = files.map(|(name, text)| (name, text.replace('\n', end)));
        let output = import(&setup, "duende", &files, &[]);
        cli::rejected(&output, 2, &["ClientScopes: line 3: ClientId is missing"]);
    }
}

async fn lists_of_hydra_1_are_separated_by_bars(kind: Kind) {
    let setup = migrated(kind).await;
    let header = "id,client_name,client_secret,redirect_uris,grant_types,response_types,scope,audience,contacts,pk";
    let row = |id: &str, grants: &str, audience: &str| {
        format!("{id},Billing,{HASH},https://a/cb|https://b/cb,{grants},code|token,read write,{audience},a@x|b@x,1")
    };
    let rows = [
        row(
            "a",
            "client_credentials|refresh_token",
            "https://api.example|https://billing.example",
        ),
        row("b", "client_credentials", "\"api,eu\""),
        row("c", "authorization_code|refresh_token", ""),
        row("d", "\"[\"\"client_credentials\"\"]\"", "\"[\"\"a|b\"\"]\""),
    ];
    let (translation, records) = translated_text(&setup, "hydra", &format!("{header}\n{}\n", rows.join("\n")), &[]);
    let audiences: Vec<_> = records.iter().map(|record| &record["audience"]).collect();
    let both = json!(["https://api.example", "https://billing.example"]);
    assert_eq!(audiences, [&both, &json!(["api,eu"]), &json!(["a|b"])]);
    assert_eq!(records[0]["scope"], "read write");
    has(&translation, "grant_types", "exactly", "");
    has(
        &translation,
        "grant_types",
        "not",
        "the grant refresh_token is not supported here",
    );
    assert_eq!(entries(&translation, "audience").len(), 1, "{translation:#}");
    let omitted = json!([{
        "client_id": "c",
        "reason": "it may not use client_credentials; it has authorization_code, refresh_token",
    }]);
    assert_eq!(translation["omitted"], omitted);
    // In JSON, a bar is a character like any other.
    let client = json!([{"client_id": "a", "client_secret": SECRET, "grant_types": ["client_credentials"], "audience": ["a|b"]}]);
    let (_, records) = translated_text(&setup, "hydra", &client.to_string(), &[]);
    assert_eq!(records[0]["audience"], json!(["a|b"]));
}
