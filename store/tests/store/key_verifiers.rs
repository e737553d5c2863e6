//! Verifiers of the published key sets, and keys that wait for them.

use oauth2_store::model::{Change, KeyAlgorithm, KeyDocument, KeyVerifier, MAX_KEY_VERIFIERS, StoredKey};

use crate::fixture::{Fixture, NOW, audit, key};

on_both!(
    fetches_of_all_nodes_are_merged,
    verifiers_are_bounded_and_forgotten,
    a_waiting_key_is_activated_once,
);

fn verifier(address: &str, last_seen: i64, generation: i64) -> KeyVerifier {
    KeyVerifier {
        document: KeyDocument::Jwks,
        address: address.to_owned(),
        user_agent: "verifier".to_owned(),
        first_seen: last_seen,
        last_seen,
        generation,
        fetches: 1,
    }
}

async fn fetches_of_all_nodes_are_merged(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let record = async |fetches: &[KeyVerifier]| f.store.record_key_fetches(fetches, 0).await.unwrap();
    record(&[verifier("10.0.0.2", NOW, 5), verifier("10.0.0.1", NOW + 2, 7)]).await;
    // Of another node, which wrote later what it saw earlier.
    record(&[verifier("10.0.0.1", NOW + 1, 6)]).await;
    let merged = KeyVerifier {
        first_seen: NOW + 1,
        fetches: 2,
        ..verifier("10.0.0.1", NOW + 2, 7)
    };
    assert_eq!(
        f.store.key_verifiers(0).await,
        Ok(vec![merged.clone(), verifier("10.0.0.2", NOW, 5)])
    );
    assert_eq!(f.store.key_verifiers(NOW + 1).await, Ok(vec![merged]));
    // A set that it fetched later counts, even if it lacks a key.
    record(&[verifier("10.0.0.2", NOW + 9, 4)]).await;
    assert_eq!(f.store.key_verifiers(NOW + 9).await.unwrap()[0].generation, 4);
    let nodes = (0..8).map(|node| {
        let store = f.store.clone();
        let (one, other) = (verifier("a", NOW + node, node), verifier("b", NOW + node, node));
        let fetches = if node % 2 == 0 { [one, other] } else { [other, one] };
        tokio::spawn(async move { store.record_key_fetches(&fetches, 0).await })
    });
    for node in nodes.collect::<Vec<_>>() {
        node.await.unwrap().unwrap();
    }
    let found = f.store.key_verifiers(0).await.unwrap();
    let of_a = found.iter().find(|verifier| verifier.address == "a").unwrap();
    assert_eq!((of_a.fetches, of_a.last_seen, of_a.generation), (8, NOW + 7, 7));
}

async fn verifiers_are_bounded_and_forgotten(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let many: Vec<_> = (0..MAX_KEY_VERIFIERS as i64 + 50)
        .map(|number| verifier(&format!("verifier {number}"), NOW + number, 1))
        .collect();
    for chunk in many.chunks(300) {
        f.store.record_key_fetches(chunk, 0).await.unwrap();
    }
    let found = f.store.key_verifiers(0).await.unwrap();
    assert_eq!(found.len(), MAX_KEY_VERIFIERS);
    assert_eq!(
        found.last().unwrap().address,
        "verifier 50",
        "the verifiers seen longest ago are forgotten"
    );
    let again = verifier("verifier 0", NOW + 5000, 1);
    f.store
        .record_key_fetches(std::slice::from_ref(&again), 0)
        .await
        .unwrap();
    assert_eq!(f.store.key_verifiers(0).await.unwrap()[0], again, "it was forgotten");
    f.store.record_key_fetches(&[], NOW + 1000).await.unwrap();
    assert_eq!(f.store.key_verifiers(0).await.unwrap().len(), 51);
}

async fn a_waiting_key_is_activated_once(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let waiting = StoredKey {
        signs_from_ms: (NOW + 1000) * 1000,
        when_seen: true,
        ..key("a", KeyAlgorithm::Es256)
    };
    let fixed = StoredKey {
        signs_from_ms: (NOW + 1000) * 1000,
        ..key("b", KeyAlgorithm::EdDsa)
    };
    for key in [&waiting, &fixed] {
        f.store.add_key(key, None, &audit("key.rotate")).await.unwrap();
    }
    let position = f.store.changes_position().await.unwrap();
    let now_ms = (NOW.unsigned_abs() + 5) * 1000;
    let activate = async |key: &StoredKey| f.store.activate_key(key, now_ms, &audit("key.activate")).await.unwrap();
    assert!(!activate(&fixed).await, "it does not wait for verifiers");
    assert!(activate(&waiting).await);
    assert!(!activate(&waiting).await, "another node was first");
    let stored = f.store.keys().await.unwrap();
    assert_eq!((&*stored[0].kid, stored[0].signs_from_ms), ("a", now_ms as i64));
    let (changes, _) = f.store.changes_since(position).await.unwrap();
    assert_eq!(changes, [Change::Keys]);
}
