//! The primary is lost and its standby promoted: nodes follow the hosts of their URL by themselves, and what was acknowledged holds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use oauth2_testkit::postgres::connect;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Credentials, DedicatedServer, Postgres, Setup, until};
use reqwest::StatusCode;
use serde_json::json;

use super::{BY_NOTIFY, Nodes, PATIENCE};
use crate::BINARY;

/// Twice the 3 s within which the contract promises that writes resume.
const RESUMED_WITHIN: Duration = Duration::from_secs(6);

/// Tokens that the nodes have issued when the primary is lost.
const AT_WORK: usize = 100;

/// How the primary is lost.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Loss {
    /// Its processes are gone, its machine refuses connections.
    Crash,
    /// Nothing of it responds, but connections to it are accepted, as by a machine whose disk hangs.
    Hang,
}

/// A primary that confirms a commit once its standby has it.
async fn primary_and_standby() -> (Postgres, Postgres) {
    let primary = Postgres::start(false);
    let standby = tokio::task::block_in_place(|| primary.standby());
    // In the primary only: the standby has the configuration that it was copied with.
    let admin = connect(&primary.url("postgres")).await;
    for sql in [
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "SELECT pg_reload_conf()",
    ] {
        admin.batch_execute(sql).await.unwrap();
    }
    until(PATIENCE, "the standby is synchronous", async || {
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        admin.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
    (primary, standby)
}

/// Tokens whose issuance or revocation was acknowledged before the primary was lost.
#[derive(Debug, Default)]
struct Acknowledged {
    issued: Vec<String>,
    revoked: Vec<String>,
}

/// Issues tokens on a node, counts them, and revokes every third, until a request fails. Each may fail only with `503`.
async fn work_until_rejected(node: &DedicatedServer, client: &Credentials, issued: &AtomicUsize) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    for n in 0.. {
        let response = node.request_token(client, &[]).await;
        if !is_accepted(&response) {
            break;
        }
        issued.fetch_add(1, Ordering::Relaxed);
        let token = body_of(response).await["access_token"].as_str().unwrap().to_owned();
        if n % 3 != 0 {
            acknowledged.issued.push(token);
        } else if is_accepted(&node.post(client, "/oauth/revoke", &[("token", &token)]).await) {
            acknowledged.revoked.push(token);
        }
    }
    acknowledged
}

fn is_accepted(response: &reqwest::Response) -> bool {
    let status = response.status();
    assert!(
        status == StatusCode::OK
            || status == StatusCode::SERVICE_UNAVAILABLE && response.headers().contains_key("retry-after"),
        "{status}"
    );
    status == StatusCode::OK
}

/// Whether a token is active on a node; a node that has just found the new primary may answer 503 first.
async fn is_active(node: &DedicatedServer, client: &Credentials, token: &str) -> bool {
    let mut active = None;
    until(PATIENCE, "the node answers", async || {
        let response = node.post(client, "/oauth/introspect", &[("token", token)]).await;
        if is_accepted(&response) {
            active = body_of(response).await["active"].as_bool();
        }
        active.is_some()
    })
    .await;
    active.unwrap()
}

/// The configuration of nodes whose URL names both hosts.
async fn on_both_hosts(primary: &Postgres, standby: &Postgres) -> Setup {
    let mut setup = Setup::on_postgres(BINARY, primary).await;
    let own = setup.database_url().unwrap().to_owned();
    let database = own.rsplit('/').next().unwrap();
    let (one, other) = (primary.port(), standby.port());
    setup.set(
        "OAUTH2_DATABASE_URL",
        format!("postgres://postgres@127.0.0.1:{one},127.0.0.1:{other}/{database}"),
    );
    setup
}

async fn nodes_follow_the_promoted_standby(loss: Loss) {
    let (mut primary, standby) = primary_and_standby().await;
    let nodes = Nodes::of(on_both_hosts(&primary, &standby).await, 2).await;
    nodes.hear_each_other().await;
    let client = nodes.register(json!({"scope": "read", "token_format": "opaque"})).await;

    let issued = AtomicUsize::new(0);
    let losing = async {
        until(PATIENCE, "the nodes are at work", async || {
            issued.load(Ordering::Relaxed) >= AT_WORK
        })
        .await;
        tokio::task::spawn_blocking(move || {
            match loss {
                Loss::Crash => primary.crash(),
                Loss::Hang => primary.freeze(),
            }
            primary
        })
        .await
    };
    let [a, b] = &nodes.0[..] else { unreachable!() };
    let (of_a, of_b, gone) = tokio::join!(
        work_until_rejected(a, &client, &issued),
        work_until_rejected(b, &client, &issued),
        losing
    );
    let gone = gone.unwrap();

    let promoted = connect(&standby.url("postgres")).await;
    promoted.batch_execute("SELECT pg_promote()").await.unwrap();
    let accepts = Instant::now();
    for node in &nodes.0 {
        let resumes = async || is_accepted(&node.request_token(&client, &[]).await);
        until(PATIENCE, "writes resume", resumes).await;
    }
    let took = accepts.elapsed();
    assert!(took <= RESUMED_WITHIN, "{took:?}");

    for node in &nodes.0 {
        until(PATIENCE, "the node is ready", async || {
            node.http.get(node.url("/ready")).send().await.unwrap().status() == StatusCode::OK
        })
        .await;
        for acknowledged in [&of_a, &of_b] {
            assert!(!acknowledged.issued.is_empty() && !acknowledged.revoked.is_empty());
            for token in &acknowledged.issued {
                assert!(is_active(node, &client, token).await, "an acknowledged token is lost");
            }
            for token in &acknowledged.revoked {
                assert!(!is_active(node, &client, token).await, "a revoked token is active");
            }
        }
    }
    nodes.hear_each_other().await;
    nodes.revocations_are_seen_within(BY_NOTIFY).await;
    if loss == Loss::Hang {
        gone.thaw();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_follow_the_standby_of_a_crashed_primary() {
    nodes_follow_the_promoted_standby(Loss::Crash).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_follow_the_standby_of_a_hanging_primary() {
    nodes_follow_the_promoted_standby(Loss::Hang).await;
}

/// A node that has not heard of a revocation when the primary is lost reads it from the promoted standby before it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_that_a_node_missed_holds_after_the_failover() {
    let (mut primary, standby) = primary_and_standby().await;
    let mut setup = on_both_hosts(&primary, &standby).await;
    // No node is notified: what a stopped process is sent would wait for it.
    setup.set("OAUTH2_DATABASE_LISTEN_URL", "postgres://postgres@127.0.0.1:1/none");
    let nodes = Nodes::of(setup, 2).await;
    let [revoking, missing] = &nodes.0[..] else {
        unreachable!()
    };
    let client = nodes.register(json!({"scope": "read", "token_format": "opaque"})).await;
    let response = revoking.request_token(&client, &[]).await;
    let token = body_of(response).await["access_token"].as_str().unwrap().to_owned();
    assert!(is_active(missing, &client, &token).await);

    missing.process.pause();
    let response = revoking.post(&client, "/oauth/revoke", &[("token", &token)]).await;
    assert_eq!(response.status(), StatusCode::OK);
    tokio::task::block_in_place(|| primary.crash());
    let promoted = connect(&standby.url("postgres")).await;
    promoted.batch_execute("SELECT pg_promote()").await.unwrap();
    missing.process.unpause();
    until(PATIENCE, "writes resume", async || {
        is_accepted(&missing.request_token(&client, &[]).await)
    })
    .await;
    assert!(!is_active(missing, &client, &token).await, "a revoked token is active");
}
