//! `migrate`, `serve --no-migrate`, and stores that this program cannot use.

use oauth2_testkit::{Credentials, DedicatedServer, Kind, Process, Setup};

use super::{migrated, rejected, stdout_of};
use crate::setup;

on_both_stores!(
    migrations_are_applied_once,
    newer_schema_is_rejected,
    modified_migration_is_rejected,
    foreign_tables_are_not_modified,
    no_migrate_rejects_an_empty_store,
    commands_before_the_first_start_create_nothing,
);

/// Nothing starts or works on this store.
fn unusable(setup: &Setup, words: &[&str]) {
    rejected(&setup.run(&["migrate"]), 3, words);
    rejected(&setup.run(&["client", "list"]), 3, words);
    rejected(&setup.run(&["client", "create"]), 3, words);
    rejected(&setup.run(&[]), 3, words);
    rejected(&setup.run(&["serve", "--no-migrate"]), 3, words);
    let doctor = setup.run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.stdout);
    let schema = doctor.stdout.lines().find(|line| line.starts_with("schema "));
    let schema = schema.unwrap_or_else(|| panic!("{}", doctor.stdout));
    assert!(
        schema.contains("FAILED") && words.iter().all(|word| schema.contains(word)),
        "{schema}"
    );
}

async fn migrations_are_applied_once(kind: Kind) {
    let setup = setup(kind).await;
    let first = stdout_of(&setup, &["migrate"]);
    assert!(first.contains("migrations applied"), "{first}");
    let second = stdout_of(&setup, &["migrate"]);
    assert!(second.contains("already"), "{second}");
    setup.json(&["client", "create", "--id", "ci", "--json"]);
    stdout_of(&setup, &["migrate"]);
    stdout_of(&setup, &["client", "show", "ci"]);
    let server = DedicatedServer::start(setup).await;
    stdout_of(&server.setup, &["migrate"]);
}

async fn newer_schema_is_rejected(kind: Kind) {
    let setup = migrated(kind).await;
    setup
        .sql("INSERT INTO refinery_schema_history VALUES (99, 'later', '2026-01-01T00:00:00Z', '1')")
        .await;
    unusable(&setup, &["99", "newer"]);
}

async fn modified_migration_is_rejected(kind: Kind) {
    let setup = migrated(kind).await;
    setup.sql("UPDATE refinery_schema_history SET checksum = '1'").await;
    unusable(&setup, &["version 1", "database of its own"]);
}

async fn foreign_tables_are_not_modified(kind: Kind) {
    let setup = setup(kind).await;
    setup
        .sql("CREATE TABLE clients (x INTEGER); INSERT INTO clients VALUES (7)")
        .await;
    let words = ["clients", "database of its own"];
    rejected(&setup.run(&["migrate"]), 3, &words);
    rejected(&setup.run(&[]), 3, &words);
    rejected(&setup.run(&["client", "list"]), 3, &["migrate"]);
    setup.sql("UPDATE clients SET x = 8 WHERE x = 7").await;
}

async fn no_migrate_rejects_an_empty_store(kind: Kind) {
    let setup = setup(kind).await;
    rejected(&setup.run(&["serve", "--no-migrate"]), 3, &["oauth2_server migrate"]);
    stdout_of(&setup, &["migrate"]);
    let log = setup.directory().join("stderr.log");
    let process = Process::start(&mut setup.command(&["serve", "--no-migrate"]), &log);
    DedicatedServer::from_process(setup, process).await;
}

async fn commands_before_the_first_start_create_nothing(kind: Kind) {
    let setup = setup(kind).await;
    for arguments in [
        &["client", "list"][..],
        &["client", "show", "ci"],
        &["client", "disable", "ci"],
        &["token", "list", "--client", "ci"],
        &["token", "revoke", "--all"],
        &["key", "list"],
    ] {
        rejected(&setup.run(arguments), 3, &["oauth2_server migrate"]);
    }
    assert!(!setup.directory().join("data").exists(), "a look makes nothing");

    let create = ["client", "create", "--id", "ci", "--scope", "read", "--json"];
    if kind == Kind::Postgres {
        // A shared database may have an owner who decides when its schema changes.
        rejected(&setup.run(&create), 3, &["oauth2_server migrate"]);
        stdout_of(&setup, &["migrate"]);
    }
    let made = Credentials::of(&setup.json(&create));
    let server = DedicatedServer::start(setup).await;
    let token = server.token(&made).await;
    assert!(server.is_active(&made, &token).await);
}
