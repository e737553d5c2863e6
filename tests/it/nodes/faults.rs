//! Faults of the bus cost time only: no request fails, no revocation is lost, and nobody without the key is believed.

use oauth2_testkit::{DedicatedServer, Kind, Pgbouncer, Postgres, Redis, Setup, until};
use reqwest::StatusCode;
use serde_json::json;

use super::{BY_NOTIFY, BY_POLLING, BY_REDIS, Nodes, PATIENCE, bus, by_redis, dropped};
use crate::{BINARY, setup};

/// Tokens are issued, introspected and revoked on every node, and nothing fails.
pub(super) async fn nothing_fails(nodes: &Nodes) {
    let client = nodes.client().await;
    let limited = nodes
        .register(json!({"scope": "read", "rate_limits": {"token": "1000/s"}}))
        .await;
    for node in &nodes.0 {
        for _ in 0..20 {
            assert_eq!(node.request_token(&limited, &[]).await.status(), StatusCode::OK);
            assert_eq!(node.request_token(&client, &[]).await.status(), StatusCode::OK);
        }
        let token = node.token(&client).await;
        assert!(node.is_active(&client, &token).await);
        node.revoke(&client, &token).await;
        assert!(!node.is_active(&client, &token).await);
        let ready = node.http.get(node.url("/ready")).send().await.unwrap();
        assert_eq!(ready.status(), StatusCode::OK);
    }
}

async fn is_down(nodes: &Nodes) {
    for node in &nodes.0 {
        until(PATIENCE, "the outage of the bus is seen", async || {
            bus(node, "up").await == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_redis_costs_time_only() {
    let mut redis = Redis::start(&[]);
    let nodes = Nodes::start(2, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    for is_hanging in [false, true] {
        if is_hanging {
            redis.pause();
        } else {
            redis.stop();
        }
        // From the first moment on.
        nothing_fails(&nodes).await;
        is_down(&nodes).await;
        nodes.revocations_are_seen_within(BY_POLLING).await;
        nothing_fails(&nodes).await;
        if is_hanging {
            redis.unpause();
        } else {
            redis.resume();
        }
        nodes.hear_each_other().await;
        nodes.revocations_are_seen_within(BY_REDIS).await;
    }
    assert_eq!(redis.command(&["FLUSHALL"]), "OK");
    nothing_fails(&nodes).await;
    nodes.revocations_are_seen_within(BY_REDIS).await;
}

/// Full, or with a user who may not publish: the server responds, and nothing arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swallowed_messages_cost_time_only() {
    let redis = Redis::start(&[]);
    let nodes = Nodes::start(2, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    assert_eq!(redis.command(&["ACL", "SETUSER", "default", "-publish"]), "OK");
    nothing_fails(&nodes).await;
    is_down(&nodes).await;
    nodes.revocations_are_seen_within(BY_POLLING).await;
    assert_eq!(redis.command(&["ACL", "SETUSER", "default", "+publish"]), "OK");
    nodes.hear_each_other().await;
    assert_eq!(redis.command(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    nothing_fails(&nodes).await;
    nodes.hear_each_other().await;
}

/// A writer to Redis without the key can send anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_malformed_messages_are_dropped_and_counted() {
    let redis = Redis::start(&[]);
    let nodes = Nodes::start(2, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    let (first, other) = (nodes.first(), &nodes.others()[0]);
    let client = nodes.client().await;
    let token = first.token(&client).await;
    let jti = first.introspect(&client, &token).await["jti"].clone();
    let hint = json!({"node": 1, "at": u64::MAX, "hints": [{"token": {"jti": jti, "expires_at": 4_000_000_000_i64}}]});
    let mac = "A".repeat(43);
    let messages = [
        ("forged", format!("1.{mac}.{hint}")),
        ("malformed", "hello".to_owned()),
        ("malformed", "\u{0}".to_owned()),
        ("malformed", "1.".repeat(5000)),
        ("version", format!("2.{mac}.{hint}")),
    ];
    for (reason, message) in messages {
        let before = dropped(other, reason).await;
        assert_eq!(redis.command(&["PUBLISH", "oauth2_server:hints", &message]), "2");
        let is_counted = async || dropped(other, reason).await > before;
        until(PATIENCE, reason, is_counted).await;
    }
    for node in &nodes.0 {
        assert!(node.is_active(&client, &token).await, "nothing was revoked");
        assert_eq!(node.request_token(&client, &[]).await.status(), StatusCode::OK);
    }
    // Another issuer behind the same prefix is a stranger too.
    let stranger = setup(Kind::Postgres).await.with("OAUTH2_REDIS_URL", redis.url());
    let key = format!("{}=", "E".repeat(43));
    let before = dropped(other, "forged").await;
    let stranger = DedicatedServer::start(stranger.with("OAUTH2_KEY_ENCRYPTION_KEY", key)).await;
    until(PATIENCE, "strangers are counted", async || {
        dropped(other, "forged").await > before
    })
    .await;
    assert_eq!(bus(other, "nodes").await, 2);
    drop(stranger);
}

/// Neither the messages in Redis nor its content hold a secret or a token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_sees_no_secret() {
    let redis = Redis::start(&[]);
    let recorded = redis.record();
    let nodes = Nodes::start(2, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    let first = nodes.first();
    let metadata = json!({"scope": "read", "rate_limits": {"token": "1000/s"}});
    let client = nodes.register(metadata).await;
    let mut secrets = vec![client.secret.clone(), first.admin_token().to_owned(), client.id.clone()];
    for node in &nodes.0 {
        for _ in 0..5 {
            let token = node.token(&client).await;
            node.revoke(&client, &token).await;
            secrets.push(token);
        }
        secrets.push(node.setup.variable("OAUTH2_KEY_ENCRYPTION_KEY").unwrap().to_owned());
    }
    for path in [
        "/keys/rotate".to_owned(),
        format!("/clients/{}/rotate-secret", client.id),
    ] {
        let changed = first.admin(reqwest::Method::POST, &path).json(&json!({})).send().await;
        let changed = changed.unwrap();
        assert_eq!(changed.status(), StatusCode::OK, "{path}");
        let body = oauth2_testkit::server::json(changed).await;
        secrets.extend(body["client_secret"].as_str().map(str::to_owned));
    }
    nodes.hear_each_other().await;
    let commands = recorded();
    for expected in [
        "\"PUBLISH\"",
        "\"EVALSHA\"",
        "oauth2_server:hints",
        "oauth2_server:bucket:",
    ] {
        assert!(commands.contains(expected), "{expected} is missing: {commands}");
    }
    for secret in &secrets {
        assert!(!commands.contains(secret.as_str()), "{secret} passed through Redis");
    }
}

/// A pooler in transaction mode passes on no notifications: with another URL they arrive, without one nodes poll.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_need_a_way_around_a_pooler() {
    let postgres = Postgres::start(false);
    let pooler = Pgbouncer::start(&postgres, "transaction", 10);
    let direct = Setup::on_postgres(BINARY, &postgres).await;
    let url = direct.database_url().unwrap().to_owned();
    let through = direct
        .with("OAUTH2_DATABASE_URL", pooler.url(&url))
        .with("OAUTH2_DATABASE_POOLER", "transaction");
    let nodes = Nodes::of(through.clone().with("OAUTH2_DATABASE_LISTEN_URL", url), 2).await;
    nodes.hear_each_other().await;
    nodes.revocations_are_seen_within(BY_NOTIFY).await;
    drop(nodes);

    let mut nodes = Nodes::of(through, 2).await;
    nodes.revocations_are_seen_within(BY_POLLING).await;
    let log = nodes.0[1].process.complete_log().await;
    let warned = log
        .lines()
        .filter(|line| line.contains("OAUTH2_DATABASE_LISTEN_URL"))
        .count();
    assert_eq!(warned, 1, "{log}");
}

/// The connection that listens is cut: it is opened again, and what was missed is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_listening_connection_costs_time_only() {
    let nodes = Nodes::start(2, &[]).await;
    nodes.hear_each_other().await;
    let database = nodes.first().setup.database_url().unwrap().to_owned();
    let beside = oauth2_testkit::postgres::connect(&database).await;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE 'LISTEN%' AND pid <> pg_backend_pid()";
    assert_eq!(beside.query_one(kill, &[]).await.unwrap().get::<_, i64>(0), 2);
    nothing_fails(&nodes).await;
    nodes.hear_each_other().await;
    nodes.revocations_are_seen_within(BY_NOTIFY).await;
}

/// Its positions in the logs cannot move past the transaction: rows of later ones are read all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_held_open_delays_no_revocation() {
    let redis = Redis::start(&[]);
    let nodes = Nodes::start(2, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    let holder = oauth2_testkit::postgres::connect(nodes.first().setup.database_url().unwrap()).await;
    holder
        .batch_execute("BEGIN; SELECT pg_current_xact_id()")
        .await
        .unwrap();
    nodes.revocations_are_seen_within(BY_REDIS).await;
    assert_eq!(redis.command(&["ACL", "SETUSER", "default", "-publish"]), "OK");
    is_down(&nodes).await;
    nodes.revocations_are_seen_within(BY_POLLING).await;
    nothing_fails(&nodes).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
}
