//! Faults while requests go on on every node, judged by the history that the callers keep.

use std::time::Duration;

use oauth2_testkit::postgres::connect;
use oauth2_testkit::{Condition, Kind as StoreKind, Link, Postgres, Redis, Setup, until};
use reqwest::StatusCode;

use super::judge::{Kind, Rules, Silence, settled};
use super::limits::asks_redis;
use super::load::{BURST, Load};
use super::topologies::Sentinel;
use super::{BY_POLLING, Nodes, PATIENCE, by_redis};
use crate::{BINARY, setup};

/// Requests of each kind that each node serves between two faults.
const CALM: usize = 5;

/// How long a fault lasts: long enough that every node has noticed it, and connections are opened again.
const FAULT: Duration = Duration::from_millis(2500);

/// By the bucket in Redis, and by a share of it on each of three nodes, however often Redis comes and goes. While a node is not heard, because it is
/// paused or the machine is busy, the shares of the others are larger.
const SHARED: usize = 2 * BURST + BURST / 2;

/// Ends a load, and judges it.
async fn judged(nodes: &Nodes, load: Load, rules: &Rules) {
    let (history, clients) = load.stop().await;
    let problems = rules.problems(&history);
    assert!(problems.is_empty(), "{problems:#?}");
    settled(nodes, &history, &clients).await;
}

/// Every fault of Redis in turn: no request fails, and each promise holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_redis_fail_no_request() {
    let mut redis = Redis::start(&[]);
    let link = Link::to(redis.port()).await;
    let nodes = Nodes::start(3, &[("OAUTH2_REDIS_URL", format!("redis://127.0.0.1:{}", link.port()))]).await;
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    let rules = Rules::new(BY_POLLING, SHARED);
    let load = Load::start(&nodes).await;
    load.goes_on(CALM).await;

    assert_eq!(redis.command(&["SAVE"]), "OK");
    redis.stop();
    tokio::time::sleep(FAULT).await;
    // With the data of before the stop.
    redis.resume();
    nodes.hear_each_other().await;
    load.goes_on(CALM).await;
    redis.pause();
    tokio::time::sleep(FAULT).await;
    redis.unpause();
    nodes.hear_each_other().await;
    load.goes_on(CALM).await;
    link.set(Condition::Delayed(Duration::from_secs(2)));
    tokio::time::sleep(2 * FAULT).await;
    link.set(Condition::Delayed(Duration::ZERO));
    nodes.hear_each_other().await;
    load.goes_on(CALM).await;
    for (break_it, mend_it) in [
        (
            ["ACL", "SETUSER", "default", "-publish"],
            ["ACL", "SETUSER", "default", "+publish"],
        ),
        (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
    ] {
        assert_eq!(redis.command(&break_it), "OK");
        tokio::time::sleep(FAULT).await;
        assert_eq!(redis.command(&mend_it), "OK");
        nodes.hear_each_other().await;
        load.goes_on(CALM).await;
    }
    assert_eq!(redis.command(&["FLUSHALL"]), "OK");
    load.goes_on(CALM).await;
    judged(&nodes, load, &rules).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_of_redis_fails_no_request() {
    let mut redis = Sentinel::start().await;
    let nodes = Nodes::start(3, &[("OAUTH2_REDIS_URL", redis.url())]).await;
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    let rules = Rules::new(BY_POLLING, SHARED);
    let load = Load::start(&nodes).await;
    load.goes_on(CALM).await;
    redis.promote().await;
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    load.goes_on(CALM).await;
    judged(&nodes, load, &rules).await;
}

/// One of three nodes is stopped for this long while the others go on, and then goes on itself.
async fn a_node_is_paused_for(pause: Duration) {
    let redis = Redis::start(&[]);
    let nodes = Nodes::start(3, &by_redis(&redis)).await;
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    let mut rules = Rules::new(BY_POLLING, SHARED);
    let load = Load::start(&nodes).await;
    load.goes_on(CALM).await;
    let paused = &nodes.0[2];
    paused.process.pause();
    // The time is the fault. The node is stopped from its first to its last moment: a request that began in it is decided after it.
    rules.during(Kind::Paused(2), tokio::time::sleep(pause)).await;
    rules
        .during(Kind::CutOff(2), async {
            paused.process.unpause();
            // Until it has read what happened meanwhile, its answers are 503.
            until(PATIENCE, "the paused node is ready", async || {
                let response = paused.http.get(paused.url("/ready")).send().await;
                response.is_ok_and(|response| response.status() == StatusCode::OK)
            })
            .await;
        })
        .await;
    nodes.hear_each_other().await;
    load.goes_on(CALM).await;
    judged(&nodes, load, &rules).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_paused_for_longer_than_its_view_may_be_old_says_nothing_wrong() {
    a_node_is_paused_for(Duration::from_secs(7)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make test-long"]
async fn a_node_that_was_paused_for_30_s_says_nothing_wrong() {
    a_node_is_paused_for(Duration::from_secs(30)).await;
}

/// Sets whether new sessions of the database are read-only, and ends the others.
async fn set_read_only(postgres: &Postgres, name: &str, is_read_only: bool) {
    let admin = connect(&postgres.url("postgres")).await;
    let sql = format!(
        "ALTER DATABASE {name} SET default_transaction_read_only = {is_read_only};
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    );
    admin.batch_execute(&sql).await.unwrap();
}

/// Every fault of the store in turn, and a node that is killed: nothing that was acknowledged is lost, and each other answer is 503 in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_store_make_no_answer_wrong() {
    let mut postgres = Postgres::start(true);
    let setup = Setup::on_postgres(BINARY, &postgres).await;
    let url = setup.database_url().unwrap().to_owned();
    let name = url.rsplit('/').next().unwrap();
    let mut nodes = Nodes::of(setup, 3).await;
    nodes.hear_each_other().await;
    // Without Redis each node has a bucket of its own, and a node that starts again a new one.
    let mut rules = Rules::new(BY_POLLING, 4 * BURST);
    let load = Load::start(&nodes).await;
    load.goes_on(CALM).await;

    rules
        .during(Kind::Store, async {
            tokio::task::block_in_place(|| postgres.crash());
            tokio::time::sleep(FAULT).await;
            tokio::task::block_in_place(|| postgres.resume());
            nodes.are_ready().await;
        })
        .await;
    load.goes_on(CALM).await;
    let mut silence = None;
    rules
        .during(Kind::Store, async {
            postgres.freeze();
            // Longer than views may be old.
            silence = Some(Silence::of(None, 3 * FAULT).await);
            postgres.thaw();
            nodes.are_ready().await;
        })
        .await;
    rules.silences.extend(silence);
    load.goes_on(CALM).await;
    rules
        .during(Kind::Store, async {
            set_read_only(&postgres, name, true).await;
            tokio::time::sleep(FAULT).await;
            set_read_only(&postgres, name, false).await;
            nodes.are_ready().await;
        })
        .await;
    load.goes_on(CALM).await;
    // No fault: its rows are read all the same.
    let holder = connect(&url).await;
    holder
        .batch_execute("BEGIN; SELECT pg_current_xact_id()")
        .await
        .unwrap();
    tokio::time::sleep(2 * FAULT).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    let killed = &mut nodes.0[1];
    rules
        .during(Kind::Killed(1), async {
            killed.process.kill();
            killed.start_again().await;
        })
        .await;
    nodes.hear_each_other().await;
    load.goes_on(CALM).await;
    judged(&nodes, load, &rules).await;
}

/// A node whose way to the store is silent, then cut, while it still hears the hints of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_the_store_says_nothing_wrong() {
    let redis = Redis::start(&[]);
    let setup = setup(StoreKind::Postgres).await;
    let mut nodes = Nodes::of(setup.with("OAUTH2_REDIS_URL", redis.url()), 2).await;
    let (cut, link) = super::links::node_at_a_distance(&nodes).await;
    nodes.0.push(cut);
    nodes.hear_each_other().await;
    asks_redis(&nodes).await;
    let mut rules = Rules::new(BY_POLLING, SHARED);
    let load = Load::start(&nodes).await;
    load.goes_on(CALM).await;
    for condition in [Condition::Silent, Condition::Cut] {
        let mut silence = None;
        rules
            .during(Kind::CutOff(2), async {
                link.set(condition);
                silence = Some(Silence::of(Some(2), 3 * FAULT).await);
                link.set(Condition::Delayed(Duration::ZERO));
                nodes.are_ready().await;
            })
            .await;
        rules.silences.extend(silence);
        load.goes_on(CALM).await;
    }
    judged(&nodes, load, &rules).await;
}
