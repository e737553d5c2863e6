//! What stands around the server: ports, directories, files. Every case holds for root, whom permissions do not bind.

use std::net::TcpListener;
use std::os::unix::fs::symlink;

use oauth2_testkit::{DedicatedServer, Kind, Setup};

use crate::cli::{rejected, stdout_of};
use crate::setup;

on_both_stores!(port_in_use_is_reported);

async fn port_in_use_is_reported(kind: Kind) {
    let setup = setup(kind).await;
    for (port, variable) in [
        (setup.public, "OAUTH2_SERVER_PORT"),
        (setup.management, "OAUTH2_MANAGEMENT_PORT"),
    ] {
        let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
        rejected(&setup.run(&["serve"]), 3, &[variable, &port.to_string()]);
        drop(taken);
    }
    DedicatedServer::start(setup).await;
}

/// What no subcommand that needs a store gets past.
fn unusable(setup: &Setup, words: &[&str]) {
    for arguments in [&["serve"][..], &["migrate"], &["client", "create"]] {
        rejected(&setup.run(arguments), 3, words);
    }
    let doctor = setup.run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);
    assert!(doctor.stdout.contains("FAILED"), "{}", doctor.stdout);
}

#[tokio::test]
async fn data_directory_that_cannot_be_created_is_reported() {
    let file = setup(Kind::Sqlite).await;
    std::fs::write(file.directory().join("data"), "a file").unwrap();
    unusable(&file, &["/data ", "OAUTH2_DATABASE_URL"]);
    assert_eq!(file.run(&["client", "list"]).code, 3);

    let nowhere = setup(Kind::Sqlite)
        .await
        .with("OAUTH2_DATABASE_URL", "sqlite:///proc/nowhere/o.db");
    for arguments in [&["serve"][..], &["migrate"], &["client", "create"]] {
        rejected(&nowhere.run(arguments), 3, &["/proc/nowhere", "OAUTH2_DATABASE_URL"]);
    }
}

#[tokio::test]
async fn read_only_data_directory_is_reported() {
    // Not even root makes files here.
    let setup = setup(Kind::Sqlite)
        .await
        .with("OAUTH2_DATABASE_URL", "sqlite:///proc/self/fdinfo/o.db");
    for arguments in [&["serve"][..], &["migrate"], &["client", "create"]] {
        rejected(&setup.run(arguments), 3, &["/proc/self/fdinfo"]);
    }
}

#[tokio::test]
async fn database_path_that_is_a_directory_is_reported() {
    let setup = setup(Kind::Sqlite).await;
    std::fs::create_dir_all(setup.database_file()).unwrap();
    unusable(&setup, &["oauth2.db", "directory"]);
    rejected(&setup.run(&["client", "list"]), 3, &["oauth2.db"]);
}

#[tokio::test]
async fn file_that_is_not_a_database_is_reported() {
    let setup = setup(Kind::Sqlite).await;
    std::fs::create_dir(setup.directory().join("data")).unwrap();
    let text = "This is a letter, and not a database.\n".repeat(200);
    std::fs::write(setup.database_file(), &text).unwrap();
    unusable(&setup, &["oauth2.db", "not an SQLite database"]);
    rejected(&setup.run(&["client", "list"]), 3, &["oauth2.db"]);
    assert_eq!(
        std::fs::read_to_string(setup.database_file()).unwrap(),
        text,
        "it is left as it was"
    );

    std::fs::remove_file(setup.database_file()).unwrap();
    symlink("/dev/null", setup.database_file()).unwrap();
    for arguments in ["serve", "migrate"] {
        rejected(&setup.run(&[arguments]), 3, &["oauth2.db"]);
    }
}

#[tokio::test]
async fn locked_database_is_reported() {
    let setup = setup(Kind::Sqlite).await;
    let words = ["oauth2.db", "locked by another process"];
    let holder = setup.sqlite();
    holder
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE held (x)")
        .unwrap();
    // It writes: nobody else can, and a start that must make its tables gives up.
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    rejected(&setup.run(&["migrate"]), 3, &words);
    rejected(&setup.run(&["serve"]), 3, &words);
    holder.execute_batch("ROLLBACK").unwrap();
    stdout_of(&setup, &["migrate"]);
    // It keeps everybody out.
    holder
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        .unwrap();
    for arguments in [&["client", "create"][..], &["serve"]] {
        rejected(&setup.run(arguments), 3, &words);
    }
    drop(holder);
    stdout_of(&setup, &["client", "list"]);
    DedicatedServer::start(setup).await;
}
