//! Redis behind Sentinels, and as a cluster.

use std::os::unix::fs::PermissionsExt;

use oauth2_testkit::authority::Authority;
use oauth2_testkit::{Kind, Redis, ports, until};

use super::{BY_REDIS, Nodes, PATIENCE};
use crate::cli::rejected;
use crate::setup;

/// A primary, its replica, and the Sentinel that knows both.
pub(super) struct Sentinel {
    primary: Redis,
    replica: Redis,
    watcher: Redis,
}

impl Sentinel {
    pub(super) async fn start() -> Self {
        let primary = Redis::start(&[]);
        let replica = Redis::start(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
        let sentinel = Redis::sentinel("main", primary.port());
        let port = replica.port().to_string();
        let is_known = async || sentinel.command(&["SENTINEL", "REPLICAS", "main"]).contains(&port);
        until(PATIENCE, "the Sentinel knows the replica", is_known).await;
        Self {
            primary,
            replica,
            watcher: sentinel,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/main", self.watcher.port())
    }

    /// Stops the primary, and waits until the replica replaces it.
    pub(super) async fn promote(&mut self) {
        self.primary.stop();
        let port = self.replica.port().to_string();
        let is_primary = async || {
            let named = self.watcher.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]);
            named.contains(&port)
        };
        until(PATIENCE, "the replica is promoted", is_primary).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_that_sentinels_name_is_followed() {
    let mut redis = Sentinel::start().await;
    let nodes = Nodes::start(2, &[("OAUTH2_REDIS_URL", redis.url())]).await;
    nodes.hear_each_other().await;
    redis.promote().await;
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

/// The Sentinels and the primary each have users of their own, and speak TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_and_their_primary_have_log_ins_of_their_own() {
    let authority = Authority::new("redis");
    let issued = authority.issue(&["127.0.0.1"]);
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (certificate, key) = (write("certificate", &issued.certificate), write("key", &issued.key));
    let trusted = write("authority", &authority.certificate);
    let (port, sentinel_port) = (ports::free().to_string(), ports::free());
    let tls = |port: &str| {
        format!(
            "tls-port {port}\ntls-cert-file {certificate}\ntls-key-file {key}\ntls-ca-cert-file {trusted}\ntls-auth-clients no\n\
             tls-replication yes\n"
        )
    };
    // The rights that the documentation lists, and `+role` for Sentinels.
    let rights = "~oauth2_server:* &oauth2_server:* -@all +publish +subscribe +ping +info +select +hello +eval +evalsha +script|load +get \
                  +set +unlink +time +role";
    let primary = Redis::with_settings(&format!(
        "{}user app on >s3cret-of-app {rights}\nuser watcher on >s3cret-of-watcher ~* &* +@all\nuser default off\n",
        tls(&port)
    ));
    let sentinel = Redis::sentinel_with(
        "main",
        port.parse().unwrap(),
        &format!(
            "{}sentinel auth-user main watcher\nsentinel auth-pass main s3cret-of-watcher\n\
             user seeker on >s3cret-of-sentinels -@all +auth +hello +role +sentinel|masters\nuser default off\n",
            tls(&sentinel_port.to_string())
        ),
    );
    let url = format!("rediss+sentinel://app:s3cret-of-app@127.0.0.1:{sentinel_port}/main");
    let setup = setup(Kind::Postgres)
        .await
        .with("OAUTH2_REDIS_URL", url)
        .with("OAUTH2_REDIS_CA_FILE", trusted.clone())
        .with("OAUTH2_REDIS_REQUIRED", "true")
        .with("OAUTH2_REDIS_SENTINEL_USER", "seeker");
    for (password, why) in [
        (None, "requires a password"),
        (Some("s3cret-wrong"), "rejects the user"),
    ] {
        let mut wrong = setup.clone();
        if let Some(password) = password {
            wrong.set("OAUTH2_REDIS_SENTINEL_PASSWORD", password);
        } else {
            wrong.unset("OAUTH2_REDIS_SENTINEL_USER");
        }
        let output = wrong.run(&[]);
        rejected(&output, 2, &["OAUTH2_REDIS_URL", "the Sentinels", why]);
        assert!(!output.stderr.contains("s3cret"), "{}", output.stderr);
    }
    let password = write("password", "s3cret-of-sentinels\n");
    std::fs::set_permissions(&password, PermissionsExt::from_mode(0o600)).unwrap();
    let setup = setup.with("OAUTH2_REDIS_SENTINEL_PASSWORD_FILE", password);
    let wrong = setup.clone().with("OAUTH2_REDIS_PASSWORD", "s3cret-wrong");
    let output = wrong.run(&[]);
    rejected(&output, 2, &["OAUTH2_REDIS_URL", "rejects the user or the password"]);
    assert!(!output.stderr.contains("the Sentinels"), "{}", output.stderr);
    let nodes = Nodes::of(setup.clone(), 2).await;
    nodes.hear_each_other().await;
    nodes.revocations_are_seen_within(BY_REDIS).await;
    drop((nodes, sentinel, primary));

    let without = setup.with("OAUTH2_REDIS_URL", "rediss://127.0.0.1");
    let checked = without.run(&["config", "check"]);
    assert!(
        checked
            .stderr
            .contains("OAUTH2_REDIS_SENTINEL_PASSWORD_FILE has no effect"),
        "{}",
        checked.stderr
    );
}
