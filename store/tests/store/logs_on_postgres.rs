//! Following the logs on Postgres: by transaction id, within one run of the server.

use std::time::Duration;

use oauth2_store::model::{Change, Revocation, RevocationTarget};
use oauth2_store::{Location, LogPosition, Store};
use oauth2_testkit::postgres::{Postgres, connect};

use crate::fixture::{NOW, audit, client, options, revocations_since};

#[tokio::test(flavor = "multi_thread")]
async fn late_commit_is_never_skipped() {
    // A dedicated server, because transactions of other databases would hold back the position.
    let server = Postgres::start(false);
    let url = server.database().await;
    let store = Store::open(&options(Location::Postgres(url.clone()))).await.unwrap();
    store.migrate().await.unwrap();
    let late = connect(&url).await;
    late.batch_execute(
        "BEGIN;
         INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at) VALUES ('client', 'late', 1, now());
         INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
         VALUES (now(), 'x', 'client.update', 'client', 'late', '{}')",
    )
    .await
    .unwrap();
    let early = Revocation::new(RevocationTarget::Client("other".into()), 2);
    store.revoke(&early, 1, &audit("revocation.cutoff")).await.unwrap();
    store
        .create_client(&client("early"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();

    let (found, position) = revocations_since(&store, LogPosition::default()).await;
    assert_eq!(found, std::slice::from_ref(&early));
    let (changes, changes_read) = store.changes_since(LogPosition::default()).await.unwrap();
    assert_eq!(changes, [Change::Client("early".into())]);
    let before_load = store.changes_position().await.unwrap();

    late.batch_execute("COMMIT").await.unwrap();
    let (found, position) = revocations_since(&store, position).await;
    assert!(
        found
            .iter()
            .any(|r| r.target == RevocationTarget::Client("late".into())),
        "{found:?}"
    );
    for from in [changes_read, before_load] {
        assert!(
            store
                .changes_since(from)
                .await
                .unwrap()
                .0
                .contains(&Change::Client("late".into()))
        );
    }
    assert!(
        revocations_since(&store, position).await.0.is_empty(),
        "rows are not returned again indefinitely"
    );
}

/// Transaction ids are comparable only within one run of one cluster. After a restart, a failover or a restore, followers must
/// read all rows, and rows with higher transaction ids from another cluster must not be returned again and again.
#[tokio::test(flavor = "multi_thread")]
async fn position_of_another_run_returns_all_rows() {
    let mut server = Postgres::start(false);
    let mut options = options(Location::Postgres(server.database().await));
    options.acquire_timeout = Duration::from_secs(5);
    let store = Store::open(&options).await.unwrap();
    store.migrate().await.unwrap();
    let revoked = |ms: u64| Revocation::new(RevocationTarget::Issuer, ms);
    let revoke = async |ms| {
        store
            .revoke(&revoked(ms), ms, &audit("revocation.cutoff"))
            .await
            .unwrap();
    };
    revoke(1).await;
    let (_, before) = revocations_since(&store, LogPosition::default()).await;
    let changes_read = store.changes_position().await.unwrap();

    let Location::Postgres(url) = &options.location else {
        unreachable!()
    };
    let from_the_future = "UPDATE revocations SET txid = txid + 1000000; UPDATE audit_log SET txid = txid + 1000000";
    connect(url).await.batch_execute(from_the_future).await.unwrap();
    revoke(2).await;
    let (found, followed) = revocations_since(&store, before).await;
    assert_eq!(found, [revoked(2)], "rows with future transaction ids are left out");
    assert!(followed.is_comparable(&before));

    tokio::task::block_in_place(|| {
        server.stop();
        server.resume();
    });
    let (found, after) = revocations_since(&store, before).await;
    assert_eq!(found.len(), 2, "all rows");
    assert!(!after.is_comparable(&before));
    assert!(
        !store
            .changes_since(changes_read)
            .await
            .unwrap()
            .1
            .is_comparable(&changes_read)
    );
    revoke(3).await;
    let (found, _) = revocations_since(&store, after).await;
    assert_eq!(found, [revoked(3)], "only the new row");
}
