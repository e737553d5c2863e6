//! The store can be read and accepts no writes: a full disk, a read-only database, a privilege taken away. `/ready`, the log, the
//! metric and `doctor` report it, also without traffic, and it ends by itself.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use oauth2_testkit::postgres::{self, connect};
use oauth2_testkit::server::json;
use oauth2_testkit::{Credentials, DedicatedServer, Kind, Postgres, Setup, Tmpfs, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{setup, start, unique};

/// A probe without traffic comes after 10 s, a probe while writes fail after 1 s: asserted at twice that.
const NOTICED: Duration = Duration::from_secs(20);
const ENDED: Duration = Duration::from_secs(5);

/// The checks of `/ready` that fail; none if it answers 200.
async fn failing(server: &DedicatedServer) -> Vec<String> {
    let response = server.http.get(server.url("/ready")).send().await.unwrap();
    let is_ready = response.status() == StatusCode::OK;
    let body = json(response).await;
    let failing: Vec<String> = body["checks"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, passes)| **passes == Value::Bool(false))
        .map(|(name, _)| name.clone())
        .collect();
    assert_eq!(is_ready, failing.is_empty(), "{body}");
    failing
}

/// Waits until `/ready` says that writes fail, and nothing else; or that all is well again.
async fn until_failing(server: &DedicatedServer, expected: &[&str], within: Duration) {
    let what = format!("/ready fails {expected:?} only");
    until(within, &what, async || failing(server).await == expected).await;
    let writable = server.metric("oauth2_server_store_writable", &[]).await;
    assert_eq!(writable, Some(f64::from(u8::from(expected.is_empty()))));
}

/// Requests tokens until one is shed; nothing but 200 comes before.
async fn until_shed(server: &DedicatedServer, client: &Credentials) {
    loop {
        let status = server.request_token(client, &[]).await.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return;
        }
        assert_eq!(status, StatusCode::OK);
    }
}

/// `doctor` fails and its line about writes has these words.
fn doctor_reports(setup: &Setup, words: &[&str]) {
    let output = setup.run(&["doctor", "--json"]);
    assert_eq!(output.code, 1, "{} {}", output.stdout, output.stderr);
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    let failed: Vec<_> = found["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["status"] == "failed")
        .collect();
    assert_eq!(failed[0]["check"], "writes", "{found}");
    // Where a server runs, it says the same.
    assert!(failed[1..].iter().all(|check| check["check"] == "server"), "{found}");
    for word in words {
        assert!(failed[0]["detail"].as_str().unwrap().contains(word), "{word}: {found}");
    }
}

/// Stops the server; its log reports as many failures of writes as there were, with their reason, and as many ends.
async fn log_reports(server: &mut DedicatedServer, times: usize, reason: &str) {
    let log = server.process.complete_log().await;
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).collect::<Vec<_>>();
    let began = lines("the store accepts no writes");
    assert_eq!(began.len(), times, "{log}");
    assert!(began.iter().all(|line| line.contains(reason)), "{log}");
    assert_eq!(lines("the store accepts writes again").len(), times, "{log}");
    assert!(
        lines("the store is unusable").is_empty(),
        "one line per failure, not per request: {log}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_is_reported_on_sqlite() {
    let setup = setup(Kind::Sqlite).await;
    let disk = Tmpfs::mount(&setup.directory().join("data"), 4, "mode=0700");
    let mut server = DedicatedServer::start(setup).await;
    let client = server.register(json!({"scope": "read"})).await;
    let token = server.token(&client).await;

    disk.fill();
    until_failing(&server, &["writes"], NOTICED).await;
    assert!(server.is_active(&client, &token).await, "reads go on");
    until_shed(&server, &client).await;
    doctor_reports(&server.setup, &["full"]);
    disk.free();
    until_failing(&server, &[], ENDED).await;
    server.token(&client).await;

    // With traffic it is noticed at once.
    disk.fill();
    until_shed(&server, &client).await;
    until_failing(&server, &["writes"], Duration::from_secs(1)).await;
    disk.free();
    until_failing(&server, &[], ENDED).await;
    server.token(&client).await;
    log_reports(&mut server, 2, "full").await;
    // Before its directory is removed.
    drop(disk);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_file_system_is_reported_by_doctor() {
    let setup = setup(Kind::Sqlite).await;
    let disk = Tmpfs::mount(&setup.directory().join("data"), 4, "mode=0700");
    assert_eq!(setup.run(&["migrate"]).code, 0);
    disk.remount("ro");
    let output = setup.run(&["doctor"]);
    assert_eq!(output.code, 1, "{} {}", output.stdout, output.stderr);
    assert!(
        output.stdout.contains("permissions") || output.stdout.contains("read-only"),
        "{}",
        output.stdout
    );
    let served = setup.run(&[]);
    assert_eq!(served.code, 3, "{}", served.stderr);
    disk.remount("rw");
    assert_eq!(setup.run(&["doctor"]).code, 0);
}

/// A database in a tablespace on a small file system.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_is_reported_on_postgres() {
    let postgres = Postgres::start(false);
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let id = |flag| String::from_utf8(Command::new("id").args([flag, "postgres"]).output().unwrap().stdout).unwrap();
    let owner = format!("uid={},gid={}", id("-u").trim(), id("-g").trim());
    let space = directory.path().join("space");
    let disk = Tmpfs::mount(&space, 24, &owner);
    let admin = connect(&postgres.url("postgres")).await;
    for statement in [
        &format!("CREATE TABLESPACE small LOCATION '{}'", space.display()),
        "CREATE DATABASE small TABLESPACE small",
    ] {
        admin.batch_execute(statement).await.unwrap();
    }
    let setup = setup(Kind::Postgres)
        .await
        .with("OAUTH2_DATABASE_URL", postgres.url("small"));
    let mut server = DedicatedServer::start(setup).await;
    let client = server.register(json!({"scope": "read"})).await;
    let token = server.token(&client).await;

    disk.fill();
    until_shed(&server, &client).await;
    until_failing(&server, &["writes"], Duration::from_secs(1)).await;
    assert!(server.is_active(&client, &token).await, "reads go on");
    doctor_reports(&server.setup, &["full"]);
    // Nothing but the disk's space ends it: not a probe, of which there is one a second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(failing(&server).await, ["writes"]);
    disk.free();
    until_failing(&server, &[], ENDED).await;
    server.token(&client).await;
    log_reports(&mut server, 1, "full").await;
    drop((server, postgres, disk));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_database_is_reported() {
    let mut server = start(Kind::Postgres).await;
    let client = server.register(json!({"scope": "read"})).await;
    let token = server.token(&client).await;
    let name = Path::new(server.setup.database_url().unwrap())
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let admin = connect(&Postgres::shared().url("postgres")).await;
    let set = async |value: &str| {
        let statement = format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
        admin.batch_execute(&statement).await.unwrap();
    };
    set("on").await;
    let terminate = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    admin.batch_execute(&terminate).await.unwrap();
    until_failing(&server, &["writes"], NOTICED).await;
    until_shed(&server, &client).await;
    assert!(server.is_active(&client, &token).await, "reads go on");
    doctor_reports(&server.setup, &["read-only", "default_transaction_read_only"]);
    set("off").await;
    // The sessions that began read-only are replaced.
    until_failing(&server, &[], ENDED).await;
    for _ in 0..20 {
        server.token(&client).await;
        server.register(json!({"scope": "read"})).await;
    }
    assert_eq!(failing(&server).await, Vec::<String>::new());
    log_reports(&mut server, 1, "read-only").await;
}

/// A server that connects as a role whose privileges can be revoked; and a connection of the superuser, and the role.
async fn with_a_role_of_its_own() -> (DedicatedServer, postgres::Client, String) {
    let mut setup = setup(Kind::Postgres).await;
    let url = setup.database_url().unwrap().to_owned();
    let name = url.rsplit('/').next().unwrap();
    let role = unique("role").replace('-', "_");
    let admin = connect(&url).await;
    for statement in [
        format!("CREATE ROLE {role} LOGIN"),
        format!("ALTER DATABASE {name} OWNER TO {role}"),
    ] {
        admin.batch_execute(&statement).await.unwrap();
    }
    setup.set("OAUTH2_DATABASE_URL", url.replace("postgres@", &format!("{role}@")));
    (DedicatedServer::start(setup).await, admin, role)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_privilege_is_reported() {
    let (mut server, admin, role) = with_a_role_of_its_own().await;
    let client = server.register(json!({"scope": "read"})).await;
    let token = server.token(&client).await;

    admin
        .batch_execute(&format!("REVOKE INSERT ON tokens FROM {role}"))
        .await
        .unwrap();
    until_shed(&server, &client).await;
    until_failing(&server, &["writes"], Duration::from_secs(1)).await;
    assert!(server.is_active(&client, &token).await, "reads go on");
    doctor_reports(&server.setup, &["INSERT on tokens"]);
    admin
        .batch_execute(&format!("GRANT INSERT ON tokens TO {role}"))
        .await
        .unwrap();
    until_failing(&server, &[], ENDED).await;
    server.token(&client).await;

    // A table that no request writes to now.
    admin
        .batch_execute(&format!("REVOKE INSERT ON audit_log FROM {role}"))
        .await
        .unwrap();
    doctor_reports(&server.setup, &["INSERT on audit_log"]);
    until_failing(&server, &["writes"], NOTICED).await;
    admin
        .batch_execute(&format!("GRANT INSERT ON audit_log TO {role}"))
        .await
        .unwrap();
    until_failing(&server, &[], ENDED).await;
    log_reports(&mut server, 2, "").await;
}

/// A lock that another process holds for a moment is not a store without writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_lock_does_not_affect_readiness() {
    let server = start(Kind::Sqlite).await;
    let client = server.register(json!({"scope": "read"})).await;
    let holder = rusqlite::Connection::open(server.setup.database_file()).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    until_shed(&server, &client).await;
    assert_eq!(failing(&server).await, Vec::<String>::new());
    holder.execute_batch("ROLLBACK").unwrap();
    server.token(&client).await;
}

/// Without the privilege to read a table, writes do not fail: what fails is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_privilege_to_read_is_not_one_to_write() {
    let (mut server, admin, role) = with_a_role_of_its_own().await;
    let client = server.register(json!({"scope": "read"})).await;
    for table in ["audit_log", "clients", "quota_usage"] {
        admin
            .batch_execute(&format!("REVOKE SELECT ON {table} FROM {role}"))
            .await
            .unwrap();
        until(NOTICED, table, async || failing(&server).await == ["store"]).await;
        let output = server.setup.run(&["doctor", "--json"]);
        assert_eq!(output.code, 1, "{}", output.stdout);
        let found: Value = serde_json::from_str(&output.stdout).unwrap();
        let checks = found["checks"].as_array().unwrap();
        let of = |name: &str| checks.iter().find(|check| check["check"] == name);
        assert!(of("writes").is_none_or(|check| check["status"] == "ok"), "{found}");
        let named = of("privileges").unwrap_or_else(|| panic!("{table}: {found}"));
        let detail = named["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("SELECT on {table}")), "{detail}");
        // It stays so, also while requests are denied.
        for _ in 0..20 {
            let _ = server.admin(reqwest::Method::GET, "/clients").send().await.unwrap();
            let _ = server.request_token(&client, &[]).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(failing(&server).await, ["store"], "{table}");
        }
        admin
            .batch_execute(&format!("GRANT SELECT ON {table} TO {role}"))
            .await
            .unwrap();
        until(ENDED * 2, "all is well", async || failing(&server).await.is_empty()).await;
        server.token(&client).await;
    }
    let log = server.process.complete_log().await;
    assert!(
        !log.contains("accepts no writes") && !log.contains("unreachable"),
        "{log}"
    );
    for text in ["the database denies the server a privilege", "no privilege any more"] {
        assert_eq!(
            log.lines().filter(|line| line.contains(text)).count(),
            3,
            "{text}: {log}"
        );
    }
    assert!(log.contains("SELECT on audit_log"), "{log}");
}
