//! SQLite only: the file, its lock and group commit.

use std::os::unix::fs::PermissionsExt;

use oauth2_store::StoreError;
use oauth2_store::{Location, Store};

use crate::fixture::{Fixture, NOW, audit, client, issue, options, token};

#[tokio::test]
async fn file_is_accessible_to_its_owner_only() {
    let f = Fixture::migrated("sqlite").await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(f.path()), 0o600);
    assert_eq!(mode(f.path().parent().unwrap()), 0o700);
    assert_eq!(mode(&f.path().with_extension("db-wal")), 0o600);
}

/// A program that reads the file of a new database, such as a backup or a second server, reads all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_database_appears_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (file, copy) = (directory.path().join("new.db"), directory.path().join("copy.db"));
    let watched = (file.clone(), copy.clone());
    let watch = std::thread::spawn(move || {
        while !watched.0.exists() {}
        std::fs::copy(&watched.0, &watched.1).unwrap();
    });
    let applied = Store::create(&file).await.unwrap();
    assert!(applied > 0);
    watch.join().unwrap();
    let tables = |path: &std::path::Path| -> i64 {
        let connection = rusqlite::Connection::open(path).unwrap();
        let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(tables(&copy), tables(&file));
    assert!(tables(&file) > 5);
    let names = std::fs::read_dir(directory.path()).unwrap();
    assert_eq!(names.count(), 2, "the draft is removed");
}

#[tokio::test]
async fn two_handles_see_each_others_writes() {
    let f = Fixture::migrated("sqlite").await;
    let second = Store::open(&f.options).await.unwrap();
    let start = f.store.changes_position().await.unwrap();
    second
        .create_client(&client("ci"), NOW as u64 * 1000, &audit("client.create"))
        .await
        .unwrap();
    assert_eq!(f.store.changes_since(start).await.unwrap().0.len(), 1);
    let mut writers = [f.store.ledger_writer(), second.ledger_writer()];
    for round in 0..50 {
        writers[round % 2]
            .commit(&issue(&[token("ci", NOW, 60)]))
            .await
            .unwrap();
    }
    assert_eq!(second.list_tokens("ci", NOW, None, 100).await.unwrap().items.len(), 50);
}

#[tokio::test]
async fn lock_of_another_process_is_unavailable() {
    let f = Fixture::migrated("sqlite").await;
    let other = rusqlite::Connection::open(f.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut writer = f.store.ledger_writer();
    let outcome = writer.commit(&issue(&[token("ci", NOW, 60)])).await;
    assert!(
        matches!(&outcome, Err(StoreError::Unavailable(text)) if text.contains("locked")),
        "{outcome:?}"
    );
    assert!(f.store.client("ci").await.unwrap().is_none(), "reads still work");
    // A caller gives up while its change waits for the lock: the change is not made later.
    let late = token("late", NOW, 60);
    let caller = tokio::time::timeout(std::time::Duration::from_millis(50), async {
        writer.commit(&issue(std::slice::from_ref(&late))).await
    });
    assert!(caller.await.is_err());
    other.execute_batch("COMMIT").unwrap();
    writer.commit(&issue(&[token("ci", NOW, 60)])).await.unwrap();
    assert!(f.store.token(late.jti, None).await.unwrap().is_none());
}

/// Number of commits in the write-ahead log: frames that contain the size of the file.
fn commits(log: &std::path::Path) -> usize {
    let log = std::fs::read(log).unwrap();
    let salt = &log[16..24];
    let frames = log[32..].chunks_exact(24 + 4096);
    frames
        .filter(|frame| &frame[8..16] == salt && frame[4..8] != [0; 4])
        .count()
}

#[tokio::test]
async fn waiting_batches_are_committed_together() {
    let f = Fixture::migrated("sqlite").await;
    let taken = token("ci", NOW, 60);
    f.store
        .ledger_writer()
        .commit(&issue(std::slice::from_ref(&taken)))
        .await
        .unwrap();
    let log = f.path().with_extension("db-wal");
    let before = commits(&log);
    let other = rusqlite::Connection::open(f.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The first batch waits for the lock, and the others for the first.
    let mut callers: Vec<_> = (0..10)
        .map(|_| {
            let mut writer = f.store.ledger_writer();
            Box::pin(async move { writer.commit(&issue(&[token("ci", NOW, 60)])).await })
        })
        .collect();
    let mut bad = f.store.ledger_writer();
    let taken_again = issue(std::slice::from_ref(&taken));
    let mut bad = Box::pin(bad.commit(&taken_again));
    for caller in &mut callers[..8] {
        assert!(futures_util::poll!(caller.as_mut()).is_pending());
    }
    other.execute_batch("COMMIT").unwrap();
    for caller in &mut callers[..8] {
        caller.as_mut().await.unwrap();
    }
    assert!(
        commits(&log) - before <= 2,
        "one commit for the first batch and one for all others"
    );

    // A rejected batch does not fail the others.
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(futures_util::poll!(callers[8].as_mut()).is_pending());
    assert!(futures_util::poll!(bad.as_mut()).is_pending());
    assert!(futures_util::poll!(callers[9].as_mut()).is_pending());
    other.execute_batch("COMMIT").unwrap();
    callers[8].as_mut().await.unwrap();
    callers[9].as_mut().await.unwrap();
    assert!(matches!(bad.await, Err(StoreError::Conflict(_))));
    assert_eq!(f.store.list_tokens("ci", NOW, None, 100).await.unwrap().items.len(), 11);
}

#[tokio::test]
async fn errors_name_an_invalid_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "x".repeat(8192)).unwrap();
    let error = Store::open(&options(Location::Sqlite(path))).await.err();
    assert!(
        matches!(&error, Some(StoreError::Corrupt(text)) if text.contains("notes.txt")),
        "{error:?}"
    );
    let error = Store::open(&options(Location::Sqlite("/proc/none/oauth2.db".into())))
        .await
        .err();
    assert!(
        matches!(&error, Some(StoreError::Corrupt(text)) if text.contains("/proc/none")),
        "{error:?}"
    );
}
