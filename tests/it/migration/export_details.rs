//! Details of exports that would change what a client may do, or that nobody would miss until after the switch.

use oauth2_testkit::{Kind, Setup};
use serde_json::{Value, json};

use super::invalid_exports::rejected;
use super::{SECRET, hydra_client, parsed};
use crate::cli::migrated;
use crate::setup;

on_both_stores!(
    mappers_of_client_scopes_are_carried_over_or_named,
    client_grants_of_users_give_machines_nothing,
    what_nobody_read_is_named,
    pages_of_a_list_are_rejected,
    empty_claim_prefix_means_no_prefix,
    settings_that_the_export_lacks_are_named_and_can_be_given,
    expired_secrets_are_not_carried_over,
    table_of_hashes_has_no_secrets_in_clear,
    times_are_read_with_their_zone,
);

/// Translates an export. Returns what is reported, and the records.
pub(super) fn translated(setup: &Setup, product: &str, export: &Value, arguments: &[&str]) -> (Value, Vec<Value>) {
    translated_text(setup, product, &export.to_string(), arguments)
}

pub(super) fn translated_text(setup: &Setup, product: &str, export: &str, arguments: &[&str]) -> (Value, Vec<Value>) {
    let (file, out) = (
        setup.directory().join("export.json"),
        setup.directory().join("records.jsonl"),
    );
    std::fs::write(&file, export).unwrap();
    let _ = std::fs::remove_file(&out);
    let (file, out_path) = (file.to_str().unwrap(), out.to_str().unwrap());
    let command = [
        "client",
        "import",
        "--from",
        product,
        file,
        "--json",
        "--records-out",
        out_path,
    ];
    let output = setup.run(&[&command, arguments].concat());
    assert_eq!((output.code, &*output.stderr), (0, ""), "{product}");
    let records = std::fs::read_to_string(&out).unwrap();
    let records = records.lines().map(|line| serde_json::from_str(line).unwrap());
    (parsed(&output)["translation"].clone(), records.collect())
}

/// The entries of a field: how they were carried over, and why.
pub(super) fn entries(translation: &Value, field: &str) -> Vec<(String, String)> {
    let fields = translation["fields"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = fields.filter(|entry| entry["field"] == field);
    of.map(|entry| (text(&entry["carried"]), text(&entry["reason"])))
        .collect()
}

pub(super) fn has(translation: &Value, field: &str, carried: &str, reason: &str) {
    let found = entries(translation, field);
    let matches = |(of, why): &(String, String)| of == carried && why.contains(reason);
    assert!(found.iter().any(matches), "{field}: {found:?} in {translation:#}");
}

const LIFETIME: &str = "client_credentials_grant_access_token_lifespan";

async fn mappers_of_client_scopes_are_carried_over_or_named(kind: Kind) {
    let setup = migrated(kind).await;
    let mapper =
        |name: &str, kind: &str, config: Value| json!({"name": name, "protocolMapper": kind, "config": config});
    let audience = |name: &str| mapper("aud", "oidc-audience-mapper", json!({"included.custom.audience": name}));
    let claim = json!({"claim.name": "tier", "claim.value": "gold", "jsonType.label": "String"});
    let realm = json!({
        "accessTokenLifespan": 600,
        "clients": [{
            "clientId": "a", "secret": SECRET, "serviceAccountsEnabled": true, "protocolMappers": [audience("https://a")],
            "defaultClientScopes": ["basic", "team"], "optionalClientScopes": ["extra"],
        }],
        "clientScopes": [
            {"name": "basic", "attributes": {"include.in.token.scope": "false"},
                "protocolMappers": [mapper("sub", "oidc-sub-mapper", json!({}))]},
            {"name": "team", "protocolMappers": [
                audience("https://a"), mapper("department", "oidc-usermodel-attribute-mapper", json!({})), audience("https://a")]},
            {"name": "extra", "protocolMappers": [audience("https://b"), mapper("tier", "oidc-hardcoded-claim-mapper", claim)]},
        ],
    });
    let (translation, records) = translated(&setup, "keycloak", &realm, &[]);
    assert_eq!(records[0]["audience"], json!(["https://a", "https://b"]));
    assert_eq!(records[0]["claims"], json!({"tier": "gold"}));
    let field = "protocolMappers department (client scope team)";
    has(
        &translation,
        field,
        "not",
        "oidc-usermodel-attribute-mapper has no counterpart",
    );
    has(
        &translation,
        "protocolMappers oidc-hardcoded-claim-mapper",
        "approximately",
        "optional client scopes",
    );
    has(
        &translation,
        "defaultClientScopes, optionalClientScopes",
        "approximately",
        "optional ones on request",
    );
    assert!(!translation.to_string().contains("oidc-sub-mapper"), "{translation:#}");
}

async fn client_grants_of_users_give_machines_nothing(kind: Kind) {
    let setup = migrated(kind).await;
    let grant = |audience: &str, more: Value| {
        let mut grant = json!({"client_id": "a", "audience": audience, "scope": []});
        grant.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        grant
    };
    let export = json!({
        "clients": [{"client_id": "a", "client_secret": SECRET, "grant_types": ["client_credentials"]}],
        "client_grants": [
            grant("https://a", json!({"scope": ["delete:everything"], "subject_type": "user"})),
            grant("https://a", json!({"scope": ["read"], "subject_type": "client", "organization_usage": "require"})),
            grant("https://a", json!({"scope": ["write"]})),
            grant("https://b", json!({"allow_all_scopes": true})),
            grant("https://unknown", json!({"allow_all_scopes": true, "novelty": 1})),
        ],
        "resource_servers": [
            {"identifier": "https://a", "token_dialect": "rfc9068_profile_authz", "enforce_policies": true, "token_lifetime": 60},
            {"identifier": "https://b", "scopes": [{"value": "list"}, {"value": "count"}], "token_lifetime": 60,
                "token_encryption": {"format": "compact-nested-jwe"}},
        ],
    });
    let (translation, records) = translated(&setup, "auth0", &export, &[]);
    assert_eq!(records[0]["scope"], "read write list count");
    assert_eq!(
        records[0]["audience"],
        json!(["https://a", "https://b", "https://unknown"])
    );
    for (field, reason) in [
        ("client_grants.subject_type", "grants to act for users"),
        ("client_grants.organization_usage", "no organizations"),
        ("client_grants.allow_all_scopes", "its scopes are missing"),
        ("client_grants.novelty", "unknown to this version"),
        ("resource_servers.token_dialect", "permissions"),
        ("resource_servers.enforce_policies", "no roles"),
        ("resource_servers.token_encryption", "not encrypted"),
    ] {
        has(&translation, field, "not", reason);
    }
}

async fn what_nobody_read_is_named(kind: Kind) {
    let setup = migrated(kind).await;
    let client = json!({"clientId": "a", "secret": SECRET, "serviceAccountsEnabled": true});
    let realm = json!({"clients": [client], "roles": {"realm": []}, "users": []});
    let (translation, _) = translated(&setup, "keycloak", &realm, &[]);
    assert_eq!(translation["unread"], json!(["roles", "users"]));
    let directory = setup.directory().join("tables");
    std::fs::create_dir(&directory).unwrap();
    let clients = json!([{"client_id": "a", "client_secret": SECRET, "grant_types": ["client_credentials"]}]);
    std::fs::write(directory.join("clients.json"), clients.to_string()).unwrap();
    std::fs::write(directory.join("rules.json"), "[]").unwrap();
    let output = setup.run(&[
        "client",
        "import",
        "--from",
        "auth0",
        directory.to_str().unwrap(),
        "--dry-run",
    ]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("not read: rules\n"), "{}", output.stdout);
}

async fn pages_of_a_list_are_rejected(kind: Kind) {
    let setup = migrated(kind).await;
    let client = json!({"client_id": "a", "client_secret": SECRET, "grant_types": ["client_credentials"]});
    let of_uaa = json!({"client_id": "a", "authorized_grant_types": ["client_credentials"]});
    for (product, export, expected) in [
        (
            "hydra",
            json!({"items": [client], "next_page_token": "x"}),
            "it has next_page_token: export all pages",
        ),
        (
            "uaa",
            json!({"resources": [of_uaa], "totalResults": 2}),
            "has 1 of 2 entries (totalResults)",
        ),
        (
            "auth0",
            json!({"start": 0, "total": 51, "clients": [client]}),
            "has 1 of 51 entries (total)",
        ),
    ] {
        let error = rejected(&setup, product, &export.to_string(), &[]);
        assert!(error.contains(expected), "{error}");
    }
    // Pages that were written one after the other are one list.
    let mut second = client.clone();
    second["client_id"] = "b".into();
    let (_, records) = translated_text(&setup, "auth0", &format!("[{client}]\n[{second}]\n"), &[]);
    assert_eq!(records.len(), 2);
}

async fn empty_claim_prefix_means_no_prefix(kind: Kind) {
    let setup = migrated(kind).await;
    let client = |id: &str, more: Value| {
        let mut client = json!({
            "ClientId": id, "AllowedGrantTypes": ["client_credentials"], "Claims": [{"Type": "tenant", "Value": "acme"}],
            "ClientSecrets": [{"Value": "mSwp4etxD1fZ6ef1pVNQZ9lxivj0OuXGV5p2NkpMv5g="}],
        });
        client
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        client
    };
    let export = json!({"Clients": [client("a", json!({"ClientClaimsPrefix": ""})), client("b", json!({}))]});
    let (_, records) = translated(&setup, "duende", &export, &[]);
    assert_eq!(records[0]["claims"], json!({"tenant": "acme"}));
    assert_eq!(records[1]["claims"], json!({"client_tenant": "acme"}));
}

async fn settings_that_the_export_lacks_are_named_and_can_be_given(kind: Kind) {
    let setup = migrated(kind).await;
    let export = json!([
        hydra_client("a", json!({})),
        hydra_client("b", json!({LIFETIME: "5m0s", "access_token_strategy": "jwt"}))
    ]);
    let (translation, _) = translated(&setup, "hydra", &export, &[]);
    has(&translation, LIFETIME, "not", "ttl.access_token");
    has(&translation, "access_token_strategy", "not", "strategies.access_token");
    let arguments = [
        "--set-default",
        "access_token_lifetime=3600",
        "--set-default",
        "token_format=opaque",
        "--set",
        "signing_alg=ES256",
    ];
    let (translation, records) = translated(&setup, "hydra", &export, &arguments);
    let of = |index: usize| {
        (
            &records[index]["access_token_lifetime"],
            &records[index]["token_format"],
        )
    };
    assert_eq!(of(0), (&json!(3600), &json!("opaque")));
    assert_eq!(of(1), (&json!(300), &json!("jwt")));
    has(&translation, "--set-default", "set", "the export does not have it");
    has(&translation, "--set", "set", "instead of the value of the export");
    for (product, client, field) in [
        (
            "uaa",
            json!({"client_id": "a", "authorized_grant_types": ["client_credentials"]}),
            "access_token_validity",
        ),
        (
            "spring",
            json!({"client_id": "a", "authorization_grant_types": "client_credentials"}),
            "token_settings.settings.token.access-token-time-to-live",
        ),
        ("auth0", hydra_client("a", json!({})), "client_grants"),
    ] {
        let (translation, _) = translated(&setup, product, &json!([client]), &[]);
        assert_eq!(entries(&translation, field)[0].0, "not", "{product}: {translation:#}");
    }
}

async fn expired_secrets_are_not_carried_over(kind: Kind) {
    let setup = migrated(kind).await;
    let client = |id: &str, attributes: Value| json!({"clientId": id, "secret": SECRET, "serviceAccountsEnabled": true, "attributes": attributes});
    let realm = json!({"clients": [
        client("past", json!({"client.secret.expiration.time": "1700000000"})),
        client("future", json!({"client.secret.expiration.time": "4000000000", "client.secret.rotated": SECRET,
            "client.secret.rotated.expiration.time": "1700000000"})),
        client("rotated", json!({"client.secret.rotated": "another-secret-of-the-same-client"})),
    ]});
    let (translation, records) = translated(&setup, "keycloak", &realm, &[]);
    let omitted = json!([{"client_id": "past", "reason": "its secret has expired"}]);
    assert_eq!(translation["omitted"], omitted);
    assert_eq!(records[0]["previous_secrets"], Value::Null);
    has(&translation, "attributes.client.secret.rotated", "not", "expired");
    has(
        &translation,
        "attributes.client.secret.rotated",
        "approximately",
        "30 days after the import, on 2",
    );
    let secret = json!({"Value": "mSwp4etxD1fZ6ef1pVNQZ9lxivj0OuXGV5p2NkpMv5g=", "Expiration": "2020-01-01T00:00:00Z"});
    let lapsed = json!({"ClientId": "lapsed", "AllowedGrantTypes": ["client_credentials"], "ClientSecrets": [secret]});
    let (translation, records) = translated(&setup, "duende", &json!({"Clients": [lapsed]}), &[]);
    assert_eq!(translation["omitted"][0]["reason"], "its secrets have expired");
    assert_eq!(records.len(), 0);
}

async fn table_of_hashes_has_no_secrets_in_clear(kind: Kind) {
    let setup = migrated(kind).await;
    let hash = "$2x$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";
    let error = rejected(
        &setup,
        "hydra",
        &format!("id,client_secret,grant_types\na,{hash},\"[\"\"client_credentials\"\"]\"\n"),
        &[],
    );
    assert!(
        error.contains("line 2 (a): client_secret is a hash of an unknown scheme"),
        "{error}"
    );
    assert!(!error.contains(hash), "{error}");
}

async fn times_are_read_with_their_zone(kind: Kind) {
    let setup = migrated(kind).await;
    let secret = |value: &str, more: Value| {
        let mut secret = json!({"Value": value});
        secret
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        secret
    };
    let (first, second) = (
        "mSwp4etxD1fZ6ef1pVNQZ9lxivj0OuXGV5p2NkpMv5g=",
        "647OTfSoGGpz3xWQuLjKZyTZb0gSjypX6Bd87u0Q7b4=",
    );
    let client = json!({"ClientId": "a", "AllowedGrantTypes": ["client_credentials"], "ClientSecrets": [
        secret(first, json!({})), secret(second, json!({"Expiration": "2127-01-01 10:00:00.5-05"})),
    ]});
    let (_, records) = translated(&setup, "duende", &json!({"Clients": [client]}), &[]);
    // 15:00 UTC.
    assert_eq!(records[0]["previous_secrets"][0]["expires_at"], 4_954_489_200_i64);
}

#[tokio::test]
async fn dry_run_creates_no_database() {
    let setup = setup(Kind::Sqlite).await;
    let client = json!({"client_id": "a", "client_secret": SECRET, "grant_types": ["client_credentials"]});
    let file = setup.directory().join("export.json");
    std::fs::write(&file, json!([client]).to_string()).unwrap();
    let command = ["client", "import", "--from", "oidc-provider", file.to_str().unwrap()];
    let output = setup.run(&[&command[..], &["--dry-run"]].concat());
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("1 rows are valid"), "{}", output.stdout);
    let data = setup.directory().join("data");
    let files = std::fs::read_dir(&data).map_or(0, Iterator::count);
    assert_eq!(files, 0, "{} has files", data.display());
}

#[tokio::test]
async fn import_before_the_first_start_names_the_missing_key() {
    let setup = setup(Kind::Sqlite).await;
    let client = json!({"client_id": "a", "client_secret": SECRET, "grant_types": ["client_credentials"]});
    let file = setup.directory().join("export.json");
    std::fs::write(&file, json!([client]).to_string()).unwrap();
    let command = ["client", "import", "--from", "oidc-provider", file.to_str().unwrap()];
    let settings = ["--set", "token_format=jwt", "--set", "signing_alg=RS256"];
    let output = setup.run(&[&command[..], &settings].concat());
    assert_eq!(output.code, 3, "{}", output.stdout);
    assert!(
        output.stderr.contains("no key can be made for RS256") && output.stderr.contains("start the server once"),
        "{}",
        output.stderr
    );
    assert_eq!(parsed(&setup.run(&["client", "list", "--json"]))["items"], json!([]));
}
