//! Postgres only: partitions, failover, locks and sessions.

use std::time::{Duration, Instant};

use oauth2_store::StoreError;
use oauth2_store::model::{Revocation, RevocationTarget};
use oauth2_store::{Location, Store, StoreOptions};

use crate::fixture::{Fixture, NOW, audit, client, issue, options, token};
use oauth2_testkit::postgres::{Postgres, connect};

const SLOT: i64 = 6 * 3600;

on_postgres!(
    partitions_are_created_and_dropped,
    locked_ledger_is_left_for_the_next_round,
    concurrent_nodes_share_maintenance,
    blocked_batch_times_out,
    collision_is_retried,
    partition_attached_during_a_batch_does_not_fail_it,
    every_commit_is_synchronous,
    cancelled_verbs_leave_a_clean_pool,
);

async fn partitions_are_created_and_dropped(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let mut writer = f.store.ledger_writer();
    // Before any partition exists: a row of slot 2, which goes to the default partition.
    let stray = token("ci", NOW, 2 * SLOT + 60);
    writer.commit(&issue(std::slice::from_ref(&stray))).await.unwrap();

    let first_round = f.store.maintain(NOW, SLOT).await.unwrap();
    // Slots 0 and 1 are needed, 2 and 3 are created ahead; the stray row prevents the partition of slot 2.
    assert_eq!(first_round.partitions_created, 3);
    let figures = f.store.ledger_figures(NOW).await.unwrap();
    let starts = [0, 1, 3].map(|slot| NOW.div_euclid(SLOT) * SLOT + slot * SLOT);
    assert_eq!(figures.partition_starts, starts);
    assert_eq!((figures.default_partition_rows, figures.purge_rows_waiting), (1, 0));
    assert_eq!(f.store.partitions_needed(NOW, SLOT), 3);
    let admin = connect(f.url()).await;
    let first = "SELECT count(*) FROM tokens_p20261124_18";
    writer.commit(&issue(&[token("ci", NOW, 60)])).await.unwrap();
    assert_eq!(
        admin.query_one(first, &[]).await.unwrap().get::<_, i64>(0),
        1,
        "rows go to the partition of their slot"
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
    assert_eq!((again.partitions_created, again.partitions_dropped), (0, 0));

    // The first partition is dropped an hour after the end of its slot; later the stray row is deleted.
    let waiting = f.store.ledger_figures(NOW + SLOT + 3601).await.unwrap();
    assert_eq!(waiting.purge_rows_waiting, 1);
    let later = f.store.maintain(NOW + SLOT + 3601, 0).await.unwrap();
    assert_eq!(later.partitions_dropped, 1);
    assert!(admin.query_one(first, &[]).await.is_err());
    let waiting = f.store.ledger_figures(stray.expires_at + 3601).await.unwrap();
    assert_eq!(waiting.purge_rows_waiting, 1);
    let last = f.store.maintain(stray.expires_at + 3601, 0).await.unwrap();
    let figures = f.store.ledger_figures(stray.expires_at + 3601).await.unwrap();
    let rows = [
        last.tokens_deleted,
        figures.default_partition_rows,
        figures.purge_rows_waiting,
    ];
    assert_eq!(rows, [1, 0, 0]);
    assert!(f.store.token(stray.jti, None).await.unwrap().is_none());
}

async fn locked_ledger_is_left_for_the_next_round(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let holder = connect(f.url()).await;
    holder
        .batch_execute("BEGIN; LOCK TABLE tokens IN SHARE UPDATE EXCLUSIVE MODE")
        .await
        .unwrap();
    let started = Instant::now();
    let round = f.store.maintain(NOW, 0).await.unwrap();
    assert_eq!(round.partitions_created, 0);
    assert!(started.elapsed() < Duration::from_secs(5));
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(f.store.maintain(NOW, 0).await.unwrap().partitions_created, 3);
}

async fn concurrent_nodes_share_maintenance(kind: &str) {
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
    let figures = f.store.ledger_figures(NOW).await.unwrap();
    assert_eq!(created as usize, figures.partition_starts.len());
    assert_eq!(created, 123);
}

#[tokio::test(flavor = "multi_thread")]
async fn store_recovers_when_the_server_returns() {
    let mut server = Postgres::start(false);
    let url = server.database().await;
    let store = Store::open(&options(Location::Postgres(url))).await.unwrap();
    store.migrate().await.unwrap();
    let mut writer = store.ledger_writer();
    writer.commit(&issue(&[token("ci", NOW, 60)])).await.unwrap();
    let callers = (0..3).map(|_| store.ping());
    assert!(futures_util::future::join_all(callers).await.iter().all(Result::is_ok));

    server.stop();
    for _ in 0..3 {
        let started = Instant::now();
        let read = store.client("ci").await;
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
        assert!(
            started.elapsed() < Duration::from_millis(500),
            "{:?}",
            started.elapsed()
        );
        let started = Instant::now();
        let written = writer.commit(&issue(&[token("ci", NOW, 60)])).await;
        assert!(matches!(written, Err(StoreError::Unavailable(_))), "{written:?}");
        assert!(
            started.elapsed() < Duration::from_millis(500),
            "{:?}",
            started.elapsed()
        );
    }

    server.resume();
    let started = Instant::now();
    while store.client("ci").await.is_err() || writer.commit(&issue(&[token("ci", NOW, 60)])).await.is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "the store recovers without being opened again"
        );
    }
    assert_eq!(store.list_tokens("ci", NOW, None, 10).await.unwrap().items.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_or_read_only_session_is_replaced() {
    let f = Fixture::migrated("postgres").await;
    let mut writer = f.store.ledger_writer();
    writer.commit(&issue(&[token("ci", NOW, 60)])).await.unwrap();
    f.store.ping().await.unwrap();
    let admin = connect(f.url()).await;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE application_name = 'oauth2_server' AND datname = current_database()";
    admin.query_one(kill, &[]).await.unwrap();
    let first = writer.commit(&issue(&[token("ci", NOW, 60)])).await;
    assert!(matches!(first, Ok(()) | Err(StoreError::Unavailable(_))), "{first:?}");
    writer.commit(&issue(&[token("ci", NOW, 60)])).await.unwrap();

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
    let mut outcome = writer.commit(&issue(&[token("ci", NOW, 60)])).await;
    if matches!(&outcome, Err(StoreError::Unavailable(text)) if !text.contains("25006")) {
        outcome = writer.commit(&issue(&[token("ci", NOW, 60)])).await;
    }
    assert!(
        matches!(&outcome, Err(StoreError::NotWritable(text)) if text.contains("25006")),
        "{outcome:?}"
    );
    let back = format!("BEGIN READ WRITE; {} = off; COMMIT", set.replace("CURRENT", &name));
    admin.batch_execute(&back).await.unwrap();
    writer
        .commit(&issue(&[token("ci", NOW, 60)]))
        .await
        .expect("the read-only session was not kept");
}

async fn blocked_batch_times_out(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let mut writer = f.store.ledger_writer();
    writer.commit(&issue(&[token("ci", NOW, 60)])).await.unwrap();
    let holder = connect(f.url()).await;
    holder.batch_execute("BEGIN; LOCK TABLE tokens").await.unwrap();
    let started = Instant::now();
    let blocked = writer.commit(&issue(&[token("ci", NOW, 60)])).await;
    assert_eq!(blocked, Err(StoreError::Timeout));
    assert!(started.elapsed() < Duration::from_millis(1500));
    holder.batch_execute("COMMIT").await.unwrap();
    writer.commit(&issue(&[token("ci", NOW, 60)])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_figures_include_the_ledger_connection() {
    let f = Fixture::migrated("postgres").await;
    let few = StoreOptions {
        max_connections: 2,
        ..f.options.clone()
    };
    let store = Store::open(&few).await.unwrap();
    let mut writer = store.ledger_writer();
    let (row, blocked) = (token("ci", NOW, 60), issue(&[token("ci", NOW, 60)]));
    writer.commit(&issue(std::slice::from_ref(&row))).await.unwrap();
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
    let both = async { tokio::join!(writer.commit(&blocked), store.token(row.jti, None), busy) };
    let (committed, found, ()) = tokio::time::timeout(Duration::from_secs(5), both).await.unwrap();
    assert!(committed.is_ok() && found.unwrap().is_some());
    assert_eq!(figures(), [0, 2, 2]);
}

async fn collision_is_retried(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let admin = connect(f.url()).await;
    // A sequence keeps its value when the transaction is rolled back.
    let trigger = "CREATE SEQUENCE attempts;
        CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('attempts') % 3 <> 0 THEN RAISE EXCEPTION 'collision' USING ERRCODE = '40001'; END IF;
            RETURN NEW; END $$;
        CREATE TRIGGER collide BEFORE INSERT ON clients FOR EACH ROW EXECUTE FUNCTION collide()";
    admin.batch_execute(trigger).await.unwrap();
    f.store
        .create_client(&client("ci"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    assert_eq!(
        admin
            .query_one("SELECT last_value FROM attempts", &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        3
    );
}

/// A batch is being inserted into the default partition while its own partition is attached. The retry succeeds.
async fn partition_attached_during_a_batch_does_not_fail_it(kind: &str) {
    let f = Fixture::migrated(kind).await;
    let mut writer = f.store.ledger_writer();
    writer.commit(&issue(&[token("ci", NOW, 60)])).await.unwrap();
    let (ddl, observer) = (connect(f.url()).await, connect(f.url()).await);
    ddl.batch_execute(
        "BEGIN; CREATE TABLE own (LIKE tokens INCLUDING ALL);
             ALTER TABLE tokens ATTACH PARTITION own FOR VALUES FROM ('2027-01-01') TO ('2027-02-01')",
    )
    .await
    .unwrap();
    // 2027-01-10, which belongs to the default partition until then.
    let late = token("ci", NOW, 47 * 86_400);
    let batch = [late.clone()];
    let commit = tokio::spawn(async move { writer.commit(&issue(&batch)).await });
    let waiting = "SELECT count(*) FROM pg_locks
        WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while observer.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(!commit.is_finished(), "the batch must wait for the lock");
    }
    ddl.batch_execute("COMMIT").await.unwrap();
    assert_eq!(commit.await.unwrap(), Ok(()));
    let found = "SELECT count(*) FROM own WHERE jti = $1";
    assert_eq!(
        observer.query_one(found, &[&late.jti]).await.unwrap().get::<_, i64>(0),
        1
    );
}

/// Independently of the default of the database.
async fn every_commit_is_synchronous(kind: &str) {
    let f = Fixture::empty(kind).await;
    let admin = connect(f.url()).await;
    let asynchronous = "DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$";
    admin.batch_execute(asynchronous).await.unwrap();
    let store = Store::open(&f.options).await.unwrap();
    store.migrate().await.unwrap();
    let trigger = "CREATE TABLE seen (name text, settings text);
        CREATE FUNCTION record_settings() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO seen VALUES (TG_TABLE_NAME, current_setting('synchronous_commit') || ', ' || current_setting('statement_timeout'));
            RETURN NULL; END $$;
        CREATE TRIGGER record_settings AFTER INSERT ON tokens FOR EACH STATEMENT EXECUTE FUNCTION record_settings();
        CREATE TRIGGER record_settings AFTER INSERT ON revocations FOR EACH STATEMENT EXECUTE FUNCTION record_settings();
        CREATE TRIGGER record_settings AFTER INSERT ON clients FOR EACH STATEMENT EXECUTE FUNCTION record_settings()";
    admin.batch_execute(trigger).await.unwrap();
    store
        .ledger_writer()
        .commit(&issue(&[token("ci", NOW, 60)]))
        .await
        .unwrap();
    store
        .create_client(&client("ci"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    let cut = Revocation::new(RevocationTarget::Issuer, 1);
    store.revoke(&cut, 1, &audit("revocation.cutoff")).await.unwrap();
    let rows = admin
        .query("SELECT DISTINCT name, settings FROM seen ORDER BY name", &[])
        .await
        .unwrap();
    let seen: Vec<(&str, &str)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(
        seen,
        [("clients", "on, 1s"), ("revocations", "on, 1s"), ("tokens", "on, 1s")]
    );
}

async fn cancelled_verbs_leave_a_clean_pool(kind: &str) {
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
        let rotation = f.store.rotate_secret("ci", None, &[5; 32], NOW, NOW, &entry);
        assert!(tokio::time::timeout(Duration::from_millis(50), rotation).await.is_err());
    }
    assert_eq!(f.store.pool_use().active, 0);
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(f.store.client("ci").await.unwrap().unwrap().version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_the_cause_and_omit_the_password() {
    let server = Postgres::shared();
    let missing = Store::open(&options(Location::Postgres(server.url("no_such_database"))))
        .await
        .unwrap();
    for outcome in [
        missing.ping().await.map(drop),
        missing.ledger_writer().commit(&issue(&[token("c", NOW, 9)])).await,
    ] {
        assert!(
            matches!(&outcome, Err(StoreError::Corrupt(text)) if text.contains("no_such_database")),
            "{outcome:?}"
        );
    }
    for url in [
        "postgres://u:hunter2@127.0.0.1/x?sslmode=verify-full",
        "postgres://u:hunter2@h:port/x",
    ] {
        let error = Store::open(&options(Location::Postgres(url.into()))).await.err();
        let Some(StoreError::Corrupt(text)) = error else {
            panic!("{error:?}")
        };
        assert!(!text.contains("hunter2"), "{text}");
    }
    let shown = format!("{missing:?}");
    assert!(!shown.contains("127.0.0.1"), "{shown}");
}
