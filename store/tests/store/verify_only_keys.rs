//! Verify-only keys: import, expiry and revocation.

use oauth2_store::StoreError;
use oauth2_store::model::{
    Change, KeyAlgorithm, KeyRevocation, MAX_VERIFY_ONLY_KEYS, RevocationTarget, StoredKey, VerifyOnlyKey,
};

use crate::fixture::{Fixture, NOW, audit, key, revocations_since};

on_both!(
    imports_are_atomic_and_idempotent,
    keys_expire_once_and_only_in_time,
    revoked_keys_cannot_be_imported_again,
    ids_are_unique_among_all_keys,
    a_key_is_revoked_under_every_id,
);

fn old(kid: &str) -> VerifyOnlyKey {
    VerifyOnlyKey {
        kid: kid.to_owned(),
        algorithm: KeyAlgorithm::Rs256,
        public_key: kid.as_bytes().to_vec(),
        issuer: "https://old.example".to_owned(),
        published: false,
        created_at: NOW,
        kept_until: NOW + 100,
    }
}

fn revocation(kid: &str, replacements: Vec<StoredKey>) -> KeyRevocation {
    KeyRevocation {
        kid: kid.to_owned(),
        now_ms: (NOW.unsigned_abs() + 100) * 1000,
        replacements,
    }
}

async fn put(f: &Fixture, keys: &[VerifyOnlyKey]) -> Result<usize, StoreError> {
    let keys: Vec<_> = keys.iter().map(|key| (key.clone(), audit("key.import"))).collect();
    f.store.put_verify_only_keys(&keys, NOW).await
}

fn is_conflict(outcome: &Result<usize, StoreError>, word: &str) -> bool {
    matches!(outcome, Err(StoreError::Conflict(text)) if text.contains(word))
}

async fn imports_are_atomic_and_idempotent(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let position = f.store.changes_position().await.unwrap();
    assert_eq!(put(&f, &[old("b"), old("a")]).await, Ok(2));
    assert_eq!(put(&f, &[old("a")]).await, Ok(0), "nothing changed");
    let (changes, _) = f.store.changes_since(position).await.unwrap();
    assert_eq!(changes, [Change::Keys]);
    let longer = VerifyOnlyKey {
        kept_until: NOW + 200,
        published: true,
        created_at: NOW + 50,
        ..old("a")
    };
    assert_eq!(put(&f, std::slice::from_ref(&longer)).await, Ok(1));
    let expected = VerifyOnlyKey {
        created_at: NOW,
        ..longer
    };
    assert_eq!(f.store.verify_only_keys().await, Ok(vec![expected.clone(), old("b")]));
    let other = VerifyOnlyKey {
        public_key: b"other".to_vec(),
        ..old("a")
    };
    let of_another = VerifyOnlyKey {
        issuer: "https://another.example".to_owned(),
        ..old("a")
    };
    assert!(is_conflict(
        &put(&f, &[old("c"), other]).await,
        "another key has the id a"
    ));
    assert!(is_conflict(&put(&f, &[old("c"), of_another]).await, "revoke it first"));
    let many: Vec<_> = (0..MAX_VERIFY_ONLY_KEYS)
        .map(|number| old(&format!("n{number}")))
        .collect();
    assert!(is_conflict(&put(&f, &many).await, "maximum"));
    assert_eq!(
        f.store.verify_only_keys().await,
        Ok(vec![expected, old("b")]),
        "all or none"
    );
}

async fn keys_expire_once_and_only_in_time(kind: &str) {
    let f = Fixture::migrated(kind).await;
    put(&f, &[old("a")]).await.unwrap();
    let expire = async |now| {
        f.store
            .expire_verify_only_key("a", now, &audit("key.remove"))
            .await
            .unwrap()
    };
    assert!(!expire(NOW + 99).await);
    assert!(expire(NOW + 100).await);
    assert!(!expire(NOW + 100).await, "another node was first");
    assert_eq!(put(&f, &[old("a")]).await, Ok(1), "what expired can be imported again");
}

async fn revoked_keys_cannot_be_imported_again(kind: &str) {
    let f = Fixture::migrated(kind).await;
    put(&f, &[old("a")]).await.unwrap();
    let revoke = async || {
        let revocation = revocation("a", Vec::new());
        f.store.revoke_key(&revocation, &audit("key.revoke")).await.unwrap()
    };
    assert!(revoke().await);
    assert!(!revoke().await);
    let (revocations, _) = revocations_since(&f.store, oauth2_store::LogPosition::default()).await;
    let is_key = |target: &RevocationTarget| matches!(target, RevocationTarget::Key(id) if id == "a");
    assert!(revocations.iter().any(|revocation| is_key(&revocation.target)));
    assert!(is_conflict(&put(&f, &[old("a")]).await, "was revoked"));
    let renamed = VerifyOnlyKey {
        kid: "renamed".to_owned(),
        ..old("a")
    };
    assert!(
        is_conflict(&put(&f, &[renamed]).await, "was revoked"),
        "under another id"
    );
    assert_eq!(f.store.verify_only_keys().await, Ok(Vec::new()));
}

async fn ids_are_unique_among_all_keys(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let signing = |public: &[u8]| StoredKey {
        public_key: public.to_vec(),
        ..key("a", KeyAlgorithm::Rs256)
    };
    put(&f, &[old("a")]).await.unwrap();
    let taken = f.store.add_key(&signing(b"other"), None, &audit("key.import")).await;
    assert!(
        matches!(&taken, Err(StoreError::Conflict(text)) if text.contains("a verify-only key")),
        "{taken:?}"
    );
    // An id has one algorithm, whichever key was imported first.
    let of_another_algorithm = StoredKey {
        algorithm: KeyAlgorithm::Ps256,
        ..signing(b"a")
    };
    let taken = f.store.add_key(&of_another_algorithm, None, &audit("key.import")).await;
    assert!(
        matches!(&taken, Err(StoreError::Conflict(text)) if text.contains("a verify-only key for RS256")),
        "{taken:?}"
    );
    // The same key may sign here, and verify what it signed for the other issuer.
    assert_eq!(
        f.store.add_key(&signing(b"a"), None, &audit("key.import")).await,
        Ok(true)
    );
    assert_eq!(put(&f, &[old("a")]).await, Ok(0));
    let other = VerifyOnlyKey {
        public_key: b"other".to_vec(),
        ..old("a")
    };
    assert!(is_conflict(&put(&f, &[other]).await, "a signing key"));
    let revocation = revocation("a", vec![key("b", KeyAlgorithm::Rs256)]);
    assert_eq!(f.store.revoke_key(&revocation, &audit("key.revoke")).await, Ok(true));
    assert_eq!(f.store.verify_only_keys().await, Ok(Vec::new()), "both are gone");
}

async fn a_key_is_revoked_under_every_id(kind: &str) {
    for revoked in ["new", "old", "older"] {
        let f = Fixture::migrated(kind).await;
        let leaked = b"leaked".to_vec();
        let signing = StoredKey {
            public_key: leaked.clone(),
            ..key("new", KeyAlgorithm::Rs256)
        };
        let verifying = |kid: &str| VerifyOnlyKey {
            public_key: leaked.clone(),
            ..old(kid)
        };
        assert_eq!(f.store.add_key(&signing, None, &audit("key.import")).await, Ok(true));
        put(&f, &[verifying("old"), verifying("older"), old("other")])
            .await
            .unwrap();
        let lacking = f
            .store
            .revoke_key(&revocation(revoked, Vec::new()), &audit("key.revoke"))
            .await;
        assert!(
            matches!(lacking, Err(StoreError::Conflict(_))),
            "its algorithm would have no key: {lacking:?}"
        );
        let position = f.store.changes_position().await.unwrap();
        let revocation = revocation(revoked, vec![key("next", KeyAlgorithm::Rs256)]);
        assert_eq!(
            f.store.revoke_key(&revocation, &audit("key.revoke")).await,
            Ok(true),
            "{revoked}"
        );
        let kids: Vec<_> = f.store.keys().await.unwrap().into_iter().map(|key| key.kid).collect();
        assert_eq!(kids, ["next"], "{revoked}");
        assert_eq!(f.store.verify_only_keys().await, Ok(vec![old("other")]), "{revoked}");
        let (changes, _) = f.store.changes_since(position).await.unwrap();
        assert_eq!(changes, [Change::Keys]);
        let (revocations, _) = revocations_since(&f.store, oauth2_store::LogPosition::default()).await;
        for kid in ["new", "old", "older"] {
            let target = RevocationTarget::Key(kid.to_owned());
            assert!(
                revocations.iter().any(|found| found.target == target),
                "{kid} of {revoked}"
            );
        }
        assert!(is_conflict(&put(&f, &[verifying("again")]).await, "was revoked"));
    }
}
