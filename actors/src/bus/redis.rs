//! Hints by Redis `PUBLISH`.

use futures_util::StreamExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::{AsyncCommands, RedisError};
use tokio::time::timeout;

use crate::shared_redis::{CONNECT, RESPONSE, RedisOptions, describe, late};

/// The channel, after the prefix.
const CHANNEL: &str = "hints";

pub(super) async fn sender(options: &RedisOptions) -> Result<Sender, String> {
    let clause = |error: RedisError| describe(&error);
    // The first node that accepts a connection; the manager opens its own.
    let client = options.reachable().await.map_err(clause)?;
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(RESPONSE));
    let connection = client
        .get_connection_manager_with_config(config)
        .await
        .map_err(clause)?;
    Ok(Sender {
        connection,
        channel: options.name(CHANNEL),
    })
}

pub(super) async fn receiver(options: &RedisOptions) -> Result<Receiver, String> {
    let clause = |error: RedisError| describe(&error);
    let subscribe = async {
        let mut messages = options.reachable().await?.get_async_pubsub().await?;
        messages.subscribe(options.name(CHANNEL)).await?;
        Ok(Receiver(messages))
    };
    let subscribed = timeout(2 * CONNECT, subscribe).await;
    subscribed.unwrap_or_else(|_| Err(late("Redis"))).map_err(clause)
}

/// Publishes.
#[derive(Clone)]
pub(super) struct Sender {
    connection: ConnectionManager,
    channel: String,
}

impl Sender {
    pub(super) async fn send(&mut self, message: &str) -> Result<(), String> {
        let published = self.connection.publish(&self.channel, message).await;
        published.map_err(|error: RedisError| describe(&error))
    }
}

/// Subscribes.
pub(super) struct Receiver(PubSub);

impl Receiver {
    pub(super) async fn next(&mut self) -> Option<String> {
        let message = self.0.on_message().next().await?;
        // No node sends anything but text: the rest is dropped and counted as malformed.
        Some(message.get_payload().unwrap_or_default())
    }
}
