//! The versions of clients that cut-offs cover, on every backend.

use oauth2_store::LogPosition;
use oauth2_store::model::{Revocation, RevocationTarget};

use crate::fixture::{Fixture, NOW, audit, client};

on_both!(
    cut_off_of_a_client_covers_earlier_versions_of_it,
    cut_off_of_the_issuer_covers_earlier_versions_of_changed_clients,
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
    let (log, _) = f.store.revocations_since(LogPosition::default()).await.unwrap();
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
            .rotate_secret("ci", &[7; 32], NOW, NOW, &audit("client.rotate_secret"))
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
