//! Stores to test, and rows to write to them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth2_store::model::{
    AuditEntry, AuditFilter, AuditPosition, AuditRow, Client, ClientSecret, GrantType, KeyAlgorithm, Ledger,
    LedgerEntry, Policy, Revocation, SigningAlg, StoredKey, TokenFormat, TokenRecord, TokenTyp,
};
use oauth2_store::{LoadedRow, Location, LogPosition, Pooler, Store, StoreOptions};
use uuid::{NoContext, Timestamp, Uuid};

use oauth2_testkit::{Pgbouncer, Postgres};

/// The current time of the tests: 2026-11-24 18:00:00 UTC.
pub const NOW: i64 = 1_795_543_200;

pub struct Fixture {
    pub store: Store,
    pub options: StoreOptions,
    /// URL of Postgres without a pooler.
    direct: Option<String>,
    _directory: tempfile::TempDir,
}

/// The rows of the revocation log since a position, and the position after them.
pub async fn revocations_since(store: &Store, from: LogPosition) -> (Vec<Revocation>, LogPosition) {
    let mut found = Vec::new();
    let position = store
        .for_each_revocation_since(from, &mut |revocation| found.push(revocation))
        .await;
    (found, position.unwrap())
}

/// All clients with their secrets, as a full read reports them, sorted by id.
pub async fn all_clients(store: &Store) -> Vec<Client> {
    let mut all = Vec::new();
    let mut on_row = |row| match row {
        LoadedRow::Client(client) => all.push(client),
        LoadedRow::Secret(client_id, secret) => {
            let client: &mut Client = all.iter_mut().find(|client| *client.client_id == *client_id).unwrap();
            client.secrets = client.secrets.iter().cloned().chain([secret]).collect();
        }
    };
    store.for_each_client(&mut on_row).await.unwrap();
    all.sort_by(|a, b| a.client_id.cmp(&b.client_id));
    all
}

pub fn options(location: Location) -> StoreOptions {
    StoreOptions {
        location,
        max_connections: 6,
        ledger_writers: 1,
        min_connections: 0,
        password_file: None,
        pooler: Pooler::None,
        listen_at: None,
        read_at: None,
        connect_timeout: Duration::from_secs(2),
        idle_timeout: Duration::from_mins(1),
        min_lock_wait: Duration::ZERO,
        acquire_timeout: Duration::from_millis(250),
    }
}

impl Fixture {
    pub async fn empty(kind: &str) -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let direct = match kind {
            "sqlite" => None,
            _ => Some(Postgres::shared().database().await),
        };
        let mut options = options(match &direct {
            None => Location::Sqlite(directory.path().join("new/oauth2.db")),
            Some(url) if kind == "pooled" => Location::Postgres(Pgbouncer::shared().url(url)),
            Some(url) => Location::Postgres(url.clone()),
        });
        if kind == "pooled" {
            options.pooler = Pooler::Transaction;
        }
        // On a machine under load, the first connection may take longer than the default timeout.
        options.acquire_timeout = Duration::from_secs(5);
        let store = Store::open(&options).await.unwrap();
        Fixture {
            store,
            options,
            direct,
            _directory: directory,
        }
    }

    pub async fn migrated(kind: &str) -> Fixture {
        let fixture = Self::empty(kind).await;
        fixture.store.migrate().await.unwrap();
        fixture
    }

    /// Executes statements on the database without the store.
    pub async fn execute(&self, statements: &str) {
        if self.store.kind() == "postgres" {
            let connection = oauth2_testkit::postgres::connect(self.url()).await;
            connection.batch_execute(statements).await.unwrap();
        } else {
            let connection = rusqlite::Connection::open(self.path()).unwrap();
            connection.execute_batch(statements).unwrap();
        }
    }

    /// Waits for this many audit rows of a kind, and returns them, the newest first. On Postgres, a row is hidden while a transaction runs
    /// that began before it, such as one of another test on the same server.
    pub async fn audit_rows(&self, kind: &str, count: usize) -> Vec<AuditRow> {
        let filter = AuditFilter {
            kind: Some(kind.to_owned()),
            ..AuditFilter::default()
        };
        self.matching_audit_rows(&filter, count).await
    }

    pub async fn matching_audit_rows(&self, filter: &AuditFilter, count: usize) -> Vec<AuditRow> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let rows = self.store.audit(filter, AuditPosition::Newest, 100).await.unwrap();
            if rows.len() >= count {
                return rows;
            }
            assert!(Instant::now() < deadline, "{rows:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn url(&self) -> &str {
        self.direct.as_deref().expect("Postgres")
    }

    pub fn path(&self) -> &std::path::Path {
        match &self.options.location {
            Location::Sqlite(path) => path,
            Location::Postgres(_) => panic!("not SQLite"),
        }
    }
}

/// A new token id with the given time.
pub fn jti(at: i64) -> Uuid {
    Uuid::new_v7(Timestamp::from_unix(NoContext, at as u64, 0))
}

pub fn token(client_id: &str, at: i64, lifetime: i64) -> TokenRecord {
    TokenRecord {
        jti: jti(at),
        expires_at: at + lifetime,
        client_id: client_id.into(),
        scope: "read write".into(),
        audience: "https://api.example".into(),
        format: TokenFormat::Paseto,
        secret_hash: None,
    }
}

/// The ledger entries that record these tokens.
pub fn issue(tokens: &[TokenRecord]) -> Vec<LedgerEntry> {
    tokens.iter().cloned().map(LedgerEntry::Issue).collect()
}

pub fn client(id: &str) -> Client {
    Client {
        client_id: id.into(),
        client_name: Some("A \"quoted\" näme".into()),
        grant_types: [GrantType::ClientCredentials].into(),
        scope: "read write".into(),
        token_format: Some(TokenFormat::Jwt),
        signing_alg: Some(SigningAlg::Es256),
        token_typ: Some(TokenTyp::Jwt),
        audience: ["https://a.example".into(), "https://b.example".into()].into(),
        introspection_audiences: ["https://c.example".into()].into(),
        token_ledger: Some(Ledger::Stateless),
        access_token_lifetime: Some(600),
        policy: Some(policy()),
        group: Some("acme".into()),
        disabled: false,
        managed_by: Some("payments".into()),
        created_at: NOW,
        version: 1,
        secrets: [
            ClientSecret::fast([2; 32], None),
            ClientSecret::fast([1; 32], Some(NOW + 60)),
        ]
        .into(),
    }
}

fn policy() -> Arc<Policy> {
    let document = serde_json::json!({
        "rate_limits": {"token": "100/s:200"}, "rate_limit_mode": "observe", "quotas": {"day": 10_000},
        "quota_mode": "enforce", "reuse_percent": 50, "claims": {"tenant": "a \"quoted\" näme", "limits": [1, 2.5, null]},
    });
    Arc::new(serde_json::from_value(document).unwrap())
}

pub fn audit(action: &'static str) -> AuditEntry {
    AuditEntry {
        actor: "cli:tester".into(),
        action,
        detail: serde_json::json!({"reason": "test"}),
    }
}

pub fn key(kid: &str, algorithm: KeyAlgorithm) -> StoredKey {
    StoredKey {
        kid: kid.into(),
        algorithm,
        public_key: kid.bytes().cycle().take(32).collect(),
        wrapped_private_key: "wrapped".into(),
        created_at: NOW,
        signs_from_ms: NOW * 1000,
        token_lifetime: 1800,
        when_seen: false,
    }
}
