//! Signing keys: made once, followed by others, taken away.

use oauth2_actors::error::StoreError;
use oauth2_actors::model::{Change, KeyAlgorithm, KeyRevocation, RevocationTarget, StoredKey};
use oauth2_actors::store::LogPosition;

use crate::fixture::{Fixture, NOW, audit, client, key};

on_both!(
    of_several_nodes_one_adds,
    a_key_is_taken_away_once,
    somebody_signs_when_a_key_is_revoked,
    a_longer_life_of_tokens_lengthens_keys,
    keys_are_sealed_anew_together,
    there_is_an_end_to_keys,
    keys_are_added_together_or_not_at_all,
    a_revoked_key_does_not_come_back,
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

fn are(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    expected.iter().map(|(kid, from)| ((*kid).to_owned(), *from)).collect()
}

async fn of_several_nodes_one_adds(kind: &str) {
    let f = Fixture::migrated(kind).await;
    assert!(
        f.store
            .add_key(&from("a", NOW), None, &audit("key.create"))
            .await
            .unwrap()
    );
    // All of them saw that the newest is `a`.
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
    // Of another algorithm there is none yet, and by hand there may be as many as somebody likes.
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

async fn a_key_is_taken_away_once(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store
        .add_key(&from("a", NOW), None, &audit("key.create"))
        .await
        .unwrap();
    let (seen, position) = (
        f.store.keys().await.unwrap()[0].clone(),
        f.store.changes_position().await.unwrap(),
    );
    f.store.lengthen_keys(7200).await.unwrap();
    assert!(
        !f.store.remove_key(&seen, NOW, &audit("key.remove")).await.unwrap(),
        "it was lengthened meanwhile"
    );
    let seen = f.store.keys().await.unwrap()[0].clone();
    assert_eq!(seen.token_lifetime, 7200);
    f.store.lengthen_keys(60).await.unwrap();
    assert!(f.store.remove_key(&seen, NOW, &audit("key.remove")).await.unwrap());
    assert!(!f.store.remove_key(&seen, NOW, &audit("key.remove")).await.unwrap());
    let (changes, _) = f.store.changes_since(position).await.unwrap();
    assert_eq!(changes, [Change::Keys]);
}

async fn somebody_signs_when_a_key_is_revoked(kind: &str) {
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
            replacement: from(&format!("instead of {kid}"), NOW),
        };
        f.store.revoke_key(&revocation, &audit("key.revoke")).await.unwrap()
    };
    assert!(!revoke("nobody").await);
    assert!(revoke("later").await);
    assert!(revoke("old").await);
    assert_eq!(
        kids(&f).await,
        are(&[("now", NOW - 50), ("next", NOW + 60)]),
        "the signer is untouched"
    );
    assert!(revoke("now").await);
    assert_eq!(
        kids(&f).await,
        are(&[("next", NOW)]),
        "what is published already signs at once"
    );
    assert!(revoke("next").await);
    assert_eq!(kids(&f).await, are(&[("instead of next", NOW)]));
    let (revocations, _) = f.store.revocations_since(LogPosition::default()).await.unwrap();
    let mut revoked: Vec<_> = revocations.into_iter().map(|revocation| revocation.target).collect();
    // Each by what it is made of, too.
    revoked.retain(|target| !matches!(target, RevocationTarget::Key(name) if name.starts_with("public:")));
    assert_eq!(
        revoked,
        ["later", "old", "now", "next"].map(|kid| RevocationTarget::Key(kid.to_owned()))
    );
}

async fn a_longer_life_of_tokens_lengthens_keys(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store
        .add_key(&from("a", NOW), None, &audit("key.create"))
        .await
        .unwrap();
    let lives = async || {
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
    assert_eq!(lives().await, [1800], "a shorter one shortens nothing");
    ci.access_token_lifetime = Some(86_400);
    assert!(f.store.update_client(&ci, NOW, &audit("client.update")).await.unwrap());
    assert_eq!(lives().await, [86_400]);
    f.store
        .add_key(&from("b", NOW + 60), None, &audit("key.rotate"))
        .await
        .unwrap();
    assert_eq!(
        lives().await,
        [86_400, 86_400],
        "a new key knows the clients that are there"
    );
    let mut long = client("long");
    long.access_token_lifetime = Some(172_800);
    f.store
        .create_client(&long, NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    assert_eq!(lives().await, [172_800, 172_800]);
}

async fn keys_are_sealed_anew_together(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for key in [from("a", NOW), from("b", NOW + 1)] {
        f.store.add_key(&key, None, &audit("key.create")).await.unwrap();
    }
    let sealed = [
        ("a".to_owned(), "anew a".to_owned()),
        ("b".to_owned(), "anew b".to_owned()),
    ];
    f.store.rewrap_keys(&sealed, NOW, &audit("key.rewrap")).await.unwrap();
    let keys = f.store.keys().await.unwrap();
    assert_eq!(
        keys.iter().map(|key| &*key.sealed_private_key).collect::<Vec<_>>(),
        ["anew a", "anew b"]
    );
}

async fn there_is_an_end_to_keys(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for n in 0..64 {
        f.store
            .add_key(&from(&format!("k{n}"), NOW + n), None, &audit("key.rotate"))
            .await
            .unwrap();
    }
    let refused = f.store.add_key(&from("more", NOW), None, &audit("key.rotate")).await;
    assert!(
        matches!(&refused, Err(StoreError::Conflict(why)) if why.contains("64 keys")),
        "{refused:?}"
    );
}

async fn keys_are_added_together_or_not_at_all(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for n in 0..63 {
        f.store
            .add_key(&from(&format!("k{n}"), NOW + n), None, &audit("key.rotate"))
            .await
            .unwrap();
    }
    let other = (key("other", KeyAlgorithm::Es256), audit("key.rotate"));
    let more = |kid| (from(kid, NOW + 99), audit("key.rotate"));
    for refused in [
        [other.clone(), more("a"), more("b")],
        [other.clone(), more("a"), other.clone()],
    ] {
        let refused = f.store.add_keys(&refused).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
        assert_eq!(f.store.keys().await.unwrap().len(), 63);
    }
    f.store.add_keys(&[other, more("a")]).await.unwrap();
    assert_eq!(f.store.keys().await.unwrap().len(), 65);
}

async fn a_revoked_key_does_not_come_back(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store
        .add_key(&from("a", NOW), None, &audit("key.create"))
        .await
        .unwrap();
    let revocation = KeyRevocation {
        kid: "a".to_owned(),
        now_ms: NOW as u64 * 1000,
        replacement: from("b", NOW),
    };
    assert!(f.store.revoke_key(&revocation, &audit("key.revoke")).await.unwrap());
    let again = f.store.add_key(&from("a", NOW + 1), None, &audit("key.import")).await;
    assert!(
        matches!(&again, Err(StoreError::Conflict(why)) if why.contains("revoked")),
        "{again:?}"
    );
    let renamed = StoredKey {
        kid: "c".to_owned(),
        ..from("a", NOW + 1)
    };
    let again = f.store.add_key(&renamed, None, &audit("key.import")).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "under another name, too");
    assert_eq!(kids(&f).await, are(&[("b", NOW)]));
    // Where it was removed because it was of no more use, nothing is held against it.
    let seen = f.store.keys().await.unwrap()[0].clone();
    assert!(f.store.remove_key(&seen, NOW, &audit("key.remove")).await.unwrap());
    assert!(f.store.add_key(&seen, None, &audit("key.import")).await.unwrap());
}
