//! Redis behind Sentinels, and as a cluster.

use oauth2_testkit::{Kind, Redis, until};

use super::{BY_REDIS, Nodes, PATIENCE};
use crate::cli::rejected;
use crate::setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_that_sentinels_name_is_followed() {
    let mut primary = Redis::start(&[]);
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
    let sentinel = Redis::sentinel("main", primary.port());
    let url = format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port());
    let nodes = Nodes::start(2, &[("OAUTH2_REDIS_URL", url)]).await;
    nodes.hear_each_other().await;
    let port = replica.port().to_string();
    let is_known = async || sentinel.command(&["SENTINEL", "REPLICAS", "main"]).contains(&port);
    until(PATIENCE, "the Sentinel knows the replica", is_known).await;

    primary.stop();
    let is_primary = async || {
        sentinel
            .command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"])
            .contains(&port)
    };
    until(PATIENCE, "the replica is promoted", is_primary).await;
    nodes.hear_each_other().await;
    nodes.revocations_are_seen_within(BY_REDIS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_pass_through_a_cluster() {
    let mut servers: Vec<_> = (0..3).map(|_| Redis::start(&["--cluster-enabled", "yes"])).collect();
    let hosts: Vec<_> = servers
        .iter()
        .map(|server| format!("127.0.0.1:{}", server.port()))
        .collect();
    let url = format!("redis+cluster://{}", hosts.join(","));
    let start = setup(Kind::Postgres).await.with("OAUTH2_REDIS_URL", url.clone());
    let required = start.with("OAUTH2_REDIS_REQUIRED", "true");
    rejected(&required.run(&[]), 2, &["OAUTH2_REDIS_URL", "0 of 16384 slots"]);

    let ranges = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
    for (server, (from, to)) in servers.iter().zip(ranges) {
        assert_eq!(server.command(&["CLUSTER", "ADDSLOTSRANGE", from, to]), "OK");
    }
    for server in &servers[1..] {
        let port = server.port().to_string();
        let bus_port = server.cluster_port().to_string();
        assert_eq!(
            servers[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port]),
            "OK"
        );
    }
    for server in &servers {
        let is_whole = async || server.command(&["CLUSTER", "INFO"]).contains("cluster_slots_ok:16384");
        until(PATIENCE, "the cluster is whole", is_whole).await;
    }
    let nodes = Nodes::of(required, 2).await;
    nodes.hear_each_other().await;
    // Nodes connect to the first that responds.
    servers[0].stop();
    nodes.hear_each_other().await;
    nodes.revocations_are_seen_within(BY_REDIS).await;
}
