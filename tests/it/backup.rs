//! Copies of an embedded store, restores, and a start next to the files of a store that was lost.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use oauth2_testkit::{DedicatedServer, Kind, Output, Setup, until};
use reqwest::StatusCode;
use serde_json::json;

use crate::cli::{rejected, stdout_of};
use crate::{setup, start};

const PATIENCE: Duration = Duration::from_secs(30);

/// A directory `data/` with copies of these files, for a server on another machine with the same issuer.
async fn restored(from: &Setup, files: &[(&Path, &str)]) -> Setup {
    let other = setup(Kind::Sqlite)
        .await
        .with("OAUTH2_ISSUER", format!("http://127.0.0.1:{}", from.public));
    let data = other.directory().join("data");
    std::fs::create_dir(&data).unwrap();
    for (file, name) in files {
        std::fs::copy(file, data.join(name)).unwrap();
    }
    other
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_is_complete_after_a_clean_stop() {
    let mut server = start(Kind::Sqlite).await;
    let client = server.register(json!({"scope": "read"})).await;
    let (token, revoked) = (server.token(&client).await, server.token(&client).await);
    server.revoke(&client, &revoked).await;
    // Another program has the database open: SQLite itself writes the log back only when the last program closes it.
    let other = rusqlite::Connection::open(server.setup.database_file()).unwrap();
    let clients: i64 = other
        .query_row("SELECT count(*) FROM clients", [], |row| row.get(0))
        .unwrap();
    assert!(clients > 0);
    server.process.signal("TERM");
    assert!(server.process.wait(PATIENCE).await.success());
    let data = server.setup.directory().join("data");
    let log = std::fs::metadata(data.join("oauth2.db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0, "nothing is left in the log");
    drop(other);

    // The files that the README names.
    let (database, key) = (data.join("oauth2.db"), data.join("key_encryption_key"));
    let copy = restored(&server.setup, &[(&database, "oauth2.db"), (&key, "key_encryption_key")]).await;
    let again = DedicatedServer::start(copy).await;
    assert!(again.is_active(&client, &token).await);
    assert!(!again.is_active(&client, &revoked).await);
    again.token(&client).await;
}

#[tokio::test]
async fn subcommand_completes_the_file() {
    let setup = crate::cli::migrated(Kind::Sqlite).await;
    for id in ["a", "b"] {
        setup.json(&["client", "create", "--id", id, "--json"]);
        let log = setup.directory().join("data/oauth2.db-wal");
        assert!(!log.exists(), "no server runs: the log is copied and deleted");
    }
    let copy = restored(&setup, &[(&setup.database_file(), "oauth2.db")]).await;
    let listed = copy.json(&["client", "list", "--json"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_of_a_serving_server_restores_everything() {
    let server = start(Kind::Sqlite).await;
    let client = server.register(json!({"scope": "read"})).await;
    let (token, revoked) = (server.token(&client).await, server.token(&client).await);
    server.revoke(&client, &revoked).await;
    let target = server.setup.directory().join("copies");
    std::fs::create_dir(&target).unwrap();
    let file = target.join("oauth2.db");
    let name = file.to_str().unwrap();
    // Under load: the copy is one moment of the database.
    let load = async {
        loop {
            server.token(&client).await;
        }
    };
    let backup = async {
        let command = server.setup.command(&["backup", name]);
        tokio::task::spawn_blocking(move || {
            let mut command = command;
            Output::of(&mut command)
        })
        .await
        .unwrap()
    };
    let output = tokio::select! {
        output = backup => output,
        () = load => unreachable!(),
    };
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{}", output.stdout);
    assert!(output.stdout.contains("data/key_encryption_key"), "{}", output.stdout);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 1, "no draft is left");

    // An existing file is replaced on request only, by a new one.
    rejected(&server.setup.run(&["backup", name]), 2, &[name, "--force"]);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let second = server.setup.json(&["backup", name, "--force", "--json"]);
    assert_eq!(second["bytes"].as_u64(), Some(std::fs::metadata(&file).unwrap().len()));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    no_command_replaces_a_file_of_the_store(&server.setup);
    let nowhere = target.join("missing/oauth2.db");
    rejected(
        &server.setup.run(&["backup", nowhere.to_str().unwrap()]),
        3,
        &["cannot be written"],
    );

    let key = server.setup.directory().join("data/key_encryption_key");
    let copy = restored(&server.setup, &[(&file, "oauth2.db"), (&key, "key_encryption_key")]).await;
    let again = DedicatedServer::start(copy).await;
    assert!(again.is_active(&client, &token).await);
    assert!(!again.is_active(&client, &revoked).await, "a revocation is restored");
    again.token(&client).await;
    let keys = async |server: &DedicatedServer| server.get_json(server.url("/.well-known/jwks.json")).await;
    assert_eq!(keys(&again).await, keys(&server).await);
}

/// Each loses clients, tokens or keys; also by a link, or by another spelling of the path.
fn no_command_replaces_a_file_of_the_store(setup: &Setup) {
    let database = setup.database_file();
    let data = database.parent().unwrap();
    let name = database.file_name().unwrap().to_str().unwrap();
    let link = setup.directory().join("link");
    std::os::unix::fs::symlink(data, &link).unwrap();
    let of_database = ["", "-wal", "-shm", "-journal", ".lock"].map(|suffix| format!("{name}{suffix}"));
    for name in of_database
        .iter()
        .map(String::as_str)
        .chain(["key_encryption_key", "admin_token"])
    {
        for file in [data.join(name), data.join("../data").join(name), link.join(name)] {
            let before = std::fs::metadata(&file).map(|found| found.ino()).ok();
            let file = file.to_str().unwrap();
            for arguments in [
                &["backup", file, "--force"][..],
                &["client", "export", file, "--format", "jsonl", "--force"],
            ] {
                rejected(&setup.run(arguments), 2, &[file, "belongs to the store"]);
            }
            assert_eq!(std::fs::metadata(file).map(|found| found.ino()).ok(), before, "{file}");
        }
    }
    // Also where the configuration names it.
    let elsewhere = setup.directory().join("kek");
    std::fs::copy(data.join("key_encryption_key"), &elsewhere).unwrap();
    let named = setup
        .clone()
        .with("OAUTH2_KEY_ENCRYPTION_KEY_FILE", elsewhere.display().to_string());
    let file = elsewhere.to_str().unwrap();
    rejected(
        &named.run(&["backup", file, "--force"]),
        2,
        &[file, "the secrets of the server"],
    );
    let fifo = setup.directory().join("fifo");
    Setup::fifo(&fifo);
    let fifo = fifo.to_str().unwrap();
    rejected(
        &setup.run(&["backup", fifo, "--force"]),
        2,
        &[fifo, "not a regular file"],
    );
}

#[tokio::test]
async fn backup_of_postgres_names_pg_dump() {
    let setup = setup(Kind::Postgres).await;
    rejected(&setup.run(&["backup", "copy.db"]), 2, &["pg_dump"]);
    assert!(!setup.directory().join("copy.db").exists());
}

#[tokio::test]
async fn backup_without_a_store_makes_nothing() {
    let setup = setup(Kind::Sqlite).await;
    rejected(&setup.run(&["backup", "copy.db"]), 3, &["there is no store"]);
    assert!(!setup.directory().join("copy.db").exists() && !setup.directory().join("data").exists());
}

/// A database that is missing or empty next to generated secrets or a log: never a new issuer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_next_to_secrets_of_a_lost_database_is_refused() {
    let mut server = start(Kind::Sqlite).await;
    // Fills the log.
    server.register(json!({"scope": "read"})).await;
    server.process.kill();
    let data = server.setup.directory().join("data");
    let key = data.join("key_encryption_key");
    let without_tables = server.setup.directory().join("copy.db");
    write_header_page(&without_tables);
    let empty = server.setup.directory().join("empty");
    std::fs::write(&empty, "").unwrap();
    let foreign = server.setup.directory().join("foreign.db");
    let notes = rusqlite::Connection::open(&foreign).unwrap();
    notes.execute_batch("CREATE TABLE notes (text)").unwrap();
    notes.close().unwrap();
    let lost: [&[(&Path, &str)]; 7] = [
        // Tables of another program.
        &[(&foreign, "oauth2.db"), (&key, "key_encryption_key")],
        &[(&without_tables, "oauth2.db"), (&key, "key_encryption_key")],
        &[(&without_tables, "oauth2.db")],
        &[(&empty, "oauth2.db")],
        &[(&empty, "oauth2.db"), (&key, "key_encryption_key")],
        &[(&key, "admin_token")],
        &[(&data.join("oauth2.db-wal"), "oauth2.db-wal")],
    ];
    for files in lost {
        let setup = restored(&server.setup, files).await;
        for command in [&["serve"][..], &["migrate"], &["doctor"]] {
            let output = setup.run(command);
            let text = format!("{}{}", output.stdout, output.stderr);
            let code = if command[0] == "doctor" { 1 } else { 3 };
            assert_eq!(output.code, code, "{files:?} {command:?}: {text}");
            let is_named =
                text.contains("restore the database") || command[0] == "doctor" && text.contains("no schema");
            assert!(is_named, "{files:?} {command:?}: {text}");
        }
        assert_eq!(setup.run(&["client", "create", "--id", "x"]).code, 3);
        for (file, name) in files {
            let (file, copy) = (
                std::fs::read(file).unwrap(),
                std::fs::read(setup.directory().join("data").join(name)),
            );
            assert!(*name == "oauth2.db" || file == copy.unwrap(), "{name} is as it was");
        }
    }

    // As the message says: without these files it is a new issuer.
    let setup = restored(&server.setup, &[(&key, "key_encryption_key")]).await;
    assert_eq!(setup.run(&["serve"]).code, 3);
    std::fs::rename(
        setup.directory().join("data/key_encryption_key"),
        setup.directory().join("old_key"),
    )
    .unwrap();
    let new = DedicatedServer::start(setup).await;
    assert_eq!(
        stdout_of(&new.setup, &["client", "list"]).lines().count(),
        2,
        "the demo client"
    );
}

/// What SQLite writes of a database before its first table: the page with the header.
fn write_header_page(path: &Path) {
    let file = rusqlite::Connection::open(path).unwrap();
    file.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .unwrap();
    file.close().unwrap();
    assert_eq!(std::fs::metadata(path).unwrap().len(), 4096);
}

/// Secrets that are given, so that no generated one lies next to a database.
fn with_secrets(setup: Setup) -> Setup {
    setup
        .with("OAUTH2_ADMIN_TOKEN", "oas_ad_of-the-tests-0123456789abcdefghijk")
        .with(
            "OAUTH2_KEY_ENCRYPTION_KEY",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        )
}

/// Without its write-ahead log, a copy of a database in use may lack the last changes, but it is of the same issuer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_without_its_log_has_the_keys_of_the_issuer() {
    let mut server = DedicatedServer::start(with_secrets(setup(Kind::Sqlite).await)).await;
    let keys = async |server: &DedicatedServer| server.get_json(server.url("/.well-known/jwks.json")).await;
    let published = keys(&server).await;
    let database = server.setup.database_file();
    let copied = server.setup.directory().join("copied.db");
    std::fs::copy(&database, &copied).unwrap();
    server.process.kill();
    let copy = with_secrets(restored(&server.setup, &[(&copied, "oauth2.db")]).await);
    let again = DedicatedServer::start(copy).await;
    assert_eq!(keys(&again).await, published);
}

/// Where the secrets are given, other files show that a database was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_next_to_remains_of_a_lost_database_is_refused() {
    let mut server = DedicatedServer::start(with_secrets(setup(Kind::Sqlite).await)).await;
    server.process.kill();
    let lock = server.setup.directory().join("data/oauth2.db.lock");
    assert!(std::fs::metadata(&lock).unwrap().len() > 0);
    let empty = server.setup.directory().join("empty");
    std::fs::write(&empty, "").unwrap();
    for (file, name) in [
        (lock.as_path(), "oauth2.db.lock"),
        (empty.as_path(), "oauth2.db-shm"),
        (empty.as_path(), "oauth2.db-journal"),
    ] {
        let setup = with_secrets(restored(&server.setup, &[(file, name)]).await);
        for command in ["serve", "migrate"] {
            rejected(
                &setup.run(&[command]),
                3,
                &["does not exist", name, "restore the database"],
            );
        }
        // As the message says.
        let data = setup.directory().join("data");
        std::fs::rename(data.join(name), setup.directory().join("moved")).unwrap();
        DedicatedServer::start(setup).await;
    }
    let setup = with_secrets(setup(Kind::Sqlite).await);
    let database = setup.database_file();
    std::fs::create_dir_all(database.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/nowhere/oauth2.db", &database).unwrap();
    rejected(
        &setup.run(&["serve"]),
        3,
        &["is a link to a file that does not exist", "restore the database"],
    );
    std::fs::remove_file(&database).unwrap();
    // The lock of a first start that ended before it created the database.
    std::fs::write(setup.directory().join("data/oauth2.db.lock"), "").unwrap();
    DedicatedServer::start(setup).await;
}

/// A start that was killed at any moment can be repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_first_start_can_be_repeated() {
    for file in [
        "",
        "oauth2.db",
        "key_encryption_key",
        "admin_token",
        "demo_client_secret",
    ] {
        let setup = setup(Kind::Sqlite).await;
        let mut process = setup.spawn();
        let path = setup.directory().join("data").join(file);
        until(Duration::from_secs(30), "the start has got so far", async || {
            path.exists()
        })
        .await;
        process.kill();
        drop(process);
        let server = DedicatedServer::start(setup).await;
        let response = server.http.get(server.url("/ready")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let demo = server.setup.run(&["client", "show", "demo"]);
        assert_eq!(demo.code, 0, "killed with {file:?}: {}", demo.stderr);
    }
}
