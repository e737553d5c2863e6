//! Tables without which clients would lose something, and rows that belong to no client.

use oauth2_testkit::Kind;
use serde_json::{Value, json};

use super::SECRET;
use super::export_details::{entries, has, translated};
use super::invalid_exports::rejected;
use super::parsed;
use super::side_tables::import;
use crate::cli::{self, migrated};

on_both_stores!(missing_tables_are_named, rows_of_unknown_clients_are_named,);

const SHA256: &str = "mSwp4etxD1fZ6ef1pVNQZ9lxivj0OuXGV5p2NkpMv5g=";

/// The tables of a client of Duende `IdentityServer`.
fn tables() -> [(&'static str, String); 4] {
    [
        ("Clients.csv", "Id,ClientId\n1,a\n".to_owned()),
        ("ClientSecrets.csv", format!("Id,ClientId,Value\n1,1,{SHA256}\n")),
        ("ClientScopes.csv", "Id,ClientId,Scope\n1,1,read\n".to_owned()),
        (
            "ClientGrantTypes.csv",
            "Id,ClientId,GrantType\n1,1,client_credentials\n".to_owned(),
        ),
    ]
}

async fn missing_tables_are_named(kind: Kind) {
    let setup = migrated(kind).await;
    for missing in 1..4 {
        let table = tables()[missing].0.trim_end_matches(".csv");
        let others: Vec<_> = tables()
            .into_iter()
            .filter(|(name, _)| !name.starts_with(table))
            .collect();
        let output = import(&setup, "duende", &others, &["--dry-run"]);
        cli::rejected(&output, 2, &[&format!("has no table {table}: "), "are required"]);
        // With a wrong name.
        let singular = format!("{}.csv", table.trim_end_matches('s'));
        let mut renamed = tables();
        renamed[missing].0 = &singular;
        let output = import(&setup, "duende", &renamed, &["--dry-run"]);
        let unread = format!("not read: {}", singular.trim_end_matches(".csv"));
        cli::rejected(&output, 2, &[&format!("has no table {table}: "), &unread]);
    }
    let error = rejected(&setup, "duende", &tables()[0].1, &[]);
    assert!(error.contains("has no table ClientSecrets: "), "{error}");
    let document = json!({"Clients": [{"Id": 1, "ClientId": "a"}], "ClientSecrets": [], "ClientGrantTypes": []});
    let error = rejected(&setup, "duende", &document.to_string(), &[]);
    assert!(error.contains("has no table ClientScopes: "), "{error}");
    let output = import(&setup, "duende", &tables(), &["--dry-run", "--json"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
}

async fn rows_of_unknown_clients_are_named(kind: Kind) {
    let setup = migrated(kind).await;
    let mut tables = tables();
    for (_, text) in &mut tables[1..] {
        let row = text.lines().nth(1).unwrap().replacen("1,1,", "2,77,", 1);
        text.extend([row.as_str(), "\n"]);
    }
    let output = import(&setup, "duende", &tables, &["--dry-run", "--json"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let translation = parsed(&output)["translation"].clone();
    for table in ["ClientSecrets", "ClientScopes", "ClientGrantTypes"] {
        has(
            &translation,
            table,
            "not",
            "its ClientId is the Id of no client of the export",
        );
        let named =
            |field: &Value| field["field"] == table && field["example"] == "ClientId 77" && field["clients"] == 1;
        assert!(
            translation["fields"].as_array().unwrap().iter().any(named),
            "{translation:#}"
        );
    }
    let client = json!({"client_id": "a", "client_secret": SECRET, "grant_types": ["client_credentials"]});
    let grant = |client: &str| json!({"client_id": client, "audience": "https://a", "scope": []});
    let export = json!({"clients": [client], "client_grants": [grant("a"), grant("lost")], "resource_servers": []});
    let (translation, _) = translated(&setup, "auth0", &export, &[]);
    has(
        &translation,
        "client_grants",
        "not",
        "a grant of a client that is not in the export",
    );
    assert_eq!(entries(&translation, "client_grants").len(), 1, "{translation:#}");
}
