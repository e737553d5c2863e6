//! `doctor --production`: what production needs, and a development setup need not care about.

use std::io::Write;
use std::time::{Duration, SystemTime};

use oauth2_testkit::{Kind, Postgres, Setup, until};
use serde_json::Value;

use super::migrated;
use crate::BINARY;

/// The status and the detail of a check.
fn check(setup: &Setup, flags: &[&str], name: &str) -> (String, String) {
    let output = setup.run(&[&["doctor", "--json", "--production"], flags].concat());
    let found: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}", output.stderr));
    let checks = found["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["check"] == name);
    let check = check.unwrap_or_else(|| panic!("no {name} in {found}"));
    let text = |member: &str| check[member].as_str().unwrap().to_owned();
    (text("status"), text("detail"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_development_setup_is_not_ready_for_production() {
    let setup = migrated(Kind::Sqlite).await;
    let output = setup.run(&["doctor", "--production"]);
    assert_eq!(output.code, 1, "{}", output.stderr);
    for (name, status, words) in [
        ("issuer", "failed", "set OAUTH2_ISSUER to an https URL"),
        ("listeners", "ok", "private"),
        ("replicas", "warning", "SQLite"),
        ("backup", "warning", "--backup PATH"),
        ("limits", "warning", "OAUTH2_LIMITS_TOKEN"),
        ("admin token", "warning", "nameless"),
        ("secrets", "ok", "no secret"),
    ] {
        let (found, detail) = check(&setup, &[], name);
        assert!(found == status && detail.contains(words), "{name}: {found} {detail}");
    }
    // Without the flag none of this is asked for.
    let plain: Value = serde_json::from_str(&setup.run(&["doctor", "--json"]).stdout).unwrap();
    assert!(!plain.to_string().contains("OAUTH2_LIMITS_TOKEN"), "{plain}");
    let alone = setup.run(&["doctor", "--nodes", "5"]);
    assert!(
        alone.code == 2 && alone.stderr.contains("--production"),
        "{}",
        alone.stderr
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_and_files_of_production_are_checked() {
    let setup = migrated(Kind::Postgres)
        .await
        .with("OAUTH2_ISSUER", "https://auth.example.com")
        .with("OAUTH2_MANAGEMENT_HOST", "0.0.0.0")
        .with("OAUTH2_LIMITS_TOKEN", "100/s");
    let status = |name: &str| check(&setup, &[], name);
    assert_eq!(status("issuer").0, "ok");
    assert_eq!(status("limits").0, "ok");
    assert!(status("listeners").1.contains("management listener is on 0.0.0.0"));
    let (found, detail) = status("secrets");
    assert!(
        found == "warning" && detail.contains("OAUTH2_KEY_ENCRYPTION_KEY"),
        "{detail}"
    );
    assert!(status("database tls").1.contains("verify-full"));

    let directory = setup.directory().join("backups");
    std::fs::create_dir_all(directory.join("daily")).unwrap();
    let path = directory.to_str().unwrap();
    let of_backup = || check(&setup, &["--backup", path], "backup");
    assert!(of_backup().1.contains("no complete backup"));
    // As `pg_dump | gzip` leaves it when it fails.
    let mut file = std::fs::File::create(directory.join("daily/a.dump")).unwrap();
    assert_eq!(of_backup().0, "failed");
    file.write_all(b"dump").unwrap();
    assert_eq!(of_backup().0, "ok");
    file.set_modified(SystemTime::now() - Duration::from_hours(30)).unwrap();
    let (found, detail) = of_backup();
    assert!(found == "failed" && detail.contains("30 hours old"), "{found} {detail}");
    assert_eq!(
        check(&setup, &["--backup", path, "--backup-max-age", "48"], "backup").0,
        "ok"
    );
    assert_eq!(check(&setup, &["--backup", "/nowhere"], "backup").0, "failed");

    // With backups of deploy/backup, newer files are none, such as those of the archive of the log; nor is one without its checksum.
    std::fs::create_dir(directory.join("wal")).unwrap();
    std::fs::write(directory.join("wal/000000010000000000000042.gz.age"), "log").unwrap();
    let ours = directory.join("oauth2-postgres-20261130T021500Z.dump.age");
    std::fs::write(&ours, "dump").unwrap();
    assert_eq!(of_backup().0, "failed");
    std::fs::write(
        directory.join("oauth2-postgres-20261130T021500Z.dump.age.sha256"),
        "sum",
    )
    .unwrap();
    assert_eq!(of_backup().0, "ok");
    let ours = std::fs::File::options().append(true).open(&ours).unwrap();
    ours.set_modified(SystemTime::now() - Duration::from_hours(31)).unwrap();
    let (found, detail) = of_backup();
    assert!(found == "failed" && detail.contains("31 hours old"), "{found} {detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_and_standbys_are_counted() {
    let primary = Postgres::start(true);
    let setup = Setup::on_postgres(BINARY, &primary).await;
    assert_eq!(setup.run(&["migrate"]).code, 0);
    let (found, detail) = check(&setup, &["--nodes", "3"], "connections");
    assert!(detail.contains("with 11 connections each"), "{detail}");
    assert_eq!(found, "ok", "{detail}");
    let (found, detail) = check(&setup, &["--nodes", "1000"], "connections");
    assert!(
        found == "failed" && detail.contains("OAUTH2_DATABASE_MAX_CONNECTIONS"),
        "{detail}"
    );

    assert!(check(&setup, &[], "replicas").1.contains("no standby"));
    let _standby = primary.standby();
    let is_seen =
        async || check(&setup, &[], "replicas") == ("ok".to_owned(), "1 connected, at most 10 s behind".to_owned());
    until(Duration::from_secs(30), "the standby is seen", is_seen).await;
}
