//! Every time that others read comes from the store's clock: subcommands on a machine whose clock is an hour off.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use oauth2_testkit::postgres::connect;
use oauth2_testkit::{Kind, Output, Setup};
use serde_json::Value;

use crate::{quotas, start};

/// The library that shifts a process's clock. `scripts/setup` installs it.
fn faketime() -> PathBuf {
    let directories = std::fs::read_dir("/usr/lib").unwrap();
    let mut libraries = directories.map(|entry| entry.unwrap().path().join("faketime/libfaketimeMT.so.1"));
    libraries
        .find(|library| library.exists())
        .expect("libfaketime: run scripts/setup")
}

/// Runs a subcommand whose clock is off by `seconds`.
fn run(setup: &Setup, seconds: i64, arguments: &[&str], input: &str) -> Output {
    let mut command = setup.command(arguments);
    command
        .env("LD_PRELOAD", faketime())
        .env("FAKETIME", format!("{seconds:+}"))
        .env("DONT_FAKE_MONOTONIC", "1");
    Output::with_input(&mut command, input)
}

fn succeed(setup: &Setup, seconds: i64, arguments: &[&str]) -> String {
    let output = run(setup, seconds, arguments, "");
    assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn subcommands_with_a_wrong_clock_write_the_stores_times() {
    for off in [3600, -3600] {
        quotas::not_at_the_full_hour().await;
        check(off).await;
    }
}

async fn check(off: i64) {
    let server = start(Kind::Postgres).await;
    let setup = &server.setup;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let shown = run(setup, off, &["audit", "list", "--since", &now.to_string()], "");
    assert_eq!(shown.code, 0, "{}", shown.stderr);

    let run = |arguments: &[&str]| succeed(setup, off, arguments);
    run(&[
        "client", "create", "--id", "ci", "--scope", "a", "--quota", "hour=99", "--quota", "day=99",
    ]);
    run(&["client", "update", "ci", "--scope", "a b"]);
    run(&["client", "rotate-secret", "ci", "--overlap", "600"]);
    let bulk = "{\"client_id\":\"bulk\",\"client_secret\":\"a-secret-of-thirty-two-characters!\"}\n";
    let import = ["client", "import", "-", "--format", "jsonl"];
    let imported = self::run(setup, off, &import, bulk);
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    run(&["key", "rotate", "--alg", "ES256"]);
    let issued = run(&[
        "token", "issue", "--client", "ci", "--count", "2", "--format", "json", "--out", "-",
    ]);
    let issued: Vec<Value> = issued.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let inspected = run(&[
        "token",
        "inspect",
        issued[0]["access_token"].as_str().unwrap(),
        "--json",
    ]);
    assert_eq!(serde_json::from_str::<Value>(&inspected).unwrap()["expired"], false);
    run(&["token", "revoke", issued[0]["jti"].as_str().unwrap()]);
    run(&["token", "revoke", "--client", "ci"]);
    run(&["client", "delete", "bulk"]);
    let kid = setup.json(&["key", "rotate", "--alg", "EdDSA", "--json"])["items"][0]["kid"].clone();
    run(&["key", "revoke", kid.as_str().unwrap()]);
    assert_eq!(
        self::run(setup, off, &["client", "update", "nobody", "--scope", "a"], "").code,
        2
    );

    let database = connect(setup.database_url().unwrap()).await;
    let near = |(least, greatest): (i64, i64), expected: i64, what: &str| {
        let allowed = expected - 60..=expected + 60;
        assert!(
            allowed.contains(&least) && allowed.contains(&greatest),
            "{what} by a clock {off} s off: {least} to {greatest}, not {expected}"
        );
    };
    // The least and the greatest difference to the database's clock, seconds.
    let from_now = async |expression: &str, from: &str| {
        let of = |function: &str| format!("{function}(extract(epoch FROM {expression} - clock_timestamp()))::bigint");
        let sql = format!("SELECT {}, {} FROM {from}", of("min"), of("max"));
        let row = database.query_one(&sql, &[]).await.unwrap();
        let found = |index: usize| {
            row.get::<_, Option<i64>>(index)
                .unwrap_or_else(|| panic!("no row: {sql}"))
        };
        (found(0), found(1))
    };
    near(from_now("created_at", "clients").await, 0, "created_at");
    near(from_now("updated_at", "clients").await, 0, "updated_at");
    near(
        from_now("expires_at", "client_secrets").await,
        600,
        "expiry of a secret",
    );
    near(from_now("at", "audit_log").await, 0, "audit rows");
    let cutoffs = from_now("to_timestamp(cutoff_ms / 1000.0)", "revocations").await;
    near(cutoffs, 0, "cut-offs");
    near(from_now("expires_at", "tokens").await, 1800, "expiry of tokens");
    let of_token = from_now("expires_at", "revocations WHERE target_kind = 'token'").await;
    near(of_token, 1800, "expiry of a token's revocation");
    near(from_now("created_at", "signing_keys").await, 0, "creation of keys");
    // Published for the time that verifiers cache keys, 300 s, and two clock skews of 60 s at most.
    let rotated = "signing_keys WHERE algorithm = 'ES256' AND signs_from_ms > 0";
    let (_, last) = from_now("to_timestamp(signs_from_ms / 1000.0)", rotated).await;
    assert!(
        (200..=600).contains(&last),
        "activation of a key by a clock {off} s off: {last}"
    );
    let hours = "quota_usage WHERE kind = 'hour' AND used = 2";
    let window = from_now("to_timestamp(window_start)", hours).await;
    assert!(
        (-3600..=0).contains(&window.0),
        "quota window by a clock {off} s off: {window:?}"
    );
    let rows = "SELECT count(*) FROM audit_log WHERE actor LIKE 'cli:%' AND action <> 'change.rejected'";
    let changes: i64 = database.query_one(rows, &[]).await.unwrap().get(0);
    assert!(changes >= 9, "{changes}");
}
