//! Files of products that an import does not read: the error names the file to give.

use oauth2_testkit::Kind;
use serde_json::{Value, json};

use super::invalid_exports::rejected;
use super::side_tables::import;
use super::{SECRET, parsed};
use crate::cli::{self, migrated};

on_both_stores!(
    only_realm_of_a_directory_of_keycloak_is_read,
    other_files_of_products_are_named,
);

fn realm(name: &str) -> Value {
    let client = json!({"clientId": "a", "secret": SECRET, "serviceAccountsEnabled": true});
    json!({"realm": name, "accessTokenLifespan": 300, "clients": [client]})
}

async fn only_realm_of_a_directory_of_keycloak_is_read(kind: Kind) {
    let setup = migrated(kind).await;
    let users = json!({"realm": "acme", "users": []}).to_string();
    let files = [
        ("acme-realm.json", realm("acme").to_string()),
        ("acme-users-0.json", users),
        ("master-realm.json", realm("master").to_string()),
    ];
    let output = import(&setup, "keycloak", &files[..2], &["--dry-run", "--json"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let translation = &parsed(&output)["translation"];
    let unread = translation["unread"].as_array().unwrap();
    assert!(unread.contains(&json!("acme-users-0")), "{translation:#}");
    let output = import(&setup, "keycloak", &files, &["--dry-run"]);
    let expected = "has 2 realms: give one of the files acme-realm.json, master-realm.json";
    cli::rejected(&output, 2, &[expected]);
}

async fn other_files_of_products_are_named(kind: Kind) {
    let setup = migrated(kind).await;
    for (product, text, expected) in [
        (
            "keycloak",
            json!([realm("master"), realm("acme")]).to_string(),
            "is an export of all realms (master, acme): export one of them with kc.sh export --realm REALM --file FILE",
        ),
        (
            "keycloak",
            json!([realm("acme")]).to_string(),
            "is an export of all realms (acme)",
        ),
        (
            "auth0",
            "tenant:\n  friendly_name: Acme\nclients:\n  - name: Billing\n    client_id: a\n".to_owned(),
            "is YAML, which is not read: give JSON or CSV",
        ),
        (
            "hydra",
            "---\nclients: []\n".to_owned(),
            "is YAML, which is not read: give JSON or CSV",
        ),
    ] {
        let error = rejected(&setup, product, &text, &[]);
        assert!(error.contains(expected), "{expected}\n{error}");
    }
}
