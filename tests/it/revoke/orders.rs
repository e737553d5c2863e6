//! Orders of operators that are given elsewhere, on another node or on the command line: a change of a client, then a cut-off. A
//! server reads both at its next poll, and issues by the client as it was until then. None of those tokens may remain active.

use std::time::{Duration, Instant, SystemTime};

use oauth2_store::model::{AuditEntry, Revocation, RevocationTarget};
use oauth2_store::{Location, Pooler, Store, StoreOptions};
use oauth2_testkit::{Credentials, Kind, Server, until};
use serde_json::json;

use crate::shared;

on_both_stores!(
    rotated_secret_leaves_no_token,
    narrowed_scope_leaves_no_token,
    disabled_client_leaves_no_token_after_it_is_enabled,
    recreated_client_inherits_no_token,
    cut_off_of_the_issuer_covers_clients_that_changed_just_before,
);

/// Twice the second within which a server reads of a change.
const FOLLOWED: Duration = Duration::from_secs(2);

fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64
}

fn audit(action: &'static str) -> AuditEntry {
    AuditEntry {
        actor: "another node".into(),
        action,
        detail: json!({}),
    }
}

/// The store as another node uses it.
async fn store_of(server: &Server) -> Store {
    let location = match server.setup.database_url() {
        Some(url) => Location::Postgres(url.to_owned()),
        None => Location::Sqlite(server.setup.database_file()),
    };
    let wait = Duration::from_secs(5);
    let options = StoreOptions {
        location,
        max_connections: 2,
        ledger_writers: 1,
        min_connections: 0,
        connect_timeout: wait,
        idle_timeout: wait,
        acquire_timeout: wait,
        password_file: None,
        pooler: Pooler::None,
        listen_at: None,
        read_at: None,
        min_lock_wait: Duration::ZERO,
    };
    Store::open(&options).await.unwrap()
}

/// A client of the server, another client that may introspect its tokens, and the store as another node uses it.
struct Order<'a> {
    server: &'a Server,
    client: Credentials,
    reader: Credentials,
    elsewhere: Store,
}

impl<'a> Order<'a> {
    async fn new(server: &'a Server, client_id: &str) -> Self {
        let metadata = json!({"client_id": client_id, "scope": "read admin"});
        let reader = json!({"introspection_audiences": [server.issuer()]});
        Self {
            client: server.register(metadata).await,
            reader: server.register(reader).await,
            elsewhere: store_of(server).await,
            server,
        }
    }

    fn id(&self) -> &str {
        &self.client.id
    }

    /// Changes the client elsewhere.
    async fn update(&self, change: impl FnOnce(&mut oauth2_store::model::Client)) {
        let mut client = self.elsewhere.client(self.id()).await.unwrap().unwrap();
        change(&mut client);
        let now = (now_ms() / 1000) as i64;
        let updated = self
            .elsewhere
            .update_client(&client, now, &audit("client.update"))
            .await;
        assert!(updated.unwrap());
    }

    async fn rotate_secret(&self) {
        let now = (now_ms() / 1000) as i64;
        let rotated = self
            .elsewhere
            .rotate_secret(self.id(), None, &[7; 32], now, now, &audit("client.rotate_secret"))
            .await;
        assert!(rotated.unwrap());
    }

    async fn cut_off(&self, target: RevocationTarget) {
        let now_ms = now_ms();
        let revocation = Revocation::new(target, now_ms);
        let revoked = self
            .elsewhere
            .revoke(&revocation, now_ms, &audit("revocation.cutoff"))
            .await;
        revoked.unwrap();
    }

    async fn cut_off_client(&self) {
        self.cut_off(RevocationTarget::Client(self.id().to_owned())).await;
    }

    /// Tokens that the server issues after the order was given elsewhere, until it rejects a request.
    async fn tokens_of_stale_views(&self, scope: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let response = self.server.request_token(&self.client, &[("scope", scope)]).await;
            if !response.status().is_success() {
                return tokens;
            }
            let body = oauth2_testkit::server::json(response).await;
            tokens.push(body["access_token"].as_str().unwrap().to_owned());
            assert!(Instant::now() < deadline, "the change did not arrive");
        }
    }

    /// Asserts that the server revokes these tokens.
    async fn are_revoked(&self, tokens: Vec<String>) {
        for token in &tokens {
            until(FOLLOWED, "the cut-off covers every token", async || {
                !self.server.is_active(&self.reader, token).await
            })
            .await;
        }
    }

    /// Asserts that the client gets tokens once the server has read of its change, and that they are active.
    async fn is_served(&self, client: &Credentials) {
        until(FOLLOWED, "the change arrives", async || {
            self.server.request_token(client, &[]).await.status().is_success()
        })
        .await;
        let token = self.server.token(client).await;
        assert!(self.server.is_active(&self.reader, &token).await);
    }
}

async fn rotated_secret_leaves_no_token(kind: Kind) {
    let server = shared(kind).await;
    let order = Order::new(&server, "rotated").await;
    order.rotate_secret().await;
    order.cut_off_client().await;
    let tokens = order.tokens_of_stale_views("read").await;
    order.are_revoked(tokens).await;
}

async fn narrowed_scope_leaves_no_token(kind: Kind) {
    let server = shared(kind).await;
    let order = Order::new(&server, "narrowed").await;
    order.update(|client| client.scope = "read".into()).await;
    order.cut_off_client().await;
    let tokens = order.tokens_of_stale_views("admin").await;
    order.are_revoked(tokens).await;
    order.is_served(&order.client).await;
}

async fn disabled_client_leaves_no_token_after_it_is_enabled(kind: Kind) {
    let server = shared(kind).await;
    let order = Order::new(&server, "disabled").await;
    order.update(|client| client.disabled = true).await;
    order.cut_off_client().await;
    let tokens = order.tokens_of_stale_views("read").await;
    order.update(|client| client.disabled = false).await;
    order.is_served(&order.client).await;
    order.are_revoked(tokens).await;
}

async fn recreated_client_inherits_no_token(kind: Kind) {
    let server = shared(kind).await;
    let order = Order::new(&server, "recreated").await;
    let mut client = order.elsewhere.client(order.id()).await.unwrap().unwrap();
    let deleted = order
        .elsewhere
        .delete_client(order.id(), None, now_ms(), &audit("client.delete"))
        .await;
    assert!(deleted.unwrap().is_some());
    client.scope = "read".into();
    client.version = 1;
    let created = order
        .elsewhere
        .create_client(&client, now_ms(), &audit("client.create"))
        .await;
    assert!(created.unwrap().is_some());
    let tokens = order.tokens_of_stale_views("admin").await;
    order.is_served(&order.client).await;
    order.are_revoked(tokens).await;
}

async fn cut_off_of_the_issuer_covers_clients_that_changed_just_before(kind: Kind) {
    // Not shared: the cut-off is of every client.
    let server = crate::start(kind).await;
    let unchanged = server.register(json!({"scope": "read"})).await;
    let order = Order::new(&server, "changed").await;
    order.rotate_secret().await;
    order.cut_off(RevocationTarget::Issuer).await;
    let tokens = order.tokens_of_stale_views("read").await;
    order.are_revoked(tokens).await;
    order.is_served(&unchanged).await;
}
