//! `migrate`, `serve --no-migrate`, and stores that this program cannot use.

use oauth2_testkit::{Credentials, Kind, Process, Server, Setup};

use super::{answer, migrated, refused};
use crate::setup;

on_both_stores!(
    a_migration_runs_once,
    a_newer_schema_is_refused,
    an_unknown_schema_is_refused,
    tables_of_somebody_else_are_left_alone,
    without_migrating_an_empty_store_is_refused,
    before_the_first_start,
);

/// Nothing starts or works on this store.
fn unusable(setup: &Setup, words: &[&str]) {
    refused(&setup.run(&["migrate"]), 3, words);
    refused(&setup.run(&["client", "list"]), 3, words);
    refused(&setup.run(&["client", "create"]), 3, words);
    refused(&setup.run(&[]), 3, words);
    refused(&setup.run(&["serve", "--no-migrate"]), 3, words);
    let doctor = setup.run(&["doctor"]);
    assert_eq!(doctor.code, 3, "{}", doctor.stdout);
    let schema = doctor.stdout.lines().find(|line| line.starts_with("schema "));
    let schema = schema.unwrap_or_else(|| panic!("{}", doctor.stdout));
    assert!(
        schema.contains("FAILED") && words.iter().all(|word| schema.contains(word)),
        "{schema}"
    );
}

async fn a_migration_runs_once(kind: Kind) {
    let setup = setup(kind).await;
    let first = answer(&setup, &["migrate"]);
    assert!(first.contains("migrations applied"), "{first}");
    let second = answer(&setup, &["migrate"]);
    assert!(second.contains("already"), "{second}");
    setup.json(&["client", "create", "--id", "ci", "--json"]);
    answer(&setup, &["migrate"]);
    answer(&setup, &["client", "show", "ci"]);
    let server = Server::start(setup).await;
    answer(&server.setup, &["migrate"]);
}

async fn a_newer_schema_is_refused(kind: Kind) {
    let setup = migrated(kind).await;
    setup
        .sql("INSERT INTO refinery_schema_history VALUES (99, 'later', '2026-01-01T00:00:00Z', '1')")
        .await;
    unusable(&setup, &["99", "newer"]);
}

async fn an_unknown_schema_is_refused(kind: Kind) {
    let setup = migrated(kind).await;
    setup.sql("UPDATE refinery_schema_history SET checksum = '1'").await;
    unusable(&setup, &["version 1", "database of its own"]);
}

async fn tables_of_somebody_else_are_left_alone(kind: Kind) {
    let setup = setup(kind).await;
    setup
        .sql("CREATE TABLE clients (x INTEGER); INSERT INTO clients VALUES (7)")
        .await;
    let words = ["clients", "database of its own"];
    refused(&setup.run(&["migrate"]), 3, &words);
    refused(&setup.run(&[]), 3, &words);
    refused(&setup.run(&["client", "list"]), 3, &["migrate"]);
    setup.sql("UPDATE clients SET x = 8 WHERE x = 7").await;
}

async fn without_migrating_an_empty_store_is_refused(kind: Kind) {
    let setup = setup(kind).await;
    refused(&setup.run(&["serve", "--no-migrate"]), 3, &["oauth2_server migrate"]);
    answer(&setup, &["migrate"]);
    let log = setup.directory().join("stderr.log");
    let process = Process::start(&mut setup.command(&["serve", "--no-migrate"]), &log);
    Server::adopt(setup, process).await;
}

async fn before_the_first_start(kind: Kind) {
    let setup = setup(kind).await;
    for arguments in [
        &["client", "list"][..],
        &["client", "show", "ci"],
        &["client", "disable", "ci"],
        &["token", "list", "--client", "ci"],
        &["token", "revoke", "--all"],
        &["key", "list"],
    ] {
        refused(&setup.run(arguments), 3, &["oauth2_server migrate"]);
    }
    assert!(!setup.directory().join("data").exists(), "a look makes nothing");

    let create = ["client", "create", "--id", "ci", "--scope", "read", "--json"];
    if kind == Kind::Postgres {
        // A shared database may have an owner who decides when its schema changes.
        refused(&setup.run(&create), 3, &["oauth2_server migrate"]);
        answer(&setup, &["migrate"]);
    }
    let made = Credentials::of(&setup.json(&create));
    let server = Server::start(setup).await;
    let token = server.token(&made).await;
    assert!(server.is_active(&made, &token).await);
}
