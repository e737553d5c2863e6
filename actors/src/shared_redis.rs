//! The Redis that nodes share: how it is reached, and what is checked of it at the start.
//!
//! It makes nodes faster and fairer, and is never needed: whoever uses it has another way.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncCommands, Client, RedisError, RedisResult};

mod address;
mod failure;
mod login;

pub use address::RedisAddress;
use address::limits;
pub(crate) use address::{CONNECT, late};
use failure::{NOT_REDIS, is_transient};
pub(crate) use failure::{describe, is_outage};
pub use login::RedisLogin;

/// Limit of a command.
pub(crate) const RESPONSE: Duration = Duration::from_millis(500);

/// The oldest version of Redis that is supported. Valkey counts as 7.2.
const MIN_VERSION: u32 = 7;

/// Slots of a cluster, each of which a server must hold.
const SLOTS: u32 = 16_384;

/// How nodes reach the Redis that they share.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Where it is.
    pub address: RedisAddress,
    /// The beginning of every name of a key and of a channel.
    pub prefix: String,
    /// How long a decision about a rate waits for a response.
    pub limit_timeout: Duration,
}

/// The reason why a Redis cannot be used, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisProblem {
    /// It cannot be reached now.
    Unreachable(String),
    /// It responds, and will not do as long as it or the configuration is not changed.
    Unusable(String),
    /// It responds and is used, but lacks something.
    Lacking(String),
}

impl RedisProblem {
    /// The sentence.
    pub fn text(&self) -> &str {
        match self {
            Self::Unreachable(text) | Self::Unusable(text) | Self::Lacking(text) => text,
        }
    }
}

impl RedisOptions {
    /// Checks that a server responds, takes the password, and is new enough. Returns its version.
    pub async fn check(&self) -> Result<String, RedisProblem> {
        let mut connection = self.connect().await.map_err(|error| self.problem(&error))?;
        let problem = |error: RedisError| self.problem(&error);
        // The number of its receivers.
        let _: u64 = connection.publish(self.name("check"), "").await.map_err(problem)?;
        if self.address.is_cluster() {
            self.check_slots(&mut connection).await?;
        }
        let info: RedisResult<String> = redis::cmd("INFO").arg("server").query_async(&mut connection).await;
        let Ok(info) = info else {
            return Ok("unknown".to_owned());
        };
        let Some(version) = field(&info, "redis_version") else {
            let text = format!("Redis at {} cannot be used: {NOT_REDIS}", self.address.hosts());
            return Err(RedisProblem::Unusable(text));
        };
        let major: Option<u32> = version.split('.').next().and_then(|major| major.parse().ok());
        if major.is_some_and(|major| major < MIN_VERSION) {
            let text = format!(
                "{} is Redis {version}; at least {MIN_VERSION}.0 is supported",
                self.address.hosts()
            );
            return Err(RedisProblem::Lacking(text));
        }
        Ok(version.to_owned())
    }

    /// A cluster without a slot rejects some keys.
    async fn check_slots(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisProblem> {
        let info: RedisResult<String> = redis::cmd("CLUSTER").arg("INFO").query_async(connection).await;
        let info = info.map_err(|error| {
            let text = format!(
                "the slots of the cluster at {} cannot be read: {}",
                self.address.hosts(),
                describe(&error)
            );
            RedisProblem::Unusable(text)
        })?;
        let covered = field(&info, "cluster_slots_ok")
            .and_then(|slots| slots.parse().ok())
            .unwrap_or(0);
        if covered < SLOTS {
            let text = format!(
                "the cluster at {} serves only {covered} of {SLOTS} slots",
                self.address.hosts()
            );
            return Err(RedisProblem::Lacking(text));
        }
        Ok(())
    }

    fn problem(&self, error: &RedisError) -> RedisProblem {
        let hosts = self.address.hosts();
        let text = format!("Redis at {hosts} cannot be used: {}", describe(error));
        if is_transient(error) {
            RedisProblem::Unreachable(text)
        } else {
            RedisProblem::Unusable(text)
        }
    }

    /// A connection to a cluster; `None` if Redis is none.
    pub(crate) async fn cluster(&self, response: Duration) -> RedisResult<Option<ClusterConnection>> {
        self.address.cluster(response).await
    }

    /// A name of a key or channel of this issuer.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        Ok(self.first().await?.1)
    }

    /// A client of a server that accepts connections.
    pub(crate) async fn reachable(&self) -> RedisResult<Client> {
        let mut clients = self.address.clients().await?;
        if clients.len() == 1 {
            return Ok(clients.remove(0));
        }
        Ok(self.first().await?.0)
    }

    /// The first server that accepts a connection.
    async fn first(&self) -> RedisResult<(Client, MultiplexedConnection)> {
        let mut last = late("Redis");
        for client in self.address.clients().await? {
            match client
                .get_multiplexed_async_connection_with_config(&limits(RESPONSE))
                .await
            {
                Ok(connection) => return Ok((client, connection)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// The value of a line `NAME:VALUE`.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = info.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(known, _)| *known == name).map(|(_, value)| value.trim())
}
