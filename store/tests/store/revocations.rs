//! The versions of clients that cut-offs cover, on every backend.

use oauth2_store::LogPosition;
use oauth2_store::model::{Revocation, RevocationTarget};
use uuid::Uuid;

use crate::fixture::{Fixture, NOW, audit, client, revocations_since};

on_both!(
    cut_off_of_a_client_covers_earlier_versions_of_it,
    cut_off_of_the_issuer_covers_earlier_versions_of_changed_clients,
    long_log_is_read_whole_and_in_order,
);

const AT: u64 = NOW as u64 * 1000;

async fn update(f: &Fixture, id: &str, at: i64) {
    let stored = f.store.client(id).await.unwrap().unwrap();
    assert!(
        f.store
            .update_client(&stored, at, &audit("client.update"))
            .await
            .unwrap()
    );
}

async fn revoke(f: &Fixture, target: RevocationTarget) -> Vec<Revocation> {
    let revocation = Revocation::new(target, AT);
    let appended = f
        .store
        .revoke(&revocation, AT, &audit("revocation.cutoff"))
        .await
        .unwrap();
    let (log, _) = revocations_since(&f.store, LogPosition::default()).await;
    assert_eq!(
        log[log.len() - appended.len()..],
        appended,
        "nodes read the returned rows"
    );
    appended
}

async fn cut_off_of_a_client_covers_earlier_versions_of_it(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store
        .create_client(&client("ci"), AT, &audit("client.create"))
        .await
        .unwrap();
    let of_ci = || RevocationTarget::Client("ci".into());
    assert_eq!(revoke(&f, of_ci()).await, [Revocation::of_client("ci", AT, 1)]);
    update(&f, "ci", NOW).await;
    assert!(
        f.store
            .rotate_secret("ci", None, &[7; 32], NOW, NOW, &audit("client.rotate_secret"))
            .await
            .unwrap()
    );
    assert_eq!(revoke(&f, of_ci()).await, [Revocation::of_client("ci", AT, 3)]);
    let unknown = revoke(&f, RevocationTarget::Client("unknown".into())).await;
    assert_eq!(unknown, [Revocation::of_client("unknown", AT, 0)]);
}

async fn cut_off_of_the_issuer_covers_earlier_versions_of_changed_clients(kind: &str) {
    let f = Fixture::migrated(kind).await;
    for id in ["changed", "new"] {
        f.store
            .create_client(&client(id), AT, &audit("client.create"))
            .await
            .unwrap();
    }
    update(&f, "changed", NOW - 3).await;
    let old = NOW - 3600;
    let mut earlier = client("old");
    earlier.created_at = old;
    f.store
        .create_client(&earlier, AT, &audit("client.create"))
        .await
        .unwrap();
    update(&f, "old", old).await;
    let appended = revoke(&f, RevocationTarget::Issuer).await;
    assert_eq!(appended[0], Revocation::new(RevocationTarget::Issuer, AT));
    assert_eq!(appended[1..], [Revocation::of_client("changed", AT, 2)]);
}

async fn long_log_is_read_whole_and_in_order(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let token = |n: u64| RevocationTarget::Token {
        jti: Uuid::from_u128(n.into()),
        expires_at: NOW + 60,
    };
    // Longer than what a backend reads at a time, and then exactly as long.
    for (count, from) in [(10_003, 0), (9_997, 10_003)] {
        let rows: Vec<_> = (from..from + count)
            .map(|n| (Revocation::new(token(n), 0), audit("token.revoke")))
            .collect();
        f.store.revoke_many(&rows, AT).await.unwrap();
        let (log, _) = revocations_since(&f.store, LogPosition::default()).await;
        let targets: Vec<_> = log.into_iter().map(|revocation| revocation.target).collect();
        assert!(targets == (0..from + count).map(token).collect::<Vec<_>>());
    }
}
