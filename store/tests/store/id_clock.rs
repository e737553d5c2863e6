//! The time of ids that nodes agree on, and corrections of cut-offs.

use oauth2_store::LogPosition;
use oauth2_store::model::{Revocation, Slew};

use crate::fixture::{Fixture, NOW, audit, revocations_since};

on_both!(
    reservations_only_grow_and_one_node_decides_the_slew,
    corrected_cut_off_counts_with_its_new_time,
);

async fn reservations_only_grow_and_one_node_decides_the_slew(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let first = f.store.time().await.unwrap();
    assert_eq!((first.reserved_ms, first.slew), (0, Slew::default()));
    assert!(first.now_ms.abs_diff(f.store.ping().await.unwrap()) < 60_000);
    let slews = [1, 2].map(|ahead_ms| Slew { from_ms: 7, ahead_ms });
    f.store.reserve_ids(50, Slew::default(), slews[0]).await.unwrap();
    f.store.reserve_ids(40, Slew::default(), slews[1]).await.unwrap();
    let time = f.store.time().await.unwrap();
    assert_eq!(
        (time.reserved_ms, time.slew),
        (50, slews[0]),
        "the second node knew another slew"
    );
    f.store.reserve_ids(60, slews[0], slews[1]).await.unwrap();
    let time = f.store.time().await.unwrap();
    assert_eq!((time.reserved_ms, time.slew), (60, slews[1]));
}

async fn corrected_cut_off_counts_with_its_new_time(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let cut_off = |cutoff_ms| Revocation::of_client("ci", cutoff_ms, 0);
    for cutoff_ms in [10, 9000] {
        f.store
            .revoke(&cut_off(cutoff_ms), NOW as u64 * 1000, &audit("revocation.cutoff"))
            .await
            .unwrap();
    }
    let (_, before) = revocations_since(&f.store, LogPosition::default()).await;
    let listed = f.store.cut_offs(i64::MAX, 10).await.unwrap();
    let times: Vec<_> = listed
        .iter()
        .map(|row| (row.revocation.cutoff_ms, row.written_ms))
        .collect();
    assert_eq!(times, [(9000, 9000), (10, 10)]);
    assert_eq!(f.store.cut_offs(listed[0].id, 10).await.unwrap(), listed[1..]);

    let correct = async |row, ms| {
        f.store
            .correct_cut_off(row, ms, NOW as u64 * 1000, &audit("revocation.correct"))
            .await
    };
    assert!(!correct(&listed[1], 20).await.unwrap(), "it is earlier");
    assert!(correct(&listed[0], 500).await.unwrap());
    assert!(!correct(&listed[0], 400).await.unwrap(), "once only");
    let (rows, after) = revocations_since(&f.store, before).await;
    assert!(after.is_corrected(&before));
    assert!(rows.is_empty(), "begin again");
    let (rows, after) = revocations_since(&f.store, LogPosition::default()).await;
    assert_eq!(rows, [cut_off(10), cut_off(500)]);
    let (_, next) = revocations_since(&f.store, after).await;
    assert!(!next.is_corrected(&after));
    let corrected = &f.store.cut_offs(i64::MAX, 1).await.unwrap()[0];
    assert_eq!((corrected.revocation.cutoff_ms, corrected.written_ms), (500, 9000));
    let rows = f.audit_rows("revocation.correct", 1).await;
    assert_eq!((rows.len(), &*rows[0].target_id), (1, "ci"));
}
