//! A store with rows of the first schema version is migrated without losing any.

use oauth2_store::model::KeyAlgorithm;

use crate::fixture::{Fixture, revocations_since};

on_both!(first_schema_version_is_upgraded);

/// Rows of the first schema version, with placeholders for literals that differ between the databases.
const ROWS: &str = "
    INSERT INTO client_secrets (client_id, hash) VALUES ('ci', HASH);
    INSERT INTO tokens (jti, expires_at, client_id, scope, aud, format) VALUES (JTI, LATER, 'ci', 'read', 'https://a.example', 1);
    INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at) VALUES ('client', 'ci', 1700000000000, LATER);
    INSERT INTO signing_keys (kid, algorithm, public_key, sealed_private_key, created_at)
        VALUES ('k1', 'v4.public', HASH, 'sealed', NOW), ('k2', 'EdDSA', HASH, 'sealed', NOW);
    INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
        VALUES (NOW, 'admin', 'client.create', 'client', 'ci', '{}');";

const HISTORY: &str = "CREATE TABLE refinery_schema_history
    (version INT4 PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), checksum VARCHAR(255));";

fn rows(kind: &str) -> String {
    let bytes = "07".repeat(32);
    let jti = "01990000000070008000000000000001";
    if kind == "postgres" {
        let client =
            "INSERT INTO clients VALUES ('ci', 'CI', '{client_credentials}', 'read', NULL, NULL, '{}', '{}', NULL, 60,
            false, NOW, NOW, 3);";
        format!("{client}{ROWS}")
            .replace("HASH", &format!("'\\x{bytes}'"))
            .replace("JTI", &format!("'{jti}'"))
            .replace("LATER", "to_timestamp(1900000000)")
            .replace("NOW", "to_timestamp(1700000000)")
    } else {
        let client = "INSERT INTO clients VALUES ('ci', 'CI', '[\"client_credentials\"]', 'read', NULL, NULL, '[]', '[]', NULL, 60,
            0, NOW, NOW, 3);";
        format!("{client}{ROWS}")
            .replace("HASH", &format!("x'{bytes}'"))
            .replace("JTI", &format!("x'{jti}'"))
            .replace("LATER", "1900000000")
            .replace("NOW", "1700000000")
    }
}

/// Creates the schema, rows and history of the first schema version.
async fn create_first_version(f: &Fixture, newest: &Fixture) {
    const FIRST: &str = "SELECT name, applied_on, checksum FROM refinery_schema_history WHERE version = 1";
    let (schema, row): (_, [String; 3]) = if f.store.kind() == "postgres" {
        let row = oauth2_testkit::postgres::connect(newest.url())
            .await
            .query_one(FIRST, &[])
            .await
            .unwrap();
        let schema = include_str!("../../../migrations/postgres/V1__initial.sql");
        (schema, [row.get(0), row.get(1), row.get(2)])
    } else {
        let connection = rusqlite::Connection::open(newest.path()).unwrap();
        let row = connection
            .query_row(FIRST, [], |r| Ok([r.get(0)?, r.get(1)?, r.get(2)?]))
            .unwrap();
        (include_str!("../../../migrations/sqlite/V1__initial.sql"), row)
    };
    let history = format!(
        "INSERT INTO refinery_schema_history VALUES (1, '{}', '{}', '{}');",
        row[0], row[1], row[2]
    );
    f.execute(&format!("{schema}{HISTORY}{history}{}", rows(f.store.kind())))
        .await;
}

async fn first_schema_version_is_upgraded(kind: &str) {
    let (f, newest) = (Fixture::empty(kind).await, Fixture::migrated(kind).await);
    create_first_version(&f, &newest).await;
    assert_eq!(f.store.schema_version().await.unwrap(), Some(1));
    assert!(f.store.migrate().await.unwrap() > 0);
    assert_eq!(
        f.store.schema_version().await.unwrap(),
        Some(f.store.required_schema_version())
    );

    let client = f.store.client("ci").await.unwrap().unwrap();
    assert_eq!(
        (client.access_token_lifetime, client.version, client.secrets.len()),
        (Some(60), 3, 1)
    );
    assert_eq!((client.secrets[0].id(), client.policy), (&[7; 32], None));
    let keys = f.store.keys().await.unwrap();
    let algorithms: Vec<_> = keys.iter().map(|key| key.algorithm).collect();
    assert_eq!(algorithms, [KeyAlgorithm::PasetoV4Public, KeyAlgorithm::EdDsa]);
    let tokens = f.store.list_tokens("ci", 1_700_000_000, None, 10).await.unwrap();
    assert_eq!(tokens.items.len(), 1);
    let (revocations, _) = revocations_since(&f.store, oauth2_store::LogPosition::default()).await;
    assert_eq!(revocations.len(), 1);
}
