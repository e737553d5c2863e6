//! The buckets that all nodes share, in Redis.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster_async::ClusterConnection;
use redis::{ErrorKind, RedisError, RedisResult, Script};
use tokio::time::timeout;

use super::leases::{Bucket, Grant};
use crate::shared_redis::{CONNECT, RedisOptions, late};

/// Times in Redis are microseconds since then, so that a number of Lua holds them with a digit to spare: Unix time 1 790 000 000.
const EPOCH: u64 = 1_790_000_000;

/// Takes from a bucket, which is stored as the time at which it is full (the theoretical arrival time of the generic cell rate
/// algorithm). It returns the tokens granted, the tokens left, the wait, the time at which the bucket is full, and the wait until then. Of
/// a bucket with two names the emptier one counts, and both are set: nodes that know only one of the names spend from the same bucket.
const TAKE: &str = r"
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local cost, want, known = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = (tonumber(time[1]) - tonumber(ARGV[6])) * 1000000 + tonumber(time[2])
local full = 0
for _, key in ipairs(KEYS) do
    local stored = redis.pcall('GET', key)
    if type(stored) == 'table' then
        -- Another type than this script's.
        redis.call('UNLINK', key)
        stored = nil
    end
    local at = tonumber(stored or '0') or 0
    if at == at then
        full = math.max(full, at)
    end
end
full = math.min(math.max(full, known, now), now + burst * interval)
local held = math.floor((now + burst * interval - full) / interval + 0.000001)
if held < cost then
    return {0, held, math.ceil(full + cost * interval - burst * interval - now), math.floor(full), math.ceil(full - now)}
end
local granted = math.min(want, held)
full = full + granted * interval
for _, key in ipairs(KEYS) do
    redis.call('SET', key, string.format('%.1f', full), 'PX', math.ceil((full - now) / 1000) + 1)
end
return {granted, held - granted, 0, math.floor(full), math.ceil(full - now)}
";

/// A connection to the buckets. Clones share it.
#[derive(Clone)]
pub(super) struct Buckets {
    connection: Connection,
    script: Script,
    prefix: String,
    /// Limit of a response: later, a node decides by its share of the rate.
    response: Duration,
}

#[derive(Clone)]
enum Connection {
    One(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Buckets {
    /// Connects. Fails unless the script runs.
    pub(super) async fn connect(options: &RedisOptions) -> RedisResult<Self> {
        let response = options.limit_timeout;
        let connection = if let Some(cluster) = options.cluster(response).await? {
            Connection::Cluster(cluster)
        } else {
            let config = ConnectionManagerConfig::new()
                .set_number_of_retries(0)
                .set_connection_timeout(Some(CONNECT))
                .set_response_timeout(Some(response));
            let client = options.reachable().await?;
            Connection::One(client.get_connection_manager_with_config(config).await?)
        };
        let buckets = Self {
            connection,
            script: Script::new(TAKE),
            prefix: options.name(""),
            response,
        };
        buckets.load().await?;
        // Finds a server that accepts no writes.
        buckets.run(&["bucket:probe"], [1.0, 1.0, 1.0, 1.0, 0.0]).await?;
        Ok(buckets)
    }

    /// Loads the script, so that its first use needs one round trip.
    async fn load(&self) -> RedisResult<()> {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(TAKE);
        let load = async {
            match &self.connection {
                Connection::One(connection) => load.query_async(&mut connection.clone()).await,
                Connection::Cluster(connection) => load.query_async(&mut connection.clone()).await,
            }
        };
        let loaded: RedisResult<String> = timeout(CONNECT, load).await.unwrap_or_else(|_| Err(late("Redis")));
        // A server that accepts every command has not loaded it.
        if loaded? == self.script.get_hash() {
            Ok(())
        } else {
            Err(RedisError::from((
                ErrorKind::UnexpectedReturnType,
                "the script was not loaded",
            )))
        }
    }

    /// Takes a lease of a bucket.
    pub(super) async fn take(&self, bucket: &Bucket) -> RedisResult<Grant> {
        let rate = bucket.rate;
        let interval = f64::from(rate.per.seconds()) * 1e6 / f64::from(rate.count.get());
        let arguments = [
            interval,
            rate.burst().get().into(),
            bucket.cost.get().into(),
            bucket.want.into(),
            bucket.full_at as f64,
        ];
        let names: Vec<&str> = bucket.names.iter().map(String::as_str).collect();
        let names = match self.connection {
            Connection::One(_) => &names[..],
            // A script of a cluster has keys of one server only.
            Connection::Cluster(_) => &names[..names.len().min(1)],
        };
        let [granted, remaining, wait, full_at, refill] = self.run(names, arguments).await?;
        Ok(Grant {
            granted: granted as u32,
            remaining: remaining as u32,
            wait: Duration::from_micros(wait),
            full_at,
            refill: Duration::from_micros(refill),
        })
    }

    async fn run(&self, names: &[&str], arguments: [f64; 5]) -> RedisResult<[u64; 5]> {
        let mut call = self.script.prepare_invoke();
        for name in names {
            call.key(format!("{}{name}", self.prefix));
        }
        for argument in arguments {
            call.arg(argument);
        }
        call.arg(EPOCH);
        let answer = async {
            match &self.connection {
                Connection::One(connection) => call.invoke_async(&mut connection.clone()).await,
                Connection::Cluster(connection) => call.invoke_async(&mut connection.clone()).await,
            }
        };
        timeout(self.response, answer)
            .await
            .unwrap_or_else(|_| Err(late("Redis")))
    }
}
