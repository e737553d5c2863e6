//! Notifications between the nodes of a database (`LISTEN`, `NOTIFY`), on a connection of their own.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_postgres::AsyncMessage;

use super::failure::to_store_error;
use super::opener::Opener;
use super::pool::{PostgresStore, with_connection};
use super::timeouts::ORDINARY;
use crate::error::{Result, StoreError};

/// Notifications that may wait to be read. A reader that is slower loses the connection, and begins again.
const WAITING: usize = 1024;

/// Limit of opening the connection.
const OPEN: Duration = Duration::from_secs(5);

/// What other sessions of the database notify a channel of. Dropping it closes the connection.
pub struct Notifications {
    payloads: mpsc::Receiver<String>,
    /// The connection ends when it is dropped.
    client: tokio_postgres::Client,
    driver: AbortHandle,
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifications").finish_non_exhaustive()
    }
}

impl Notifications {
    /// The next payload; `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<String> {
        self.payloads.recv().await
    }
}

impl Drop for Notifications {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl PostgresStore {
    /// Notifies a channel. `payload`: less than 8000 bytes.
    pub(crate) async fn notify(&self, channel: &str, payload: &str) -> Result<()> {
        with_connection!(self, ORDINARY, |connection| {
            connection
                .query_one("SELECT pg_notify($1, $2)", &[&channel, &payload])
                .await?;
            Ok(())
        })
    }

    /// Whether there may be a connection that can listen: not through a pooler in transaction mode.
    pub(crate) fn can_listen(&self) -> bool {
        self.listener.is_some()
    }

    /// Listens to a channel.
    pub(crate) async fn listen(&self, channel: &'static str) -> Result<Notifications> {
        let Some(opener) = &self.listener else {
            let problem = "a pooler in transaction mode passes on no notifications";
            return Err(StoreError::Unavailable(problem.to_owned()));
        };
        let listening = tokio::time::timeout(OPEN, open(opener, channel));
        listening.await.unwrap_or(Err(StoreError::Timeout))
    }
}

async fn open(opener: &Opener, channel: &'static str) -> Result<Notifications> {
    let (client, mut connection) = opener.connect_alone().await?;
    let (sender, payloads) = mpsc::channel(WAITING);
    let driver = tokio::spawn(async move {
        loop {
            let message = pin!(poll_fn(|context| connection.poll_message(context))).await;
            match message {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    if sender.try_send(notification.payload().to_owned()).is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    });
    let notifications = Notifications {
        payloads,
        driver: driver.abort_handle(),
        client,
    };
    let listen = format!("LISTEN {channel}");
    let listening = notifications.client.batch_execute(&listen).await;
    listening.map_err(|error| to_store_error(&error))?;
    Ok(notifications)
}
