//! A node with a read replica: reads go there, answers are those of the primary, and no fault of the replica fails a request.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use oauth2_testkit::postgres::connect;
use oauth2_testkit::server::json as body_of;
use oauth2_testkit::{Condition, Credentials, DedicatedServer, Link, Postgres, Setup, until};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::PATIENCE;
use crate::BINARY;

const READ_URL: &str = "OAUTH2_DATABASE_READ_URL";

/// The deadline of introspection, 1 s, and what a busy machine adds.
const IN_TIME: Duration = Duration::from_millis(1500);

/// A primary, its standby, and a node that reaches the standby through a link.
struct Replicated {
    primary: Postgres,
    standby: Postgres,
    link: Link,
    node: DedicatedServer,
    client: Credentials,
}

/// The name of the database of a URL.
fn name_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

async fn primary_and_standby() -> (Postgres, Postgres, Setup) {
    let primary = Postgres::start(false);
    let setup = Setup::on_postgres(BINARY, &primary).await;
    let standby = tokio::task::block_in_place(|| primary.standby());
    (primary, standby, setup)
}

impl Replicated {
    async fn start() -> Replicated {
        let (primary, standby, setup) = primary_and_standby().await;
        Self::with(primary, standby, setup).await
    }

    async fn with(primary: Postgres, standby: Postgres, setup: Setup) -> Replicated {
        let link = Link::to(standby.port()).await;
        let name = name_of(setup.database_url().unwrap()).to_owned();
        let url = format!("postgres://postgres@127.0.0.1:{}/{name}", link.port());
        let node = DedicatedServer::start(setup.with(READ_URL, url)).await;
        let client = node.register(json!({"scope": "read", "token_format": "opaque"})).await;
        let replicated = Replicated {
            primary,
            standby,
            link,
            node,
            client,
        };
        replicated.is_in_use(true).await;
        replicated
    }

    async fn is_in_use(&self, expected: bool) {
        until(PATIENCE, "the use of the replica begins or ends", async || {
            self.node.metric("oauth2_server_db_replica_in_use", &[]).await == Some(f64::from(u8::from(expected)))
        })
        .await;
    }

    async fn reads_of(&self, server: &str) -> u64 {
        let found = self
            .node
            .metric("oauth2_server_db_reads_total", &[("server", server)])
            .await;
        found.unwrap() as u64
    }

    async fn fallbacks(&self, reason: &str) -> u64 {
        let name = "oauth2_server_db_read_fallbacks_total";
        self.node.metric(name, &[("reason", reason)]).await.unwrap() as u64
    }

    async fn execute_on_standby(&self, sql: &str) {
        connect(&self.standby.url("postgres"))
            .await
            .batch_execute(sql)
            .await
            .unwrap();
    }

    /// Tokens that the replica has.
    async fn replicated_tokens(&self, count: usize) -> Vec<String> {
        let mut tokens = Vec::new();
        for _ in 0..count {
            tokens.push(self.node.token(&self.client).await);
        }
        until(PATIENCE, "the replica has the tokens", async || {
            let before = self.reads_of("replica").await;
            self.all_are_active(&tokens).await;
            self.reads_of("replica").await >= before + count as u64
        })
        .await;
        tokens
    }

    async fn all_are_active(&self, tokens: &[String]) {
        for token in tokens {
            let asked = Instant::now();
            assert!(self.node.is_active(&self.client, token).await);
            assert!(asked.elapsed() < IN_TIME, "{:?}", asked.elapsed());
        }
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.node.admin(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        body_of(response).await
    }

    /// The items of a list, page by page.
    async fn pages(&self, path: &str, limit: usize) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}?limit={limit}{cursor}")).await;
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// Issues, introspects, lists and revokes, and each answer is right at once.
    async fn answers_are_right(&self) {
        let token = self.node.token(&self.client).await;
        self.all_are_active(std::slice::from_ref(&token)).await;
        let (id, jti) = (
            &self.client.id,
            self.node.introspect(&self.client, &token).await["jti"].clone(),
        );
        let newest = self.get(&format!("/clients/{id}/tokens?limit=1")).await;
        assert_eq!(newest["items"][0]["jti"], jti, "a list has what was just issued");
        self.node.revoke(&self.client, &token).await;
        assert!(!self.node.is_active(&self.client, &token).await);
        let newest = self.get("/audit?limit=1").await;
        assert_eq!(newest["items"][0]["action"], "token.revoke", "{newest}");
        assert_eq!(newest["items"][0]["target_id"], jti, "{newest}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_to_the_replica() {
    let r = Replicated::start().await;
    let tokens = r.replicated_tokens(20).await;
    // At the first attempt, unless the machine is so busy that the replica is late.
    until(
        PATIENCE,
        "the replica answers 20 introspections and 3 pages",
        async || {
            let before = (r.reads_of("primary").await, r.reads_of("replica").await);
            r.all_are_active(&tokens).await;
            let list: Vec<_> = r.pages(&format!("/clients/{}/tokens", r.client.id), 7).await;
            let listed: BTreeSet<_> = list.iter().map(|item| item["jti"].to_string()).collect();
            assert_eq!((list.len(), listed.len()), (20, 20));
            let after = (r.reads_of("primary").await, r.reads_of("replica").await);
            (after.0 - before.0, after.1 - before.1) == (0, 23)
        },
    )
    .await;
    let before = r.reads_of("replica").await;
    let audited = r.pages("/audit", 2).await;
    assert_eq!(Value::from(audited), r.get("/audit?limit=1000").await["items"]);
    assert!(r.reads_of("replica").await > before);
    let lag = r
        .node
        .metric("oauth2_server_db_replica_lag_seconds", &[])
        .await
        .unwrap();
    assert!((0.0..1.0).contains(&lag), "{lag}");
    for _ in 0..20 {
        r.answers_are_right().await;
    }
    // An administrator is authenticated by the primary, and tokens are revoked there.
    let before = r.reads_of("replica").await + r.reads_of("primary").await;
    r.node.revoke(&r.client, &tokens[0]).await;
    assert_eq!(r.reads_of("replica").await + r.reads_of("primary").await, before);
    let doctor: Value = serde_json::from_str(&r.node.setup.run(&["doctor", "--json"]).stdout).unwrap();
    let checks = doctor["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["check"] == "replica").unwrap();
    assert_eq!(check["status"], "ok", "{check}");
}

/// With each change arriving late, as from another region.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_active_at_once_and_a_revoked_one_never() {
    let (primary, mut standby, setup) = primary_and_standby().await;
    tokio::task::block_in_place(|| standby.reconfigure("recovery_min_apply_delay = '300ms'", ""));
    let r = Replicated::with(primary, standby, setup.with("OAUTH2_DATABASE_READ_MAX_LAG", "5")).await;
    let old = r.replicated_tokens(3).await;
    let (missing, read) = (r.fallbacks("missing").await, r.reads_of("replica").await);
    for _ in 0..30 {
        let token = r.node.token(&r.client).await;
        assert!(r.node.is_active(&r.client, &token).await);
        let batch = json!({"tokens": [&token, &old[0], "oas_at_unknown"]});
        let response = r
            .node
            .http
            .post(r.node.url("/oauth/introspect/batch"))
            .header("Authorization", r.client.basic());
        let response = body_of(response.json(&batch).send().await.unwrap()).await;
        let active: Vec<_> = response.as_array().unwrap().iter().map(|one| &one["active"]).collect();
        assert_eq!(active, [true, true, false]);
        r.node.revoke(&r.client, &token).await;
        assert!(!r.node.is_active(&r.client, &token).await);
        r.all_are_active(&old).await;
    }
    assert!(
        r.fallbacks("missing").await >= missing + 30,
        "new tokens come from the primary"
    );
    assert!(r.reads_of("replica").await >= read + 60, "others do not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_behind_is_not_read_from() {
    let r = Replicated::start().await;
    let tokens = r.replicated_tokens(3).await;
    r.execute_on_standby("SELECT pg_wal_replay_pause()").await;
    for _ in 0..3 {
        r.answers_are_right().await;
    }
    r.is_in_use(false).await;
    let lag = r
        .node
        .metric("oauth2_server_db_replica_lag_seconds", &[])
        .await
        .unwrap();
    assert!(lag >= 1.0, "{lag}");
    let (behind, read) = (r.fallbacks("behind").await, r.reads_of("replica").await);
    r.answers_are_right().await;
    r.all_are_active(&tokens).await;
    assert!(r.fallbacks("behind").await > behind);
    assert_eq!(r.reads_of("replica").await, read);
    r.execute_on_standby("SELECT pg_wal_replay_resume()").await;
    r.is_in_use(true).await;
    r.replicated_tokens(3).await;
    r.answers_are_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_replica_fail_no_request() {
    let mut r = Replicated::start().await;
    let tokens = r.replicated_tokens(3).await;
    let slow = Condition::Delayed(Duration::from_millis(400));
    for condition in [Condition::Silent, slow, Condition::Cut] {
        r.link.set(condition);
        for _ in 0..5 {
            r.answers_are_right().await;
            r.all_are_active(&tokens).await;
        }
        r.is_in_use(false).await;
        let read = r.reads_of("replica").await;
        r.answers_are_right().await;
        assert_eq!(r.reads_of("replica").await, read, "{condition:?}");
        r.link.set(Condition::Delayed(Duration::ZERO));
        r.is_in_use(true).await;
        r.replicated_tokens(1).await;
    }
    r.standby.freeze();
    r.answers_are_right().await;
    r.is_in_use(false).await;
    r.standby.thaw();
    r.is_in_use(true).await;
    tokio::task::block_in_place(|| r.standby.stop());
    for _ in 0..5 {
        r.answers_are_right().await;
    }
    r.is_in_use(false).await;
    tokio::task::block_in_place(|| r.standby.resume());
    r.is_in_use(true).await;
    r.replicated_tokens(1).await;
    let ready = r.node.http.get(r.node.url("/ready")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    let log = r.node.process.complete_log().await;
    let lines = log.lines().filter(|line| line.contains("is not read from"));
    // Silent, slow, cut, frozen and stopped. Those that pass within 5 s are not logged.
    assert!(lines.count() <= 5, "{log}");
}

/// Two primaries: the promoted standby is no replica of the primary of this node, until the node follows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_is_left_until_it_is_the_primary() {
    let (primary, standby, mut setup) = primary_and_standby().await;
    let name = name_of(setup.database_url().unwrap()).to_owned();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port());
    setup.set("OAUTH2_DATABASE_URL", format!("postgres://postgres@{hosts}/{name}"));
    let mut r = Replicated::with(primary, standby, setup).await;
    r.replicated_tokens(3).await;
    r.execute_on_standby("SELECT pg_promote()").await;
    r.is_in_use(false).await;
    let foreign = r.fallbacks("foreign").await;
    r.answers_are_right().await;
    assert!(r.fallbacks("foreign").await > foreign);
    tokio::task::block_in_place(|| r.primary.stop());
    r.is_in_use(true).await;
    until(PATIENCE, "the node follows the new primary", async || {
        r.node.request_token(&r.client, &[]).await.status() == StatusCode::OK
    })
    .await;
    r.answers_are_right().await;
}
