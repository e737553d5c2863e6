//! Which worker asks which token store.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::sync::{Arc, Barrier};

use actix::System;
use oauth2_actors::runtime::{ActorStatus, ActorSystem, Policy};
use oauth2_actors::token_store::Deps;
use oauth2_actors::token_store::workers::TokenStores;
use tokio::sync::watch;
use tokio::time::timeout;

mod common;

/// Workers of the server start at the same time. A token store without a worker would never run, nor the server be ready.
#[actix::test]
async fn workers_that_start_together_take_different_token_stores() {
    const WORKERS: usize = 16;
    let (store, _directory) = common::sqlite_store().await;
    for _ in 0..10 {
        let mut system = ActorSystem::default();
        let deps = Deps {
            store: store.clone(),
            prepared: watch::channel(true).1,
            observe_commit: Arc::new(|_, _| {}),
        };
        let stores = TokenStores::new(&mut system, WORKERS, WORKERS, Policy::default(), &deps);
        let (stores, together) = (Arc::new(stores), Arc::new(Barrier::new(WORKERS)));
        let (end, ended) = watch::channel(false);
        let worker = |_| {
            let (stores, together, mut ended) = (Arc::clone(&stores), Arc::clone(&together), ended.clone());
            std::thread::spawn(move || {
                System::new().block_on(async {
                    together.wait();
                    stores.for_this_worker();
                    ended.wait_for(|ended| *ended).await.unwrap();
                });
            })
        };
        let workers: Vec<_> = (0..WORKERS).map(worker).collect();
        for (_, mut status) in system.statuses() {
            let running = status.wait_for(|status| *status == ActorStatus::Running);
            timeout(common::PATIENCE, running)
                .await
                .expect("every token store has a worker")
                .unwrap();
        }
        end.send_replace(true);
        for worker in workers {
            worker.join().unwrap();
        }
    }
}
