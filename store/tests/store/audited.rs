//! What audit rows say, and that they are found, on every backend.

use oauth2_store::StoreError;
use oauth2_store::model::{AuditEntry, AuditFilter, KeyAlgorithm, KeyRevocation};
use serde_json::{Value, json};

use crate::fixture::{Fixture, NOW, audit, client, jti, key};

on_both!(
    issued_tokens_are_found_whatever_the_time_of_their_row,
    rotation_of_a_changed_client_is_rejected,
    revoked_key_names_the_key_that_signs_instead,
);

fn detailed(action: &'static str, detail: Value) -> AuditEntry {
    AuditEntry {
        detail,
        ..audit(action)
    }
}

async fn issued_tokens_are_found_whatever_the_time_of_their_row(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let mut issued = Vec::new();
    // Ids ahead of a clock that was set back, and behind one that was set forward.
    for days in [-400, -2, 0, 2, 400] {
        let (one, other) = (jti(NOW + days * 86_400), jti(NOW + days * 86_400));
        let entry = detailed("token.issue", json!({"client_id": "ci", "jtis": [one, other]}));
        f.store.record_audit(&entry, "client", "ci", NOW).await.unwrap();
        issued.push((days, one));
    }
    let other = detailed("change.rejected", json!({"request": issued[2].1.to_string()}));
    f.store.record_audit(&other, "client", "ci", NOW).await.unwrap();
    for (days, issued) in issued {
        let filter = AuditFilter {
            jti: Some(issued),
            ..AuditFilter::default()
        };
        let found = f.matching_audit_rows(&filter, 1).await;
        assert_eq!(found.len(), 1, "{days} days: {found:?}");
        assert_eq!(found[0].detail["jtis"][0], issued.to_string());
    }
}

async fn rotation_of_a_changed_client_is_rejected(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let entry = audit("client.rotate_secret");
    f.store
        .create_client(&client("ci"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    let read = f.store.client("ci").await.unwrap().unwrap();
    let rotate = async |version: i64, hash: u8| {
        f.store
            .rotate_secret("ci", Some(version), &[hash; 32], NOW + 60, NOW, &entry)
            .await
    };
    assert_eq!(rotate(read.version, 7).await, Ok(true));
    let raced = rotate(read.version, 8).await;
    assert!(matches!(raced, Err(StoreError::Conflict(_))), "{raced:?}");
    let now = f.store.client("ci").await.unwrap().unwrap();
    assert_eq!(now.secrets.len(), read.secrets.len() + 1, "nothing was written");
    assert_eq!(rotate(now.version, 8).await, Ok(true));
    let missing = f
        .store
        .rotate_secret("nobody", Some(1), &[9; 32], NOW, NOW, &entry)
        .await;
    assert_eq!(missing, Ok(false));
    assert_eq!(f.audit_rows("client.rotate_secret", 2).await.len(), 2);
}

async fn revoked_key_names_the_key_that_signs_instead(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for name in ["a", "b"] {
        let added = f
            .store
            .add_key(&key(name, KeyAlgorithm::Es256), None, &audit("key.create"))
            .await;
        assert_eq!(added, Ok(true));
    }
    let revoke = async |kid: &str, replacement: &str| {
        let revocation = KeyRevocation {
            kid: kid.to_owned(),
            now_ms: NOW as u64 * 1000,
            replacements: vec![key(replacement, KeyAlgorithm::Es256)],
        };
        let entry = detailed("key.revoke", json!({"credential": "x"}));
        assert_eq!(f.store.revoke_key(&revocation, &entry).await, Ok(true));
    };
    // Another key goes on signing: the replacement is not stored.
    revoke("a", "unused").await;
    revoke("b", "new").await;
    let rows = f.audit_rows("key", 5).await;
    let mut found: Vec<_> = rows[..3]
        .iter()
        .map(|row| {
            (
                &*row.action,
                &*row.target_id,
                &row.detail["replacement"],
                &row.detail["credential"],
            )
        })
        .collect();
    found.sort_unstable_by_key(|row| (row.0, row.1));
    let (none, x) = (Value::Null, json!("x"));
    assert_eq!(
        found,
        [
            ("key.create", "new", &none, &x),
            ("key.revoke", "a", &none, &x),
            ("key.revoke", "b", &json!("new"), &x)
        ]
    );
}
