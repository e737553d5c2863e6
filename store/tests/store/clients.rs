//! Clients and their secrets, on every backend.

use std::slice::from_ref;

use oauth2_store::model::{AuditEntry, AuditRow, Change, Client, ClientSecret, Revocation};
use oauth2_store::{LogPosition, StoreError};

use crate::fixture::{Fixture, NOW, all_clients, audit, client, revocations_since};

on_both!(
    client_is_created_updated_and_deleted,
    client_ids_are_unique,
    concurrent_updates_conflict,
    rotated_secrets_overlap,
    clients_are_listed_by_page,
    chunk_is_written_with_an_audit_row_per_client,
    chunk_with_a_conflict_writes_nothing,
    every_column_round_trips,
);

async fn client_is_created_updated_and_deleted(kind: &str) {
    let f = Fixture::migrated(kind).await;
    assert_eq!(f.store.client("ci").await.unwrap(), None);
    let mut stored = client("ci");
    let at = NOW as u64 * 1000;
    let cutoff = f.store.create_client(&stored, at, &audit("client.create")).await;
    assert_eq!(cutoff.unwrap(), None, "it has no predecessor");
    assert_eq!(f.store.client("ci").await.unwrap(), Some(stored.clone()));

    stored.disabled = true;
    stored.client_name = None;
    stored.token_format = None;
    stored.signing_alg = None;
    stored.token_ledger = None;
    stored.access_token_lifetime = None;
    stored.audience = [].into();
    assert!(
        f.store
            .update_client(&stored, NOW + 1, &audit("client.update"))
            .await
            .unwrap()
    );
    stored.version = 2;
    assert_eq!(f.store.client("ci").await.unwrap(), Some(stored.clone()));
    assert!(
        !f.store
            .update_client(&client("unknown"), NOW, &audit("client.update"))
            .await
            .unwrap()
    );

    let cutoff = Revocation::of_client("ci", at, 3);
    let deleted = f
        .store
        .delete_client("ci", None, at, &audit("client.delete"))
        .await
        .unwrap();
    assert_eq!(deleted.as_ref(), Some(&cutoff), "tokens of every version are covered");
    let deleted = f
        .store
        .delete_client("ci", None, at, &audit("client.delete"))
        .await
        .unwrap();
    assert_eq!(deleted, None);
    assert_eq!(f.store.client("ci").await.unwrap(), None);
    let (log, _) = revocations_since(&f.store, LogPosition::default()).await;
    assert_eq!(log, [cutoff]);
    // Nodes that had not read of the deletion may have issued tokens until now.
    let (again, entry) = (client("ci"), audit("client.create"));
    let cutoff = Revocation::of_client("ci", at + 300, 3);
    let appended = f.store.create_client(&again, at + 300, &entry).await.unwrap();
    assert_eq!(appended.as_ref(), Some(&cutoff));
    let (log, _) = revocations_since(&f.store, LogPosition::default()).await;
    assert_eq!(
        log.last(),
        Some(&cutoff),
        "every token issued before the second registration is revoked, and every one that an earlier version decided"
    );
    assert_eq!(f.store.client("ci").await.unwrap().unwrap().version, 3);
    let found = f.store.clients_by_id(&["ci".into(), "unknown".into()]).await.unwrap();
    assert_eq!(found, [f.store.client("ci").await.unwrap().unwrap()]);
    assert_eq!(
        f.store.client("ci").await.unwrap().unwrap().secrets.len(),
        2,
        "secrets of the first client are deleted"
    );
}

async fn client_ids_are_unique(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store
        .create_client(&client("ci"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    let again = f
        .store
        .create_client(&client("ci"), NOW as u64 * 1000, &audit("client.create"))
        .await;
    assert!(
        matches!(&again, Err(StoreError::Conflict(text)) if text.contains("ci exists")),
        "{again:?}"
    );
    let (changes, _) = f.store.changes_since(LogPosition::default()).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(f.store.client("ci").await.unwrap().unwrap().secrets.len(), 2);
}

async fn concurrent_updates_conflict(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store
        .create_client(&client("ci"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    let attempts = (0..8).map(|_| {
        let store = f.store.clone();
        tokio::spawn(async move { store.update_client(&client("ci"), NOW, &audit("client.update")).await })
    });
    let (mut updated, mut conflicts) = (0, 0);
    for outcome in futures_util::future::join_all(attempts).await {
        match outcome.unwrap() {
            Ok(true) => updated += 1,
            Err(StoreError::Conflict(_)) => conflicts += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((updated, conflicts), (1, 7));
    assert_eq!(f.store.client("ci").await.unwrap().unwrap().version, 2);
}

async fn rotated_secrets_overlap(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store
        .create_client(&client("ci"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    let rotate = audit("client.rotate_secret");
    assert!(
        !f.store
            .rotate_secret("unknown", None, &[3; 32], NOW + 100, NOW, &rotate)
            .await
            .unwrap()
    );
    assert!(
        f.store
            .rotate_secret("ci", None, &[3; 32], NOW + 100, NOW, &rotate)
            .await
            .unwrap()
    );
    let secrets = |c: oauth2_store::model::Client| -> Vec<_> {
        c.secrets
            .iter()
            .map(|s| (s.id()[0], s.expires_at.map(|e| e - NOW)))
            .collect()
    };
    let found = secrets(f.store.client("ci").await.unwrap().unwrap());
    assert_eq!(found, [(3, None), (2, Some(100)), (1, Some(60))]);
    assert!(
        f.store
            .rotate_secret("ci", None, &[4; 32], NOW + 300, NOW + 60, &rotate)
            .await
            .unwrap()
    );
    let found = secrets(f.store.client("ci").await.unwrap().unwrap());
    assert_eq!(found, [(4, None), (3, Some(300)), (2, Some(100))]);

    let attempts = (10..18u8).map(|n| {
        let store = f.store.clone();
        tokio::spawn(async move {
            store
                .rotate_secret(
                    "ci",
                    None,
                    &[n; 32],
                    NOW + 400,
                    NOW + 100,
                    &audit("client.rotate_secret"),
                )
                .await
        })
    });
    for outcome in futures_util::future::join_all(attempts).await {
        assert!(outcome.unwrap().unwrap());
    }
    let found = secrets(f.store.client("ci").await.unwrap().unwrap());
    assert_eq!(
        found.iter().filter(|s| s.1.is_none()).count(),
        1,
        "exactly one secret has no expiry: {found:?}"
    );
    assert!(found[0].1.is_none(), "{found:?}");
}

async fn clients_are_listed_by_page(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for id in ["b", "B", "a-1", "a", "ä", "c"] {
        f.store
            .create_client(&client(id), NOW as u64 * 1000, &audit("client.create"))
            .await
            .unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = f.store.list_clients("", cursor.as_deref(), 2).await.unwrap();
        seen.extend(page.items.iter().map(|c| c.client_id.to_string()));
        assert!(page.items.iter().all(|c| c.secrets.len() == 2));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["B", "a", "a-1", "b", "c", "ä"]);

    let page = f.store.list_clients("a", None, 1).await.unwrap();
    assert_eq!((&*page.items[0].client_id, page.next.as_deref()), ("a", Some("a")));
    let page = f.store.list_clients("a", page.next.as_deref(), 1).await.unwrap();
    assert_eq!((&*page.items[0].client_id, page.next), ("a-1", None));
    assert!(f.store.list_clients("aa", None, 9).await.unwrap().items.is_empty());
}

/// A client of a chunk with an audit entry whose detail names it.
fn entry(client: &Client) -> (Client, AuditEntry) {
    let detail = serde_json::json!({"of": &*client.client_id});
    let entry = AuditEntry {
        detail,
        ..audit("client.import")
    };
    (client.clone(), entry)
}

async fn chunk_is_written_with_an_audit_row_per_client(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let at = NOW as u64 * 1000;
    for id in ["old", "deleted"] {
        let created = f.store.create_client(&client(id), at, &audit("client.create")).await;
        assert_eq!(created.unwrap(), None);
    }
    f.store
        .delete_client("deleted", None, at, &audit("client.delete"))
        .await
        .unwrap();
    let mut changed = client("old");
    changed.scope = "admin".into();
    changed.disabled = true;
    let new = ["deleted", "new", "other"].map(|id| entry(&client(id)));
    let entries = [entry(&changed)];
    let appended = f.store.write_clients(&new, &entries, &[], at + 500).await.unwrap();
    let cutoff = Revocation::of_client("deleted", at + 500, 2);
    assert_eq!(appended, std::slice::from_ref(&cutoff));

    let (log, _) = revocations_since(&f.store, LogPosition::default()).await;
    assert_eq!(log.last(), Some(&cutoff));
    assert_eq!(log.len(), 2, "only a client with a predecessor gets a cut-off: {log:?}");
    changed.version = 2;
    assert_eq!(f.store.client("old").await.unwrap(), Some(changed));
    for (client, _) in &new {
        let mut expected = client.clone();
        expected.version = if &*client.client_id == "deleted" { 2 } else { 1 };
        assert_eq!(f.store.client(&client.client_id).await.unwrap(), Some(expected));
    }

    let imported = imports(&f, 4).await;
    let ids: Vec<_> = imported.iter().map(|row| &*row.target_id).collect();
    assert_eq!(ids, ["deleted", "new", "old", "other"]);
    for row in imported {
        assert_eq!(row.detail, serde_json::json!({"of": row.target_id}));
        assert_eq!((&*row.actor, row.at, &*row.target_kind), ("cli:tester", NOW, "client"));
    }
    assert!(f.store.write_clients(&[], &[], &[], at).await.unwrap().is_empty());
}

/// The `count` audit rows of imported clients in ascending order of client id.
async fn imports(f: &Fixture, count: usize) -> Vec<AuditRow> {
    let mut rows = f.audit_rows("client.import", count).await;
    rows.sort_by(|a, b| a.target_id.cmp(&b.target_id));
    rows
}

async fn chunk_with_a_conflict_writes_nothing(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let at = NOW as u64 * 1000;
    f.store
        .create_client(&client("old"), at, &audit("client.create"))
        .await
        .unwrap();
    let (_, seen) = f.store.changes_since(LogPosition::default()).await.unwrap();
    let (old, new) = (entry(&client("old")), entry(&client("new")));
    let mut outdated = old.clone();
    outdated.0.version = 7;
    let conflicting: [(&[_], &[_]); 5] = [
        (&[new.clone(), old.clone()], &[]),
        (&[new.clone(), new.clone()], &[]),
        (from_ref(&new), &[outdated.clone()]),
        (&[], &[old.clone(), outdated]),
        (&[], &[entry(&client("unknown"))]),
    ];
    for (new, changed) in conflicting {
        let written = f.store.write_clients(new, changed, &[], at).await;
        assert!(matches!(written, Err(StoreError::Conflict(_))), "{written:?}");
    }
    assert_eq!(f.store.client("new").await.unwrap(), None);
    assert_eq!(f.store.client("old").await.unwrap().unwrap().version, 1);
    let (changes, _) = f.store.changes_since(seen).await.unwrap();
    assert!(
        changes.iter().all(|change| *change == Change::Client("old".into())),
        "{changes:?}"
    );
}

/// Optional fields with and without a value, through every verb that writes or reads clients.
async fn every_column_round_trips(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let at = NOW as u64 * 1000;
    let full = client("full");
    let bare = Client {
        client_name: None,
        grant_types: [].into(),
        token_format: None,
        signing_alg: None,
        token_typ: None,
        audience: [].into(),
        introspection_audiences: [].into(),
        token_ledger: None,
        access_token_lifetime: None,
        policy: None,
        group: None,
        disabled: true,
        managed_by: None,
        secrets: [].into(),
        ..client("bare")
    };
    f.store.create_client(&full, at, &audit("client.create")).await.unwrap();
    f.store.write_clients(&[entry(&bare)], &[], &[], at).await.unwrap();
    assert_eq!(
        f.store.load_clients("", 10).await.unwrap(),
        [bare.clone(), full.clone()]
    );

    // The two clients swap their fields.
    let swapped = |to: &Client, from: &Client| Client {
        client_id: to.client_id.clone(),
        secrets: to.secrets.clone(),
        ..from.clone()
    };
    let (into_bare, into_full) = (swapped(&full, &bare), swapped(&bare, &full));
    assert!(
        f.store
            .update_client(&into_bare, NOW, &audit("client.update"))
            .await
            .unwrap()
    );
    f.store.write_clients(&[], &[entry(&into_full)], &[], at).await.unwrap();
    let expected = [into_full, into_bare].map(|client| Client { version: 2, ..client });
    assert_eq!(f.store.load_clients("", 10).await.unwrap(), expected);
    assert_eq!(f.store.list_clients("", None, 10).await.unwrap().items, expected);
    assert_eq!(all_clients(&f.store).await, expected);

    let secret = |byte, expires_at| ClientSecret::fast([byte; 32], expires_at);
    // An overwrite also sets the time of creation and the secrets.
    let replacement = Client {
        version: 2,
        created_at: NOW - 77,
        secrets: [secret(9, None), secret(8, Some(NOW + 5))].into(),
        ..client("full")
    };
    assert_ne!(replacement.secrets, expected[1].secrets);
    f.store
        .write_clients(&[], &[], &[entry(&replacement)], at)
        .await
        .unwrap();
    let stored = f.store.client("full").await.unwrap();
    assert_eq!(
        stored,
        Some(Client {
            version: 3,
            ..replacement
        })
    );
}
