//! Tables that belong to clients: pages, wrong rows, and rows that give a client no rights.

use std::path::Path;

use oauth2_testkit::{Kind, Output, Setup};
use serde_json::{Value, json};

use super::export_details::{has, translated};
use super::invalid_exports::rejected;
use super::{SECRET, parsed};
use crate::cli::{self, migrated};

on_both_stores!(
    pages_of_a_side_table_are_one_table,
    wrong_rows_of_side_tables_are_rejected_with_their_position,
    wrong_rows_of_other_products_are_rejected,
    settings_of_a_realm_are_read_as_text_too,
    only_enabled_api_resources_are_audiences,
    unread_columns_of_side_tables_are_named,
    mapper_with_the_name_of_a_built_in_one_is_carried_over,
);

/// Imports a directory with these files.
pub(super) fn import(setup: &Setup, product: &str, files: &[(&str, String)], arguments: &[&str]) -> Output {
    let directory = setup.directory().join("tables");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).unwrap();
    for (name, text) in files {
        std::fs::write(directory.join(name), text).unwrap();
    }
    let command = ["client", "import", "--from", product, directory.to_str().unwrap()];
    setup.run(&[&command, arguments].concat())
}

fn records(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::remove_file(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn auth0_client() -> Value {
    json!({"client_id": "a", "client_secret": SECRET, "grant_types": ["client_credentials"]})
}

fn page(start: u64, total: u64, list: &str, entry: &Value) -> Value {
    json!({"start": start, "limit": 1, "total": total, list: [entry]})
}

async fn pages_of_a_side_table_are_one_table(kind: Kind) {
    let setup = migrated(kind).await;
    let out = setup.directory().join("records.jsonl");
    let grant = |audience: &str| json!({"client_id": "a", "audience": audience, "scope": ["read"]});
    let grants = |start: u64, total: u64| page(start, total, "client_grants", &grant(&format!("https://{start}")));
    let clients = page(0, 1, "clients", &auth0_client()).to_string();
    let files = |pages: &[Value]| {
        let pages: String = pages.iter().map(ToString::to_string).collect();
        [("clients.json", clients.clone()), ("client-grants.json", pages)]
    };
    let arguments = ["--records-out", out.to_str().unwrap()];
    let output = import(&setup, "auth0", &files(&[grants(0, 2), grants(1, 2)]), &arguments);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let record = &records(&out)[0];
    assert_eq!(
        (&record["audience"], &record["scope"]),
        (&json!(["https://0", "https://1"]), &json!("read"))
    );
    for (pages, expected) in [
        (vec![grants(0, 3), grants(1, 3)], "has 2 of 3 entries (total)"),
        (vec![grants(0, 2), grants(0, 2)], "has the same page twice"),
        (vec![grants(0, 2), json!([grant("b")])], "must be an object"),
    ] {
        let output = import(&setup, "auth0", &files(&pages), &arguments);
        cli::rejected(&output, 2, &["client-grants", expected]);
    }
}

async fn wrong_rows_of_side_tables_are_rejected_with_their_position(kind: Kind) {
    let setup = migrated(kind).await;
    let grant = json!({"client_id": "a", "audience": "https://a", "scope": ["read"]});
    let of = |table: &str, value: Value| {
        let mut export = json!({"clients": [auth0_client()], "client_grants": [grant]});
        export[table] = value;
        export.to_string()
    };
    for (product, export, expected) in [
        (
            "auth0",
            of(
                "client_grants",
                json!([grant, {"clientId": "a", "audience": "https://a", "scope": []}]),
            ),
            "client_grants: entry 2: client_id is missing",
        ),
        (
            "auth0",
            of("client_grants", json!([{"client_id": "a", "scope": ["r"]}])),
            "client_grants: entry 1: audience is missing",
        ),
        (
            "auth0",
            of(
                "client_grants",
                json!([{"client_id": "a", "audience": "b", "scope": ["r", 5]}]),
            ),
            "client_grants: entry 1: scope must be a list of strings",
        ),
        (
            "auth0",
            of("client_grants", json!([7])),
            "client_grants: entry 1: must be an object",
        ),
        (
            "auth0",
            of("resource_servers", json!({"identifier": "https://a"})),
            "resource_servers must be a list of objects",
        ),
        (
            "auth0",
            of(
                "resource_servers",
                json!([{"identifier": "https://a", "token_lifetime": "soon"}]),
            ),
            "resource_servers: entry 1: token_lifetime must be an integer",
        ),
        (
            "auth0",
            of(
                "resource_servers",
                json!([{"identifier": "https://a", "scopes": ["read"]}]),
            ),
            "resource_servers: entry 1: scopes must be a list of objects",
        ),
    ] {
        let error = rejected(&setup, product, &export, &[]);
        assert!(error.contains(expected), "{expected}\n{error}");
    }
}

async fn wrong_rows_of_other_products_are_rejected(kind: Kind) {
    let setup = migrated(kind).await;
    let duende = |table: &str, row: Value| {
        let client = json!({"Id": 1, "ClientId": "a"});
        let mut export = json!({"Clients": [client], "ClientSecrets": [], "ClientScopes": [], "ClientGrantTypes": []});
        export[table] = json!([row]);
        export.to_string()
    };
    let keycloak = |name: &str, value: Value| {
        let mut realm = json!({"clients": [{"clientId": "a", "secret": SECRET, "serviceAccountsEnabled": true}]});
        realm[name] = value;
        realm.to_string()
    };
    for (product, export, expected) in [
        (
            "duende",
            duende("ClientScopes", json!({"Scope": "a"})),
            "ClientScopes: entry 1: ClientId is missing",
        ),
        (
            "duende",
            duende("ClientScopes", json!({"Scope": 5, "ClientId": 1})),
            "(a): ClientScopes.Scope must be a string",
        ),
        (
            "keycloak",
            keycloak("accessTokenLifespan", json!("soon")),
            "accessTokenLifespan must be an integer",
        ),
        (
            "keycloak",
            keycloak("defaultSignatureAlgorithm", json!(["RS256"])),
            "defaultSignatureAlgorithm must be a string",
        ),
        (
            "keycloak",
            keycloak("clientScopes", json!([{"protocolMappers": []}])),
            "clientScopes: entry 1: name is missing",
        ),
        (
            "keycloak",
            keycloak("clientScopes", json!([{"name": "a", "protocolMappers": {}}])),
            "clientScopes: entry 1: protocolMappers must be a list of objects",
        ),
        (
            "cognito",
            json!({"clients": [{"ClientId": "a"}], "ResourceServers": [{"Name": "b"}]}).to_string(),
            "ResourceServers: entry 1: Identifier is missing",
        ),
    ] {
        let error = rejected(&setup, product, &export, &[]);
        assert!(error.contains(expected), "{expected}\n{error}");
    }
}

async fn settings_of_a_realm_are_read_as_text_too(kind: Kind) {
    let setup = migrated(kind).await;
    let realm = json!({
        "accessTokenLifespan": "300",
        "clients": [{"clientId": "a", "secret": SECRET, "serviceAccountsEnabled": true, "defaultClientScopes": ["hidden"]}],
        "clientScopes": [{"name": "hidden", "attributes": {"include.in.token.scope": false}}],
    });
    let (_, records) = translated(&setup, "keycloak", &realm, &[]);
    assert_eq!(
        (&records[0]["access_token_lifetime"], &records[0]["scope"]),
        (&json!(300), &Value::Null)
    );
}

fn duende_client() -> Value {
    json!({
        "ClientId": "a", "Id": 1, "AllowedGrantTypes": ["client_credentials"], "AllowedScopes": ["read", "write"],
        "ClientSecrets": [{"Value": "mSwp4etxD1fZ6ef1pVNQZ9lxivj0OuXGV5p2NkpMv5g=", "Description": "of 2025"}],
    })
}

async fn only_enabled_api_resources_are_audiences(kind: Kind) {
    let setup = migrated(kind).await;
    let api = |id: u64, name: &str, more: Value| {
        let mut api = json!({"Id": id, "Name": name, "Enabled": true});
        api.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        api
    };
    let export = json!({
        "Clients": [duende_client()],
        "ApiResources": [
            api(1, "https://gone", json!({"Enabled": false})), api(2, "https://indicated", json!({"RequireResourceIndicator": true})),
            api(3, "https://api", json!({"AllowedAccessTokenSigningAlgorithms": "ES256", "Invented": 1})),
        ],
        "ApiResourceScopes": [
            {"Scope": "read", "ApiResourceId": 1}, {"Scope": "read", "ApiResourceId": 2}, {"Scope": "write", "ApiResourceId": 3},
            {"Scope": "write", "ApiResourceId": 1},
        ],
    });
    let (translation, records) = translated(&setup, "duende", &export, &[]);
    assert_eq!(records[0]["audience"], json!(["https://api", "https://indicated"]));
    for (field, reason) in [
        ("ApiResources.Enabled", "https://gone is disabled"),
        (
            "ApiResources.RequireResourceIndicator",
            "https://indicated is the audience only of requests",
        ),
        ("ApiResources.AllowedAccessTokenSigningAlgorithms", "--set signing_alg"),
        ("ApiResources.Invented", "unknown to this version"),
    ] {
        has(&translation, field, "not", reason);
    }
}

async fn unread_columns_of_side_tables_are_named(kind: Kind) {
    let setup = migrated(kind).await;
    let export = json!({
        "Clients": [{"ClientId": "a", "Id": 1, "AllowedScopes": ["read"]}],
        "ClientGrantTypes": [{"Id": 1, "ClientId": 1, "GrantType": "client_credentials", "Novelty": "x"}],
        "ClientSecrets": [{"Id": 1, "ClientId": 1, "Value": "mSwp4etxD1fZ6ef1pVNQZ9lxivj0OuXGV5p2NkpMv5g=", "Description": "of 2025"}],
        "ClientClaims": [{"Id": 1, "ClientId": 1, "Type": "tenant", "Value": "acme", "Issuer": "x"}],
        "ApiResources": [], "ApiResourceScopes": [],
    });
    let (translation, _) = translated(&setup, "duende", &export, &[]);
    for (field, reason) in [
        ("ClientGrantTypes.Novelty", "unknown to this version"),
        ("ClientSecrets.Description", "not kept"),
        ("ClientClaims.Issuer", "unknown to this version"),
    ] {
        has(&translation, field, "not", reason);
    }
}

async fn mapper_with_the_name_of_a_built_in_one_is_carried_over(kind: Kind) {
    let setup = migrated(kind).await;
    let claim = json!({"claim.name": "tier", "claim.value": "gold", "jsonType.label": "String"});
    let mapper = |kind: &str, config: &Value| json!({"name": "realm roles", "protocolMapper": kind, "config": config});
    for (kind, claims) in [
        ("oidc-hardcoded-claim-mapper", json!({"tier": "gold"})),
        ("oidc-usermodel-realm-role-mapper", Value::Null),
    ] {
        let realm = json!({
            "clients": [{"clientId": "a", "secret": SECRET, "serviceAccountsEnabled": true, "defaultClientScopes": ["roles"]}],
            "clientScopes": [{"name": "roles", "protocolMappers": [mapper(kind, &claim)]}],
        });
        let (translation, records) = translated(&setup, "keycloak", &realm, &[]);
        assert_eq!(records[0]["claims"], claims, "{kind}");
        assert!(!translation.to_string().contains("realm roles"), "{translation:#}");
    }
    assert_eq!(parsed(&setup.run(&["client", "list", "--json"]))["items"], json!([]));
}
