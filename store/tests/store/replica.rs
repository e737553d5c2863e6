//! Reads of a streaming replica: they are as complete as those of the primary, or the primary answers.

use std::time::Duration;

use oauth2_store::model::{AuditFilter, AuditPosition, AuditRow, TokenRecord};
use oauth2_store::{Fallback, Location, Pooler, ReadReplica, ReplicaState, Store, StoreOptions};
use oauth2_testkit::postgres::{Postgres, connect};
use oauth2_testkit::until;

use crate::fixture::{NOW, audit, issue, options, token};

const PATIENCE: Duration = Duration::from_secs(30);

/// Far above what tests take: whether the replica answers depends on what it has replayed alone.
const UNLIMITED: Duration = Duration::from_hours(1);

struct Replicated {
    primary: Postgres,
    standby: Postgres,
    name: String,
    store: Store,
    options: StoreOptions,
}

impl Replicated {
    async fn start(pooler: Pooler, max_lag: Duration) -> Replicated {
        let primary = Postgres::start(false);
        let url = primary.database().await;
        let name = url.rsplit('/').next().unwrap().to_owned();
        let standby = tokio::task::block_in_place(|| primary.standby());
        let mut options = options(Location::Postgres(url));
        options.acquire_timeout = Duration::from_secs(5);
        options.pooler = pooler;
        options.read_at = Some(ReadReplica {
            url: standby.url(&name),
            max_connections: 2,
            max_lag,
        });
        let store = Store::open(&options).await.unwrap();
        store.migrate().await.unwrap();
        let replicated = Replicated {
            primary,
            standby,
            name,
            store,
            options,
        };
        replicated.is_in_use().await;
        replicated
    }

    /// Waits until the replica is read from.
    async fn is_in_use(&self) {
        until(PATIENCE, "the replica is in use", async || {
            self.store.check_replica().await.unwrap().is_in_use()
        })
        .await;
    }

    async fn execute_on_standby(&self, sql: &str) {
        connect(&self.standby.url(&self.name))
            .await
            .batch_execute(sql)
            .await
            .unwrap();
    }

    async fn issue(&self, tokens: &[TokenRecord]) {
        self.store.ledger_writer().commit(&issue(tokens)).await.unwrap();
    }

    fn of_replica(&self) -> u64 {
        self.store.read_counts().unwrap().of_replica()
    }

    fn fallbacks(&self, reason: Fallback) -> u64 {
        self.store.read_counts().unwrap().fallbacks(reason)
    }

    /// The whole audit log by pages of one row, from the replica if that is possible.
    async fn pages(&self) -> Vec<AuditRow> {
        let (mut rows, mut from) = (Vec::new(), AuditPosition::Newest);
        loop {
            let page = self
                .store
                .reads()
                .audit(&AuditFilter::default(), from, 1)
                .await
                .unwrap();
            let Some(row) = page.into_iter().next() else {
                return rows;
            };
            from = AuditPosition::Before(row.position.0, row.position.1);
            rows.push(row);
        }
    }

    /// The whole audit log from the primary.
    async fn whole(&self) -> Vec<AuditRow> {
        let newest = AuditPosition::Newest;
        self.store.audit(&AuditFilter::default(), newest, 1000).await.unwrap()
    }

    async fn append(&self, action: &'static str) {
        self.store
            .record_audit(&audit(action), "client", "c", NOW)
            .await
            .unwrap();
    }
}

async fn tokens_are_found_on_the_replica_or_on_the_primary(pooler: Pooler) {
    let r = Replicated::start(pooler, UNLIMITED).await;
    let known: Vec<_> = (0..3).map(|n| token("c", NOW, 60 + n)).collect();
    r.issue(&known).await;
    let ids = |tokens: &[TokenRecord]| -> Vec<_> { tokens.iter().map(|one| (one.jti, one.expires_at)).collect() };
    until(PATIENCE, "the replica has the tokens", async || {
        let before = r.fallbacks(Fallback::Missing);
        let found = r.store.reads().tokens_by_id(&ids(&known)).await.unwrap();
        assert_eq!(found.len(), 3, "also while the replica does not have them");
        r.fallbacks(Fallback::Missing) == before
    })
    .await;
    let before = r.of_replica();
    for one in &known {
        let found = r.store.reads().token(one.jti, one.expires_at).await.unwrap();
        assert_eq!(found.unwrap().record.jti, one.jti);
    }
    assert_eq!(r.of_replica(), before + 3);

    r.execute_on_standby("SELECT pg_wal_replay_pause()").await;
    let new = token("c", NOW, 60);
    r.issue(std::slice::from_ref(&new)).await;
    let before = r.fallbacks(Fallback::Missing);
    let found = r.store.reads().token(new.jti, new.expires_at).await.unwrap();
    assert_eq!(found.unwrap().record.jti, new.jti);
    let mixed = [known.clone(), vec![new.clone()]].concat();
    assert_eq!(r.store.reads().tokens_by_id(&ids(&mixed)).await.unwrap().len(), 4);
    let unknown = r.store.reads().token(token("c", NOW, 1).jti, NOW + 1).await.unwrap();
    assert!(unknown.is_none());
    assert_eq!(r.fallbacks(Fallback::Missing), before + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_found_on_either_server() {
    tokens_are_found_on_the_replica_or_on_the_primary(Pooler::None).await;
}

/// As through a pooler of the replica: each read checks the server within its own transaction.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_found_on_either_server_in_transaction_mode() {
    tokens_are_found_on_the_replica_or_on_the_primary(Pooler::Transaction).await;
}

/// Open and aborted transactions order and hide the same rows on both servers, and a page never lacks what was committed before it.
#[tokio::test(flavor = "multi_thread")]
async fn lists_of_the_replica_equal_those_of_the_primary() {
    let r = Replicated::start(Pooler::None, UNLIMITED).await;
    let insert = "INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
                  VALUES (now(), 'x', 'client.update', 'client', 'held', '{}')";
    let held = connect(&r.primary.url(&r.name)).await;
    let aborted = connect(&r.primary.url(&r.name)).await;
    for _ in 0..3 {
        r.append("client.create").await;
        held.batch_execute(&format!("BEGIN; {insert}")).await.unwrap();
        aborted.batch_execute(&format!("BEGIN; {insert}")).await.unwrap();
        r.append("client.update").await;
        aborted.batch_execute("ROLLBACK").await.unwrap();
        r.append("client.delete").await;
        let (hidden, before) = (r.whole().await, r.of_replica());
        assert_eq!(
            r.pages().await,
            hidden,
            "the rows after an open transaction are left out"
        );
        held.batch_execute("COMMIT").await.unwrap();
        let whole = r.whole().await;
        assert_eq!(whole.len(), hidden.len() + 3);
        assert_eq!(r.pages().await, whole);
        assert!(r.of_replica() > before, "read from the replica");
    }
    // At once after a transaction that no commit flushes to the replica.
    for n in 1..=20 {
        aborted.batch_execute(&format!("BEGIN; {insert}")).await.unwrap();
        r.append("client.update").await;
        aborted.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(r.whole().await.len(), 12 + n);
        let newest = r
            .store
            .reads()
            .audit(&AuditFilter::default(), AuditPosition::Newest, 1000)
            .await
            .unwrap();
        assert_eq!(newest.len(), 12 + n, "a list shows what was committed before it");
        let issued = token("listed", NOW, 3600);
        r.issue(std::slice::from_ref(&issued)).await;
        let listed = r.store.reads().list_tokens("listed", NOW, None, 1000).await.unwrap();
        assert_eq!(listed.items.len(), n);
    }
}

/// A snapshot of before the replica has caught up would lack what is listed.
#[tokio::test(flavor = "multi_thread")]
async fn lists_are_complete_with_another_default_isolation() {
    let r = Replicated::start(Pooler::None, UNLIMITED).await;
    let sql = format!(
        "ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'",
        r.name
    );
    connect(&r.primary.url(&r.name))
        .await
        .batch_execute(&sql)
        .await
        .unwrap();
    until(PATIENCE, "the standby has the setting", async || {
        let session = connect(&r.standby.url(&r.name)).await;
        let shown = session
            .query_one("SHOW default_transaction_isolation", &[])
            .await
            .unwrap();
        shown.get::<_, &str>(0) == "repeatable read"
    })
    .await;
    let mut options = r.options.clone();
    options.acquire_timeout = Duration::from_secs(6);
    let store = Store::open(&options).await.unwrap();
    until(PATIENCE, "the replica is in use", async || {
        store.check_replica().await.unwrap().is_in_use()
    })
    .await;
    for n in 1..=20 {
        r.append("client.update").await;
        let newest = AuditPosition::Newest;
        let listed = store
            .reads()
            .audit(&AuditFilter::default(), newest, 1000)
            .await
            .unwrap();
        assert_eq!(listed.len(), n);
    }
    assert!(store.read_counts().unwrap().of_replica() > 0);
}

/// Pages of a list may come from different servers.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_both_servers_make_one_list() {
    let r = Replicated::start(Pooler::None, UNLIMITED).await;
    for _ in 0..40 {
        r.append("client.update").await;
    }
    let whole = r.whole().await;
    let (mut rows, mut from) = (Vec::new(), AuditPosition::Newest);
    for page in 0..20 {
        // Newer rows do not move the list.
        let found = if page % 2 == 0 {
            r.store.audit(&AuditFilter::default(), from, 2).await.unwrap()
        } else {
            r.store.reads().audit(&AuditFilter::default(), from, 2).await.unwrap()
        };
        from = AuditPosition::Before(found[1].position.0, found[1].position.1);
        rows.extend(found);
        r.append("client.create").await;
    }
    assert_eq!(rows, whole);
    assert!(r.of_replica() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_behind_is_left_until_it_has_caught_up() {
    let r = Replicated::start(Pooler::None, Duration::from_secs(1)).await;
    r.execute_on_standby("SELECT pg_wal_replay_pause()").await;
    r.append("client.update").await;
    // A list needs the row, and waits for it for a while only.
    let before = r.fallbacks(Fallback::Behind);
    assert_eq!(r.pages().await, r.whole().await);
    assert!(r.fallbacks(Fallback::Behind) > before);
    until(PATIENCE, "the lag is noticed", async || {
        let status = r.store.check_replica().await.unwrap();
        matches!(status.state, ReplicaState::Unused(Fallback::Behind, _))
    })
    .await;
    let lag = r.store.replica_status().unwrap().lag.unwrap();
    assert!(lag >= Duration::from_secs(1), "{lag:?}");
    r.execute_on_standby("SELECT pg_wal_replay_resume()").await;
    r.is_in_use().await;
}

/// A bounded read is refused by what the session has replayed, even before a check notices that the replica is behind.
#[tokio::test(flavor = "multi_thread")]
async fn each_read_checks_how_far_behind_its_server_is() {
    const BOUND: Duration = Duration::from_secs(1);
    let r = Replicated::start(Pooler::None, BOUND).await;
    let known = token("c", NOW, 60);
    r.issue(std::slice::from_ref(&known)).await;
    until(PATIENCE, "the replica has the token", async || {
        let before = r.of_replica();
        r.is_in_use().await;
        drop(r.store.reads().token(known.jti, known.expires_at).await.unwrap());
        r.of_replica() > before
    })
    .await;
    // No check from here on, as if it hung. The bound is a time, so time must pass.
    tokio::time::sleep(BOUND + Duration::from_millis(200)).await;
    let before = (r.of_replica(), r.fallbacks(Fallback::Behind));
    let found = r.store.reads().token(known.jti, known.expires_at).await.unwrap();
    assert_eq!(found.unwrap().record.jti, known.jti);
    assert_eq!(
        (r.of_replica(), r.fallbacks(Fallback::Behind)),
        (before.0, before.1 + 1)
    );
}
