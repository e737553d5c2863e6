//! The store gateway: a change is in this node's directory when its reply comes, and a wake-up replaces the wait for a poll.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth2_actors::directory::Directory;
use oauth2_actors::runtime::schedule::{Pace, Wake};
use oauth2_actors::runtime::{IdClock, ManualClock, Policy, StoreClock, supervise};
use oauth2_actors::store_gateway::handle::StoreGatewayHandle;
use oauth2_actors::store_gateway::{Deps, StoreGateway};
use oauth2_store::Store;
use oauth2_store::model::{AuditEntry, Client, Revocation};
use tokio::sync::watch;

mod common;

use common::{PATIENCE, sqlite_store};

/// How often the gateway polls.
const POLL: Duration = Duration::from_millis(250);

/// 2026-11-24 18:00:00 UTC.
const NOW_MS: u64 = 1_795_543_200_000;

struct Fixture {
    gateway: StoreGatewayHandle,
    store: Store,
    directory: Arc<Directory>,
    wake: Wake,
    _files: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Fixture {
        let (store, files) = sqlite_store().await;
        let directory = Arc::new(Directory::new(Box::new(|_| ())));
        let wake = Wake::default();
        let deps = Deps {
            store: store.clone(),
            directory: Arc::clone(&directory),
            prepared: watch::channel(true).1,
            default_lifetime: 3600,
            clock: Arc::new(StoreClock::new(Arc::new(ManualClock::at(NOW_MS)))),
            ids: Arc::new(IdClock::new(Arc::new(ManualClock::at(NOW_MS)))),
            maintenance: Arc::default(),
            audit_days: None,
            pace: Pace::every(Duration::from_millis(250)),
            wake: wake.clone(),
            wake_revocations: Wake::default(),
        };
        let actor = supervise("store_gateway", Policy::default(), move |_| {
            StoreGateway::new(deps.clone())
        });
        actor.running().await.unwrap();
        Fixture {
            gateway: StoreGatewayHandle(actor.mailbox),
            store,
            directory,
            wake,
            _files: files,
        }
    }
}

fn client(id: &str) -> Client {
    Client::new(id, (NOW_MS / 1000) as i64)
}

async fn create(store: Store, id: String) -> Result<Option<Revocation>, oauth2_store::StoreError> {
    let audit = AuditEntry {
        actor: "test".into(),
        action: "client.create",
        detail: serde_json::json!({}),
    };
    store.create_client(&client(&id), NOW_MS, &audit).await
}

#[actix::test]
async fn a_change_is_in_the_directory_when_its_reply_comes() {
    let f = Fixture::new().await;
    for round in 0..20 {
        let change = async |n| {
            let id = format!("client-{round}-{n}");
            let created = id.clone();
            let verb = move |store| create(store, created);
            f.gateway.change(Instant::now() + PATIENCE, verb).await.unwrap();
            assert!(f.directory.client(&id).is_some(), "{id} is not in the directory");
        };
        let changes = (0..5).map(change);
        futures_util::future::join_all(changes).await;
    }
}

#[actix::test]
async fn a_wake_up_reads_the_log_before_the_next_poll() {
    const ROUNDS: u32 = 20;
    let f = Fixture::new().await;
    let began = Instant::now();
    for round in 0..ROUNDS {
        // As another node writes it.
        let id = format!("client-{round}");
        create(f.store.clone(), id.clone()).await.unwrap();
        f.wake.wake();
        while f.directory.client(&id).is_none() {
            assert!(began.elapsed() < PATIENCE, "{id} is not in the directory");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let took = began.elapsed();
    assert!(took < POLL * ROUNDS / 2, "{took:?}: the poll read it");
}
