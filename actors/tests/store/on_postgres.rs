//! What only a server can do, or fail at.

use std::time::{Duration, Instant};

use oauth2_actors::error::StoreError;
use oauth2_actors::model::{Revocation, RevocationTarget};
use oauth2_actors::store::{Location, Store, StoreOptions};

use crate::fixture::{Fixture, NOW, audit, client, options, token};
use oauth2_testkit::postgres::{Postgres, connect};

const SLOT: i64 = 6 * 3600;

on_postgres!(
    partitions_come_and_go,
    a_locked_ledger_waits_for_the_next_round,
    nodes_maintain_together,
    a_stuck_batch_times_out,
    a_collision_is_tried_again,
    a_partition_attached_under_a_batch_does_not_fail_it,
    every_commit_waits_for_the_disk,
    a_caller_that_leaves_leaves_a_clean_pool,
);

async fn partitions_come_and_go(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let mut writer = f.store.ledger_writer();
    // Before any partition: a stray of the next slot but one.
    let stray = token("ci", NOW, 2 * SLOT + 60);
    writer.commit(std::slice::from_ref(&stray)).await.unwrap();

    let made = f.store.maintain(NOW, SLOT).await.unwrap();
    // Slots 0 and 1 are needed, 2 and 3 are ahead; the stray keeps 2 from being made.
    assert_eq!(
        (made.partitions_created, made.partitions, made.default_partition_rows),
        (3, 3, 1)
    );
    let admin = connect(f.url()).await;
    let first = "SELECT count(*) FROM tokens_p20261124_18";
    writer.commit(&[token("ci", NOW, 60)]).await.unwrap();
    assert_eq!(
        admin.query_one(first, &[]).await.unwrap().get::<_, i64>(0),
        1,
        "rows go to their slot"
    );
    assert!(f.store.token(stray.jti, None).await.unwrap().is_some());
    assert!(
        f.store
            .token(stray.jti, Some(stray.expires_at))
            .await
            .unwrap()
            .is_some()
    );

    let again = f.store.maintain(NOW, SLOT).await.unwrap();
    assert_eq!(
        (again.partitions_created, again.partitions_dropped, again.partitions),
        (0, 0, 3)
    );

    // An hour after the first slot's end it is dropped whole; later the stray is deleted by itself.
    let later = f.store.maintain(NOW + SLOT + 3601, 0).await.unwrap();
    assert_eq!(later.partitions_dropped, 1);
    assert!(admin.query_one(first, &[]).await.is_err());
    let last = f.store.maintain(stray.expires_at + 3601, 0).await.unwrap();
    assert_eq!((last.tokens_deleted, last.default_partition_rows), (1, 0));
    assert!(f.store.token(stray.jti, None).await.unwrap().is_none());
}

async fn a_locked_ledger_waits_for_the_next_round(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let holder = connect(f.url()).await;
    holder
        .batch_execute("BEGIN; LOCK TABLE tokens IN SHARE UPDATE EXCLUSIVE MODE")
        .await
        .unwrap();
    let begun = Instant::now();
    let round = f.store.maintain(NOW, 0).await.unwrap();
    assert_eq!(round.partitions_created, 0);
    assert!(begun.elapsed() < Duration::from_secs(5));
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(f.store.maintain(NOW, 0).await.unwrap().partitions_created, 3);
}

async fn nodes_maintain_together(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let rounds = (0..4).map(|_| {
        let store = f.store.clone();
        tokio::spawn(async move { store.maintain(NOW, 30 * 24 * 3600).await.unwrap().partitions_created })
    });
    let created: u32 = futures_util::future::join_all(rounds)
        .await
        .into_iter()
        .map(Result::unwrap)
        .sum();
    assert_eq!(created, f.store.maintain(NOW, 0).await.unwrap().partitions);
    assert_eq!(created, 123);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_and_comes_back() {
    let mut server = Postgres::start(false);
    let url = server.database().await;
    let store = Store::open(&options(Location::Postgres(url))).await.unwrap();
    store.migrate().await.unwrap();
    let mut writer = store.ledger_writer();
    writer.commit(&[token("ci", NOW, 60)]).await.unwrap();
    let callers = (0..3).map(|_| store.ping());
    assert!(futures_util::future::join_all(callers).await.iter().all(Result::is_ok));

    server.stop();
    for _ in 0..3 {
        let begun = Instant::now();
        let read = store.client("ci").await;
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        let begun = Instant::now();
        let written = writer.commit(&[token("ci", NOW, 60)]).await;
        assert!(matches!(written, Err(StoreError::Unavailable(_))), "{written:?}");
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }

    server.resume();
    let begun = Instant::now();
    while store.client("ci").await.is_err() || writer.commit(&[token("ci", NOW, 60)]).await.is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "it recovers without being opened again"
        );
    }
    assert_eq!(store.list_tokens("ci", NOW, None, 10).await.unwrap().items.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_or_read_only_session_is_replaced() {
    let f = Fixture::migrated("postgres").await;
    let mut writer = f.store.ledger_writer();
    writer.commit(&[token("ci", NOW, 60)]).await.unwrap();
    f.store.ping().await.unwrap();
    let admin = connect(f.url()).await;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE application_name = 'oauth2_server' AND datname = current_database()";
    admin.query_one(kill, &[]).await.unwrap();
    let first = writer.commit(&[token("ci", NOW, 60)]).await;
    assert!(matches!(first, Ok(()) | Err(StoreError::Unavailable(_))), "{first:?}");
    writer.commit(&[token("ci", NOW, 60)]).await.unwrap();

    let set = "ALTER DATABASE CURRENT SET default_transaction_read_only";
    let name: String = admin
        .query_one("SELECT current_database()::text", &[])
        .await
        .unwrap()
        .get(0);
    admin
        .batch_execute(&format!("{} = on", set.replace("CURRENT", &name)))
        .await
        .unwrap();
    admin.query_one(kill, &[]).await.unwrap();
    let mut refused = writer.commit(&[token("ci", NOW, 60)]).await;
    if matches!(&refused, Err(StoreError::Unavailable(text)) if !text.contains("25006")) {
        refused = writer.commit(&[token("ci", NOW, 60)]).await;
    }
    assert!(
        matches!(&refused, Err(StoreError::Unavailable(text)) if text.contains("25006")),
        "{refused:?}"
    );
    let back = format!("BEGIN READ WRITE; {} = off; COMMIT", set.replace("CURRENT", &name));
    admin.batch_execute(&back).await.unwrap();
    writer
        .commit(&[token("ci", NOW, 60)])
        .await
        .expect("the read-only session was not kept");
}

async fn a_stuck_batch_times_out(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let mut writer = f.store.ledger_writer();
    writer.commit(&[token("ci", NOW, 60)]).await.unwrap();
    let holder = connect(f.url()).await;
    holder.batch_execute("BEGIN; LOCK TABLE tokens").await.unwrap();
    let begun = Instant::now();
    let stuck = writer.commit(&[token("ci", NOW, 60)]).await;
    assert_eq!(stuck, Err(StoreError::Timeout));
    assert!(begun.elapsed() < Duration::from_millis(1500));
    holder.batch_execute("COMMIT").await.unwrap();
    writer.commit(&[token("ci", NOW, 60)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_cover_the_ledgers_connection() {
    let f = Fixture::migrated("postgres").await;
    let few = StoreOptions {
        max_connections: 2,
        ..f.options.clone()
    };
    let store = Store::open(&few).await.unwrap();
    let mut writer = store.ledger_writer();
    let (row, stuck) = (token("ci", NOW, 60), token("ci", NOW, 60));
    writer.commit(std::slice::from_ref(&row)).await.unwrap();
    store.ping().await.unwrap();
    let figures = || {
        let pool = store.pool_use();
        [pool.active, pool.open, pool.max]
    };
    assert_eq!(figures(), [0, 2, 2]);
    let holder = connect(f.url()).await;
    holder.batch_execute("BEGIN; LOCK TABLE tokens").await.unwrap();
    let busy = async {
        while figures() != [2, 2, 2] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        holder.batch_execute("COMMIT").await.unwrap();
    };
    let both = async {
        tokio::join!(
            writer.commit(std::slice::from_ref(&stuck)),
            store.token(row.jti, None),
            busy
        )
    };
    let (committed, found, ()) = tokio::time::timeout(Duration::from_secs(5), both).await.unwrap();
    assert!(committed.is_ok() && found.unwrap().is_some());
    assert_eq!(figures(), [0, 2, 2]);
}

async fn a_collision_is_tried_again(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let admin = connect(f.url()).await;
    // A sequence outlives the rollback of the transaction that drew from it.
    let trigger = "CREATE SEQUENCE tries;
        CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('tries') % 3 <> 0 THEN RAISE EXCEPTION 'collision' USING ERRCODE = '40001'; END IF;
            RETURN NEW; END $$;
        CREATE TRIGGER collide BEFORE INSERT ON clients FOR EACH ROW EXECUTE FUNCTION collide()";
    admin.batch_execute(trigger).await.unwrap();
    f.store
        .create_client(&client("ci"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    assert_eq!(
        admin
            .query_one("SELECT last_value FROM tries", &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        3
    );
}

/// A batch is on its way into the default partition while a partition of its own is attached. Nobody is told of it.
async fn a_partition_attached_under_a_batch_does_not_fail_it(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let mut writer = f.store.ledger_writer();
    writer.commit(&[token("ci", NOW, 60)]).await.unwrap();
    let (maker, watcher) = (connect(f.url()).await, connect(f.url()).await);
    maker
        .batch_execute(
            "BEGIN; CREATE TABLE own (LIKE tokens INCLUDING ALL);
             ALTER TABLE tokens ATTACH PARTITION own FOR VALUES FROM ('2027-01-01') TO ('2027-02-01')",
        )
        .await
        .unwrap();
    // 2027-01-10, until now the default partition's.
    let late = token("ci", NOW, 47 * 86_400);
    let batch = [late.clone()];
    let commit = tokio::spawn(async move { writer.commit(&batch).await });
    let waiting = "SELECT count(*) FROM pg_locks
        WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(!commit.is_finished(), "the batch must meet the lock");
    }
    maker.batch_execute("COMMIT").await.unwrap();
    assert_eq!(commit.await.unwrap(), Ok(()));
    let found = "SELECT count(*) FROM own WHERE jti = $1";
    assert_eq!(
        watcher.query_one(found, &[&late.jti]).await.unwrap().get::<_, i64>(0),
        1
    );
}

/// Whatever the database's own default is.
async fn every_commit_waits_for_the_disk(kind: &str) {
    let f = Fixture::empty(kind).await;
    let admin = connect(f.url()).await;
    let lax = "DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$";
    admin.batch_execute(lax).await.unwrap();
    let store = Store::open(&f.options).await.unwrap();
    store.migrate().await.unwrap();
    let trigger = "CREATE TABLE seen (what text, how text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO seen VALUES (TG_TABLE_NAME, current_setting('synchronous_commit') || ', ' || current_setting('statement_timeout'));
            RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT ON tokens FOR EACH STATEMENT EXECUTE FUNCTION note();
        CREATE TRIGGER note AFTER INSERT ON revocations FOR EACH STATEMENT EXECUTE FUNCTION note();
        CREATE TRIGGER note AFTER INSERT ON clients FOR EACH STATEMENT EXECUTE FUNCTION note()";
    admin.batch_execute(trigger).await.unwrap();
    store.ledger_writer().commit(&[token("ci", NOW, 60)]).await.unwrap();
    store
        .create_client(&client("ci"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    let cut = Revocation {
        target: RevocationTarget::Issuer,
        cutoff_ms: 1,
    };
    store.revoke(&cut, 1, &audit("revocation.cutoff")).await.unwrap();
    let rows = admin
        .query("SELECT DISTINCT what, how FROM seen ORDER BY what", &[])
        .await
        .unwrap();
    let seen: Vec<(&str, &str)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(
        seen,
        [("clients", "on, 1s"), ("revocations", "on, 1s"), ("tokens", "on, 1s")]
    );
}

async fn a_caller_that_leaves_leaves_a_clean_pool(kind: &str) {
    let f = Fixture::migrated(kind).await;
    f.store
        .create_client(&client("ci"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    let holder = connect(f.url()).await;
    holder
        .batch_execute("BEGIN; SELECT 1 FROM clients FOR UPDATE")
        .await
        .unwrap();
    for _ in 0..6 {
        let entry = audit("client.rotate_secret");
        let rotation = f.store.rotate_secret("ci", &[5; 32], NOW, NOW, &entry);
        assert!(tokio::time::timeout(Duration::from_millis(50), rotation).await.is_err());
    }
    assert_eq!(f.store.pool_use().active, 0);
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(f.store.client("ci").await.unwrap().unwrap().version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_why_and_keep_the_password() {
    let server = Postgres::shared();
    let missing = Store::open(&options(Location::Postgres(server.url("no_such_database"))))
        .await
        .unwrap();
    for refused in [
        missing.ping().await.map(drop),
        missing.ledger_writer().commit(&[token("c", NOW, 9)]).await,
    ] {
        assert!(
            matches!(&refused, Err(StoreError::Corrupt(text)) if text.contains("no_such_database")),
            "{refused:?}"
        );
    }
    for url in [
        "postgres://u:hunter2@127.0.0.1/x?sslmode=verify-full",
        "postgres://u:hunter2@h:port/x",
    ] {
        let refused = Store::open(&options(Location::Postgres(url.into()))).await.err();
        let Some(StoreError::Corrupt(text)) = refused else {
            panic!("{refused:?}")
        };
        assert!(!text.contains("hunter2"), "{text}");
    }
    let shown = format!("{missing:?}");
    assert!(!shown.contains("127.0.0.1"), "{shown}");
}
