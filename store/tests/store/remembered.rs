//! Values that are remembered until they expire, on every backend.

use futures_util::future::join_all;

use crate::fixture::{Fixture, NOW};

on_both!(
    the_first_value_stays_until_it_expires,
    a_value_is_taken_once,
    expired_values_are_deleted,
);

const KEY: [u8; 32] = [7; 32];

async fn the_first_value_stays_until_it_expires(kind: &str) {
    let f = Fixture::migrated(kind).await;
    assert_eq!(f.store.recall(&KEY, NOW).await.unwrap(), None);
    assert!(!f.store.replace_remembered(&KEY, b"x").await.unwrap());
    let of = |number: u8| {
        let store = f.store.clone();
        async move { store.remember(&KEY, &[number], NOW + 10, NOW).await.unwrap() }
    };
    let answers = join_all((0..8).map(of)).await;
    assert_eq!(answers.iter().filter(|first| first.is_none()).count(), 1, "{answers:?}");
    let first = f.store.recall(&KEY, NOW + 9).await.unwrap().unwrap();
    assert!(answers.iter().flatten().all(|found| *found == first), "{answers:?}");
    assert!(f.store.replace_remembered(&KEY, b"answer").await.unwrap());
    assert_eq!(
        f.store.remember(&KEY, b"x", NOW + 99, NOW).await.unwrap().unwrap(),
        b"answer"
    );
    assert_eq!(f.store.recall(&KEY, NOW + 10).await.unwrap(), None);
    assert_eq!(
        f.store.remember(&KEY, b"later", NOW + 99, NOW + 10).await.unwrap(),
        None
    );
    assert_eq!(f.store.recall(&KEY, NOW + 10).await.unwrap().unwrap(), b"later");
}

async fn a_value_is_taken_once(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store.remember(&KEY, b"once", NOW + 10, NOW).await.unwrap();
    assert_eq!(
        f.store.take_remembered(&KEY, NOW + 10).await.unwrap(),
        None,
        "it has expired"
    );
    let take = || {
        let store = f.store.clone();
        async move { store.take_remembered(&KEY, NOW).await.unwrap() }
    };
    let taken = join_all((0..8).map(|_| take())).await;
    assert_eq!(taken.into_iter().flatten().collect::<Vec<_>>(), [b"once"]);
}

async fn expired_values_are_deleted(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for number in 0..20 {
        f.store
            .remember(&[number; 32], b"x", NOW + i64::from(number), NOW)
            .await
            .unwrap();
    }
    assert_eq!(f.store.maintain(NOW + 10, 3600).await.unwrap().remembered_deleted, 10);
    assert_eq!(f.store.recall(&[15; 32], NOW).await.unwrap().unwrap(), b"x");
}
