//! Hints by Postgres `NOTIFY`, where there is no Redis.

use oauth2_store::{Notifications, Store};

/// The channel. Postgres has one of each name per database.
const CHANNEL: &str = "oauth2_server_hints";

/// Sends through the pool, which may be behind a pooler in transaction mode.
#[derive(Debug)]
pub(super) struct Sender(Store);

/// Receives on a connection of its own.
#[derive(Debug)]
pub(super) struct Receiver(Notifications);

pub(super) fn sender(store: &Store) -> Sender {
    Sender(store.clone())
}

pub(super) async fn receiver(store: &Store) -> Result<Receiver, String> {
    let notifications = store.listen(CHANNEL).await;
    notifications.map(Receiver).map_err(|error| error.to_string())
}

impl Sender {
    pub(super) async fn send(&self, message: &str) -> Result<(), String> {
        self.0.notify(CHANNEL, message).await.map_err(|error| error.to_string())
    }
}

impl Receiver {
    pub(super) async fn next(&mut self) -> Option<String> {
        self.0.next().await
    }
}
