//! Clients and their secrets, on either store.

use oauth2_actors::error::StoreError;
use oauth2_actors::model::{Revocation, RevocationTarget};
use oauth2_actors::store::LogPosition;

use crate::fixture::{Fixture, NOW, audit, client};

on_both!(
    a_client_and_its_life,
    names_are_taken_once,
    an_old_version_conflicts,
    secrets_overlap,
    clients_by_page,
);

async fn a_client_and_its_life(kind: &str) {
    let f = Fixture::migrated(kind).await;
    assert_eq!(f.store.client("ci").await.unwrap(), None);
    let mut made = client("ci");
    let at = NOW as u64 * 1000;
    let reborn = f.store.create_client(&made, at, &audit("client.create")).await.unwrap();
    assert!(!reborn);
    assert_eq!(f.store.client("ci").await.unwrap(), Some(made.clone()));

    made.disabled = true;
    made.client_name = None;
    made.token_format = None;
    made.signing_alg = None;
    made.token_ledger = None;
    made.access_token_lifetime = None;
    made.audience = [].into();
    assert!(
        f.store
            .update_client(&made, NOW + 1, &audit("client.update"))
            .await
            .unwrap()
    );
    made.version = 2;
    assert_eq!(f.store.client("ci").await.unwrap(), Some(made.clone()));
    assert!(
        !f.store
            .update_client(&client("nobody"), NOW, &audit("client.update"))
            .await
            .unwrap()
    );

    assert!(f.store.delete_client("ci", at, &audit("client.delete")).await.unwrap());
    assert!(!f.store.delete_client("ci", at, &audit("client.delete")).await.unwrap());
    assert_eq!(f.store.client("ci").await.unwrap(), None);
    let (log, _) = f.store.revocations_since(LogPosition::default()).await.unwrap();
    assert_eq!(
        log,
        [Revocation {
            target: RevocationTarget::Client("ci".into()),
            cutoff_ms: at
        }]
    );
    // A node that had not heard of the end may have gone on for a moment.
    let (again, made) = (client("ci"), audit("client.create"));
    assert!(f.store.create_client(&again, at + 300, &made).await.unwrap());
    let (log, _) = f.store.revocations_since(LogPosition::default()).await.unwrap();
    assert_eq!(
        log.last().unwrap().cutoff_ms,
        at + 300,
        "nothing older than the second is alive"
    );
    let named = f.store.clients_named(&["ci".into(), "nobody".into()]).await.unwrap();
    assert_eq!(named, [f.store.client("ci").await.unwrap().unwrap()]);
    assert_eq!(
        f.store.client("ci").await.unwrap().unwrap().secrets.len(),
        2,
        "no secret outlived the first one"
    );
}

async fn names_are_taken_once(kind: &str) {
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

async fn an_old_version_conflicts(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store
        .create_client(&client("ci"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    let tries = (0..8).map(|_| {
        let store = f.store.clone();
        tokio::spawn(async move { store.update_client(&client("ci"), NOW, &audit("client.update")).await })
    });
    let (mut done, mut refused) = (0, 0);
    for answer in futures_util::future::join_all(tries).await {
        match answer.unwrap() {
            Ok(true) => done += 1,
            Err(StoreError::Conflict(_)) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((done, refused), (1, 7));
    assert_eq!(f.store.client("ci").await.unwrap().unwrap().version, 2);
}

async fn secrets_overlap(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store
        .create_client(&client("ci"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    let rotate = audit("client.rotate_secret");
    assert!(
        !f.store
            .rotate_secret("nobody", &[3; 32], NOW + 100, NOW, &rotate)
            .await
            .unwrap()
    );
    assert!(
        f.store
            .rotate_secret("ci", &[3; 32], NOW + 100, NOW, &rotate)
            .await
            .unwrap()
    );
    let secrets = |c: oauth2_actors::model::Client| -> Vec<_> {
        c.secrets
            .iter()
            .map(|s| (s.hash[0], s.expires_at.map(|e| e - NOW)))
            .collect()
    };
    let found = secrets(f.store.client("ci").await.unwrap().unwrap());
    assert_eq!(found, [(3, None), (2, Some(100)), (1, Some(60))]);
    assert!(
        f.store
            .rotate_secret("ci", &[4; 32], NOW + 300, NOW + 60, &rotate)
            .await
            .unwrap()
    );
    let found = secrets(f.store.client("ci").await.unwrap().unwrap());
    assert_eq!(found, [(4, None), (3, Some(300)), (2, Some(100))]);

    let tries = (10..18u8).map(|n| {
        let store = f.store.clone();
        tokio::spawn(async move {
            store
                .rotate_secret("ci", &[n; 32], NOW + 400, NOW + 100, &audit("client.rotate_secret"))
                .await
        })
    });
    for answer in futures_util::future::join_all(tries).await {
        assert!(answer.unwrap().unwrap());
    }
    let found = secrets(f.store.client("ci").await.unwrap().unwrap());
    assert_eq!(
        found.iter().filter(|s| s.1.is_none()).count(),
        1,
        "one secret is the current one: {found:?}"
    );
    assert!(found[0].1.is_none(), "{found:?}");
}

async fn clients_by_page(kind: &str) {
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
