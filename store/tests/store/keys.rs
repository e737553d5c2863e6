//! Signing keys: creation, rotation, revocation and removal.

use oauth2_store::LogPosition;
use oauth2_store::StoreError;
use oauth2_store::model::{Change, KeyAlgorithm, KeyDocument, KeyRevocation, KeyVerifier, RevocationTarget, StoredKey};

use crate::fixture::{Fixture, NOW, audit, client, key, revocations_since};

on_both!(
    concurrent_nodes_add_one_key,
    key_is_removed_once,
    revocation_activates_a_successor,
    longer_token_lifetime_extends_key_retention,
    keys_are_rewrapped_together,
    keys_per_algorithm_are_limited,
    adding_several_keys_is_atomic,
    revoked_key_cannot_be_added_again,
    one_key_waits_for_its_verifiers_at_a_time,
    a_key_is_newer_than_all_others_also_after_the_clock_was_set_back,
);

fn from(kid: &str, signs_from: i64) -> StoredKey {
    StoredKey {
        signs_from_ms: signs_from * 1000,
        ..key(kid, KeyAlgorithm::EdDsa)
    }
}

async fn kids(f: &Fixture) -> Vec<(String, i64)> {
    let keys = f.store.keys().await.unwrap();
    keys.into_iter()
        .map(|key| (key.kid, key.signs_from_ms / 1000))
        .collect()
}

fn expected(keys: &[(&str, i64)]) -> Vec<(String, i64)> {
    keys.iter().map(|(kid, from)| ((*kid).to_owned(), *from)).collect()
}

async fn concurrent_nodes_add_one_key(kind: &str) {
    let f = Fixture::migrated(kind).await;
    assert!(
        f.store
            .add_key(&from("a", NOW), None, &audit("key.create"))
            .await
            .unwrap()
    );
    // All nodes have read that `a` is the newest key.
    let mut nodes = Vec::new();
    for node in 0..4 {
        let store = f.store.clone();
        nodes.push(tokio::spawn(async move {
            let key = from(&format!("b{node}"), NOW + 60);
            store
                .add_key(&key, Some(NOW * 1000), &audit("key.rotate"))
                .await
                .unwrap()
        }));
    }
    let mut added = 0;
    for node in nodes {
        added += u32::from(node.await.unwrap());
    }
    assert_eq!((added, f.store.keys().await.unwrap().len()), (1, 2));
    // A key of another algorithm does not prevent adding, and without `after_ms` a newer key does not either.
    let other = key("c", KeyAlgorithm::Es256);
    assert!(f.store.add_key(&other, Some(0), &audit("key.create")).await.unwrap());
    assert!(
        f.store
            .add_key(&from("d", NOW + 90), None, &audit("key.rotate"))
            .await
            .unwrap()
    );
    let again = f.store.add_key(&from("d", NOW + 99), None, &audit("key.rotate")).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
}

async fn key_is_removed_once(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store
        .add_key(&from("a", NOW), None, &audit("key.create"))
        .await
        .unwrap();
    let (seen, position) = (
        f.store.keys().await.unwrap()[0].clone(),
        f.store.changes_position().await.unwrap(),
    );
    f.store.extend_key_retention(7200).await.unwrap();
    assert!(
        !f.store.remove_key(&seen, NOW, &audit("key.remove")).await.unwrap(),
        "its retention was extended after it was read"
    );
    let seen = f.store.keys().await.unwrap()[0].clone();
    assert_eq!(seen.token_lifetime, 7200);
    f.store.extend_key_retention(60).await.unwrap();
    assert!(f.store.remove_key(&seen, NOW, &audit("key.remove")).await.unwrap());
    assert!(!f.store.remove_key(&seen, NOW, &audit("key.remove")).await.unwrap());
    let (changes, _) = f.store.changes_since(position).await.unwrap();
    assert_eq!(changes, [Change::Keys]);
}

async fn revocation_activates_a_successor(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for key in [
        from("old", NOW - 100),
        from("now", NOW - 50),
        from("next", NOW + 60),
        from("later", NOW + 90),
    ] {
        f.store.add_key(&key, None, &audit("key.create")).await.unwrap();
    }
    let revoke = async |kid: &str| {
        let revocation = KeyRevocation {
            kid: kid.to_owned(),
            now_ms: NOW as u64 * 1000,
            replacements: vec![from(&format!("replacement of {kid}"), NOW)],
        };
        f.store.revoke_key(&revocation, &audit("key.revoke")).await.unwrap()
    };
    assert!(!revoke("unknown").await);
    assert!(revoke("later").await);
    assert!(revoke("old").await);
    assert_eq!(
        kids(&f).await,
        expected(&[("now", NOW - 50), ("next", NOW + 60)]),
        "the active key is unchanged"
    );
    assert!(revoke("now").await);
    assert_eq!(
        kids(&f).await,
        expected(&[("next", NOW)]),
        "the next published key is activated"
    );
    assert!(revoke("next").await);
    assert_eq!(kids(&f).await, expected(&[("replacement of next", NOW)]));
    let (revocations, _) = revocations_since(&f.store, LogPosition::default()).await;
    let mut revoked: Vec<_> = revocations.into_iter().map(|revocation| revocation.target).collect();
    // Each key is also revoked by its public key.
    revoked.retain(|target| !matches!(target, RevocationTarget::Key(name) if name.starts_with("public:")));
    assert_eq!(
        revoked,
        ["later", "old", "now", "next"].map(|kid| RevocationTarget::Key(kid.to_owned()))
    );
}

async fn longer_token_lifetime_extends_key_retention(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store
        .add_key(&from("a", NOW), None, &audit("key.create"))
        .await
        .unwrap();
    let lifetimes = async || {
        f.store
            .keys()
            .await
            .unwrap()
            .iter()
            .map(|key| key.token_lifetime)
            .collect::<Vec<_>>()
    };
    let mut ci = client("ci");
    ci.access_token_lifetime = Some(60);
    f.store
        .create_client(&ci, NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    assert_eq!(lifetimes().await, [1800], "a shorter lifetime changes nothing");
    ci.access_token_lifetime = Some(86_400);
    assert!(f.store.update_client(&ci, NOW, &audit("client.update")).await.unwrap());
    assert_eq!(lifetimes().await, [86_400]);
    f.store
        .add_key(&from("b", NOW + 60), None, &audit("key.rotate"))
        .await
        .unwrap();
    assert_eq!(
        lifetimes().await,
        [86_400, 86_400],
        "a new key covers the lifetimes of existing clients"
    );
    let mut long = client("long");
    long.access_token_lifetime = Some(172_800);
    f.store
        .create_client(&long, NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    assert_eq!(lifetimes().await, [172_800, 172_800]);
}

async fn keys_are_rewrapped_together(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for key in [from("a", NOW), from("b", NOW + 1)] {
        f.store.add_key(&key, None, &audit("key.create")).await.unwrap();
    }
    let rewrapped = [
        ("a".to_owned(), "rewrapped a".to_owned()),
        ("b".to_owned(), "rewrapped b".to_owned()),
    ];
    f.store
        .rewrap_keys(&rewrapped, NOW, &audit("key.rewrap"))
        .await
        .unwrap();
    let keys = f.store.keys().await.unwrap();
    assert_eq!(
        keys.iter().map(|key| &*key.wrapped_private_key).collect::<Vec<_>>(),
        ["rewrapped a", "rewrapped b"]
    );
}

async fn keys_per_algorithm_are_limited(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for n in 0..64 {
        f.store
            .add_key(&from(&format!("k{n}"), NOW + n), None, &audit("key.rotate"))
            .await
            .unwrap();
    }
    let outcome = f.store.add_key(&from("more", NOW), None, &audit("key.rotate")).await;
    assert!(
        matches!(&outcome, Err(StoreError::Conflict(text)) if text.contains("64 keys")),
        "{outcome:?}"
    );
}

async fn adding_several_keys_is_atomic(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for n in 0..63 {
        f.store
            .add_key(&from(&format!("k{n}"), NOW + n), None, &audit("key.rotate"))
            .await
            .unwrap();
    }
    let other = (key("other", KeyAlgorithm::Es256), audit("key.rotate"));
    let more = |kid| (from(kid, NOW + 99), audit("key.rotate"));
    for keys in [
        [other.clone(), more("a"), more("b")],
        [other.clone(), more("a"), other.clone()],
    ] {
        let outcome = f.store.add_keys(&keys).await;
        assert!(matches!(outcome, Err(StoreError::Conflict(_))), "{outcome:?}");
        assert_eq!(f.store.keys().await.unwrap().len(), 63);
    }
    f.store.add_keys(&[other, more("a")]).await.unwrap();
    assert_eq!(f.store.keys().await.unwrap().len(), 65);
}

async fn revoked_key_cannot_be_added_again(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store
        .add_key(&from("a", NOW), None, &audit("key.create"))
        .await
        .unwrap();
    let revocation = KeyRevocation {
        kid: "a".to_owned(),
        now_ms: NOW as u64 * 1000,
        replacements: vec![from("b", NOW)],
    };
    assert!(f.store.revoke_key(&revocation, &audit("key.revoke")).await.unwrap());
    let again = f.store.add_key(&from("a", NOW + 1), None, &audit("key.import")).await;
    assert!(
        matches!(&again, Err(StoreError::Conflict(text)) if text.contains("revoked")),
        "{again:?}"
    );
    let renamed = StoredKey {
        kid: "c".to_owned(),
        ..from("a", NOW + 1)
    };
    let again = f.store.add_key(&renamed, None, &audit("key.import")).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "also under another kid");
    assert_eq!(kids(&f).await, expected(&[("b", NOW)]));
    // A key that was removed after its tokens expired can be added again.
    let seen = f.store.keys().await.unwrap()[0].clone();
    assert!(f.store.remove_key(&seen, NOW, &audit("key.remove")).await.unwrap());
    assert!(f.store.add_key(&seen, None, &audit("key.import")).await.unwrap());
}

async fn one_key_waits_for_its_verifiers_at_a_time(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store
        .add_key(&from("a", NOW), None, &audit("key.create"))
        .await
        .unwrap();
    // All of them have read that no key waits.
    let mut nodes = Vec::new();
    for node in 0..4 {
        let store = f.store.clone();
        nodes.push(tokio::spawn(async move {
            let key = StoredKey {
                when_seen: true,
                ..from(&format!("b{node}"), NOW + 60)
            };
            store.add_keys(&[(key, audit("key.rotate"))]).await
        }));
    }
    let mut added = 0;
    for node in nodes {
        match node.await.unwrap() {
            Ok(()) => added += 1,
            Err(StoreError::Conflict(text)) => assert!(text.contains("waits for its verifiers already"), "{text}"),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((added, f.store.keys().await.unwrap().len()), (1, 2));
    let at_once = (from("c", NOW + 30), audit("key.rotate"));
    assert_eq!(f.store.add_keys(&[at_once]).await, Ok(()), "it need not wait");
}

async fn a_key_is_newer_than_all_others_also_after_the_clock_was_set_back(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let created = |kid: &str, created_at| StoredKey {
        created_at,
        ..from(kid, NOW)
    };
    let created_at = async |kid: &str| {
        let keys = f.store.keys().await.unwrap();
        keys.iter().find(|key| key.kid == kid).unwrap().created_at
    };
    let add = async |key: StoredKey| f.store.add_key(&key, None, &audit("key.create")).await.unwrap();
    assert!(add(created("a", NOW)).await && add(created("b", NOW)).await);
    assert_eq!((created_at("a").await, created_at("b").await), (NOW, NOW));
    assert!(add(created("c", NOW - 500)).await);
    assert_eq!(created_at("c").await, NOW + 1);
    // The newest key set that was fetched had a key that is gone.
    let verifier = KeyVerifier {
        document: KeyDocument::Jwks,
        address: "10.0.0.1".to_owned(),
        user_agent: "verifier".to_owned(),
        first_seen: NOW,
        last_seen: NOW,
        generation: (NOW + 90) * 1000 + 1,
        fetches: 1,
    };
    f.store.record_key_fetches(&[verifier], 0).await.unwrap();
    f.store
        .add_keys(&[(created("d", NOW), audit("key.rotate"))])
        .await
        .unwrap();
    assert_eq!(created_at("d").await, NOW + 91);
}
