//! The revocation cache on a stopped clock: a token issued after a revocation is beyond its cut-off.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth2_actors::revocation_cache::{Apply, Deps, PublishedRevocations, RevocationCache, Subject};
use oauth2_actors::runtime::schedule::{Pace, Wake};
use oauth2_actors::runtime::{IdClock, ManualClock, Policy, Supervised, supervise};
use oauth2_store::model::token::uuid_v7_ms;
use oauth2_store::model::{AuditEntry, Revocation, RevocationTarget};
use tokio::sync::watch;
use uuid::Uuid;

mod common;

use common::{PATIENCE, sqlite_store};

/// 2026-11-24 18:00:00 UTC.
const NOW_MS: u64 = 1_795_543_200_000;

struct Fixture {
    cache: Supervised<RevocationCache>,
    deps: Deps,
    _directory: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Fixture {
        let (store, directory) = sqlite_store().await;
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let deps = Deps {
            store,
            published: PublishedRevocations::default(),
            prepared: watch::channel(true).1,
            ids: Arc::new(IdClock::new(clock.clone())),
            clock,
            generations: Arc::default(),
            pace: Pace::every(Duration::from_millis(250)),
            wake: Wake::default(),
        };
        let own = deps.clone();
        let cache = supervise("revocation_cache", Policy::default(), move |_| {
            RevocationCache::new(own.clone())
        });
        let fixture = Fixture {
            cache,
            deps,
            _directory: directory,
        };
        fixture
            .wait_until(|| fixture.deps.published.load().freshness().age().is_some())
            .await;
        fixture
    }

    async fn wait_until(&self, holds: impl Fn() -> bool) {
        let wait = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("in time");
    }

    fn issue(&self) -> Uuid {
        self.deps.ids.new_id().unwrap()
    }

    fn is_revoked(&self, jti: Uuid) -> bool {
        self.deps.published.load().is_revoked(Subject {
            jti,
            client_id: "ci",
            user_id: None,
            kid: None,
        })
    }
}

fn cut_off(target: RevocationTarget) -> Revocation {
    Revocation::new(target, NOW_MS)
}

fn of_client() -> RevocationTarget {
    RevocationTarget::Client("ci".into())
}

#[actix::test]
async fn token_issued_in_the_millisecond_of_an_applied_cut_off_but_after_it_is_not_revoked() {
    for target in [of_client(), RevocationTarget::Issuer] {
        let f = Fixture::new().await;
        let before = f.issue();
        assert!(!f.is_revoked(before));
        let deadline = Instant::now() + PATIENCE;
        let applied = f.cache.mailbox.ask(Apply(vec![cut_off(target)]), deadline).unwrap();
        applied.await.unwrap();
        assert!(f.is_revoked(before), "in force when the reply comes");
        let after = f.issue();
        assert!(!f.is_revoked(after));
        assert_eq!(uuid_v7_ms(&after), NOW_MS + 1);
    }
}

#[actix::test]
async fn token_issued_after_a_cut_off_was_read_from_the_log_is_not_revoked() {
    let f = Fixture::new().await;
    let before = f.issue();
    let audit = AuditEntry {
        actor: "node:other".into(),
        action: "revocation.cutoff",
        detail: serde_json::json!({}),
    };
    f.deps
        .store
        .revoke(&cut_off(of_client()), NOW_MS, &audit)
        .await
        .unwrap();
    f.wait_until(|| f.is_revoked(before)).await;
    assert!(!f.is_revoked(f.issue()));
}
