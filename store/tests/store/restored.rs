//! A database that was dumped and restored into a younger cluster, whose transaction ids are lower than those of its rows.

use std::time::{Duration, Instant};

use oauth2_store::model::{AuditFilter, AuditPosition, AuditRow, Change, KeyAlgorithm, Revocation};
use oauth2_store::{Location, LogPosition, Store};
use oauth2_testkit::postgres::{Postgres, connect};

use crate::fixture::{NOW, audit, client, issue, key, options, revocations_since, token};

/// Transactions that the old cluster is ahead.
const AHEAD: &str = "DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$";

fn cut_off(ms: u64) -> Revocation {
    // The version of a client that was not changed.
    Revocation::of_client(format!("c{ms}"), ms, 1)
}

async fn open(url: String) -> Store {
    let mut options = options(Location::Postgres(url));
    options.acquire_timeout = std::time::Duration::from_secs(5);
    Store::open(&options).await.unwrap()
}

/// Registers a client and revokes its tokens.
async fn change(store: &Store, ms: u64) {
    let id = format!("c{ms}");
    store
        .create_client(&client(&id), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    store
        .revoke(&cut_off(ms), NOW as u64 * 1000, &audit("revocation.cutoff"))
        .await
        .unwrap();
}

async fn listed(store: &Store, from: AuditPosition, limit: usize) -> Vec<AuditRow> {
    store.audit(&AuditFilter::default(), from, limit).await.unwrap()
}

/// The targets of rows, such as `client.create c1`.
fn names(rows: &[AuditRow]) -> Vec<String> {
    rows.iter()
        .map(|row| format!("{} {}", row.action, row.target_id))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_lists_of_an_older_cluster_are_in_order_at_once() {
    let (old, young) = (Postgres::start(false), Postgres::start(false));
    let url = old.database().await;
    let store = open(url.clone()).await;
    store.migrate().await.unwrap();
    change(&store, 1).await;
    connect(&url).await.batch_execute(AHEAD).await.unwrap();
    for ms in 2..=3 {
        change(&store, ms).await;
    }
    store
        .add_keys(&[(key("k1", KeyAlgorithm::EdDsa), audit("key.create"))])
        .await
        .unwrap();
    let tokens = [token("c1", NOW, 600), token("c1", NOW + 1, 600)];
    store.ledger_writer().commit(&issue(&tokens)).await.unwrap();
    let before = listed(&store, AuditPosition::Newest, 100).await;
    assert_eq!(before.len(), 7);
    let cursor = before[2].position;

    // Into a younger cluster, and from there into the older one again.
    let mut url = url;
    for (round, source, target) in [(0_u64, &old, &young), (1, &young, &old)] {
        let dump = tokio::task::block_in_place(|| source.dump(&url));
        url = target.restore(&dump).await;
        let restored = open(url.clone()).await;
        assert_eq!(restored.migrate().await.unwrap(), 0);
        let rows = listed(&restored, AuditPosition::Newest, 100).await;
        if round == 0 {
            assert_eq!(names(&rows), names(&before), "all rows, in the same order");
        }
        let (known, position) = revocations_since(&restored, LogPosition::default()).await;
        assert_eq!(known, (1..=3 + round).map(cut_off).collect::<Vec<_>>());
        let changes = restored.changes_position().await.unwrap();
        let newest = rows[0].position;

        // What happens now comes after everything that was restored, for lists and followers.
        change(&restored, 4 + round).await;
        let found = listed(&restored, AuditPosition::After(newest.0, newest.1), 100).await;
        let id = format!("c{}", 4 + round);
        assert_eq!(
            names(&found),
            [format!("client.create {id}"), format!("revocation.cutoff {id}")]
        );
        let all = listed(&restored, AuditPosition::Newest, 100).await;
        assert_eq!(names(&all[2..]), names(&rows));
        assert_eq!(revocations_since(&restored, position).await.0, [cut_off(4 + round)]);
        let (followed, next) = restored.changes_since(changes).await.unwrap();
        assert_eq!(followed, [Change::Client(id)]);
        assert!(
            restored.changes_since(next).await.unwrap().0.is_empty(),
            "not returned again"
        );

        // A cursor from before the dump goes on with the same rows.
        let rest = listed(&restored, AuditPosition::Before(cursor.0, cursor.1), 100).await;
        assert_eq!(names(&rest), names(&before[3..]));
        let page = restored.list_tokens("c1", NOW, None, 1).await.unwrap();
        assert_eq!(page.items[0].record.jti, tokens[1].jti);
        let page = restored.list_tokens("c1", NOW, Some(tokens[1].jti), 1).await.unwrap();
        assert_eq!(page.items[0].record.jti, tokens[0].jti);
        assert_eq!(restored.keys().await.unwrap()[0].kid, "k1");
    }
}

/// Rows that were restored without the sequences of their ids.
#[tokio::test(flavor = "multi_thread")]
async fn sequences_are_moved_past_restored_rows() {
    let url = Postgres::shared().database().await;
    let store = open(url.clone()).await;
    store.migrate().await.unwrap();
    change(&store, 1).await;
    let reset = "SELECT setval(pg_get_serial_sequence(name, 'id'), 1, false)
        FROM unnest(ARRAY['client_secrets', 'revocations', 'audit_log']) AS name";
    connect(&url).await.query(reset, &[]).await.unwrap();
    assert_eq!(store.migrate().await.unwrap(), 0);
    change(&store, 2).await;
    // Rows are hidden while an older transaction of another test runs on the same server.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut rows = Vec::new();
    while rows.len() < 4 {
        assert!(Instant::now() < deadline, "{rows:?}");
        rows = listed(&store, AuditPosition::Newest, 100).await;
    }
    assert_eq!(rows.len(), 4);
}
