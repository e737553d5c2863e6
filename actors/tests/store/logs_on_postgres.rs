//! Following the logs of a server: by transaction id, within one run of it.

use std::time::Duration;

use oauth2_actors::model::{Change, Revocation, RevocationTarget};
use oauth2_actors::store::{Location, LogPosition, Store};
use oauth2_testkit::postgres::{Postgres, connect};

use crate::fixture::{NOW, audit, client, options};

#[tokio::test(flavor = "multi_thread")]
async fn a_late_commit_is_never_skipped() {
    // A server of its own: transactions of other databases hold the position back too.
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
    let early = Revocation {
        target: RevocationTarget::Client("other".into()),
        cutoff_ms: 2,
    };
    store.revoke(&early, 1, &audit("revocation.cutoff")).await.unwrap();
    store
        .create_client(&client("early"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();

    let (found, position) = store.revocations_since(LogPosition::default()).await.unwrap();
    assert_eq!(found, std::slice::from_ref(&early));
    let (changes, heard) = store.changes_since(LogPosition::default()).await.unwrap();
    assert_eq!(changes, [Change::Client("early".into())]);
    let before_load = store.changes_position().await.unwrap();

    late.batch_execute("COMMIT").await.unwrap();
    let (found, position) = store.revocations_since(position).await.unwrap();
    assert!(
        found
            .iter()
            .any(|r| r.target == RevocationTarget::Client("late".into())),
        "{found:?}"
    );
    for from in [heard, before_load] {
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
        store.revocations_since(position).await.unwrap().0.is_empty(),
        "nothing is read again for ever"
    );
}

/// Transaction ids count within one run of one cluster. After a restart, a failover or a restore, whoever followed the logs
/// must hear of everything, and rows from the other cluster's future must not be handed out again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_another_run_leads_to_everything() {
    let mut server = Postgres::start(false);
    let mut options = options(Location::Postgres(server.database().await));
    options.acquire_timeout = Duration::from_secs(5);
    let store = Store::open(&options).await.unwrap();
    store.migrate().await.unwrap();
    let revoked = |ms: u64| Revocation {
        target: RevocationTarget::Issuer,
        cutoff_ms: ms,
    };
    let revoke = async |ms| {
        store
            .revoke(&revoked(ms), ms, &audit("revocation.cutoff"))
            .await
            .unwrap();
    };
    revoke(1).await;
    let (_, before) = store.revocations_since(LogPosition::default()).await.unwrap();
    let heard = store.changes_position().await.unwrap();

    let Location::Postgres(url) = &options.location else {
        unreachable!()
    };
    let from_the_future = "UPDATE revocations SET txid = txid + 1000000; UPDATE audit_log SET txid = txid + 1000000";
    connect(url).await.batch_execute(from_the_future).await.unwrap();
    revoke(2).await;
    let (found, followed) = store.revocations_since(before).await.unwrap();
    assert_eq!(found, [revoked(2)], "what this run has yet to count is left out");
    assert!(followed.is_comparable(&before));

    tokio::task::block_in_place(|| {
        server.stop();
        server.resume();
    });
    let (found, after) = store.revocations_since(before).await.unwrap();
    assert_eq!(found.len(), 2, "everything");
    assert!(!after.is_comparable(&before));
    assert!(!store.changes_since(heard).await.unwrap().1.is_comparable(&heard));
    revoke(3).await;
    let (found, _) = store.revocations_since(after).await.unwrap();
    assert_eq!(found, [revoked(3)], "and then what is new");
}
