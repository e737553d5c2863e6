//! The rate limiter.
//!
//! - Owns: a bucket per client and endpoint with a rate limit, and a bucket of failed authentications per client and address. With Redis,
//!   what it has leased of the clients' buckets that all nodes share ([`leases`]).
//! - Source of truth: itself, or Redis. Its counts need not outlive the process.
//! - Published: [`Limits`], from which handlers spend without a mailbox. Only for a new lease they ask ([`Refill`]).
//! - On restart: the buckets are full again; those in Redis stay.
//! - When full: clients with a rate limit are bounded by registration. The keys of failures are chosen by strangers: their table
//!   has a fixed size, and evicts the bucket that is full again soonest.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use redis::{RedisError, RedisResult};

use crate::issuer_key::IssuerKey;
use crate::runtime::mailbox::{Envelope, Request};
use crate::shared_redis::{RedisOptions, describe, is_outage};

mod bucket_table;
mod buckets_in_redis;
mod leases;
mod limits;
mod refills;
mod spent;

use buckets_in_redis::Buckets;
use leases::Grant;
pub use leases::{Bucket, CountNodes, LeaseCounts, Leases};
pub use limits::{FailureOptions, Limits, Outcome};
use refills::Refills;
pub use spent::Spent;

/// Interval at which full buckets are dropped.
const SWEEP: Duration = Duration::from_secs(1);

/// Pause before Redis is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// The published view: handlers load it for each request.
pub type PublishedLimits = Arc<ArcSwap<Limits>>;

/// Spends from a bucket that all nodes share, by a new lease. `None`: Redis does not respond.
#[derive(Debug)]
pub struct Refill(pub Bucket);

impl Request for Refill {
    type Reply = Option<Spent>;
}

/// The dependencies of each incarnation of the actor.
#[derive(Clone)]
pub struct Deps {
    /// Where the buckets are published.
    pub published: PublishedLimits,
    /// How failed authentications are counted.
    pub failures: FailureOptions,
    /// The number of nodes, where there may be others.
    pub nodes: Option<CountNodes>,
    /// Names buckets in Redis.
    pub issuer: IssuerKey,
    /// Counts of leases.
    pub counts: Arc<LeaseCounts>,
    /// The Redis that holds the buckets that nodes share.
    pub redis: Option<RedisOptions>,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps")
            .field("redis", &self.redis)
            .finish_non_exhaustive()
    }
}

/// The actor.
#[derive(Debug)]
pub struct RateLimiter {
    published: PublishedLimits,
    sharing: Option<Sharing>,
}

/// The dependencies for sharing buckets with other nodes.
struct Sharing {
    redis: RedisOptions,
    buckets: Option<Buckets>,
    leases: Arc<Leases>,
    refills: Refills,
    /// Whether the log says that Redis does not respond.
    is_logged: bool,
}

impl fmt::Debug for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharing")
            .field("leases", &self.leases)
            .finish_non_exhaustive()
    }
}

impl RateLimiter {
    /// An actor with full buckets, published at once.
    pub fn new(deps: &Deps) -> Self {
        let nodes = deps.nodes.clone();
        let leases = deps.redis.as_ref().map(|_| {
            let nodes = nodes.clone().unwrap_or_else(|| CountNodes::by(|| 1));
            Arc::new(Leases::new(&deps.issuer, nodes, Arc::clone(&deps.counts)))
        });
        let sharing = deps.redis.clone().zip(leases.clone()).map(|(redis, leases)| Sharing {
            redis,
            buckets: None,
            leases,
            refills: Refills::default(),
            is_logged: false,
        });
        deps.published
            .store(Arc::new(Limits::shared(deps.failures, nodes, leases)));
        Self {
            published: Arc::clone(&deps.published),
            sharing,
        }
    }

    /// Connects to Redis, until that succeeds.
    fn connect(&mut self, ctx: &mut Context<Self>) {
        let Some(sharing) = &self.sharing else { return };
        let redis = sharing.redis.clone();
        let connect = async move { Buckets::connect(&redis).await };
        ctx.spawn(connect.into_actor(self).map(|connected, actor, ctx| {
            let Some(sharing) = &mut actor.sharing else { return };
            match connected {
                Ok(buckets) => sharing.up(buckets),
                Err(error) => {
                    sharing.down(&error);
                    ctx.run_later(RETRY, Self::connect);
                }
            }
        }));
    }

    /// Asks for a lease of a bucket, for all who wait for one.
    fn ask(&mut self, ctx: &mut Context<Self>, key: u64) {
        let Some(sharing) = &mut self.sharing else { return };
        let (Some(buckets), Some(bucket)) = (sharing.buckets.clone(), sharing.refills.needed(key)) else {
            sharing.refills.answer_nobody(key);
            return;
        };
        sharing.leases.count_asked();
        let take = async move { buckets.take(&bucket).await };
        let taken = take.into_actor(self);
        ctx.spawn(taken.map(move |taken, actor, ctx| actor.taken(ctx, key, taken)));
    }

    fn taken(&mut self, ctx: &mut Context<Self>, key: u64, taken: RedisResult<Grant>) {
        let Some(sharing) = &mut self.sharing else { return };
        match taken {
            Ok(grant) => {
                let left = sharing.refills.distribute(key, &grant);
                sharing.leases.keep(key, &grant, left);
                if sharing.refills.is_waited_for(key) {
                    self.ask(ctx, key);
                }
            }
            Err(error) if !is_outage(&error) => {
                tracing::debug!(why = describe(&error), "a bucket of a rate limit cannot be used");
                sharing.refills.answer_nobody(key);
            }
            Err(error) => {
                sharing.refills.answer_nobody(key);
                // The first failure; others that were on their way find that out themselves.
                if sharing.buckets.take().is_some() {
                    sharing.down(&error);
                    ctx.run_later(RETRY, Self::connect);
                }
            }
        }
    }
}

impl Sharing {
    fn up(&mut self, buckets: Buckets) {
        self.buckets = Some(buckets);
        self.leases.set_down(false);
        if std::mem::take(&mut self.is_logged) {
            tracing::info!("rate limits are shared by all nodes again");
        }
    }

    fn down(&mut self, error: &RedisError) {
        self.leases.set_down(true);
        if !std::mem::replace(&mut self.is_logged, true) {
            let why = describe(error);
            tracing::warn!(
                why,
                "rate limits are not shared: each node allows its share of the rates"
            );
        }
    }
}

impl Actor for RateLimiter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(SWEEP, |actor, _| actor.published.load().sweep());
        self.connect(ctx);
    }
}

impl Handler<Envelope<Refill>> for RateLimiter {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Refill>, ctx: &mut Context<Self>) {
        if envelope.is_abandoned() {
            return;
        }
        let (Refill(bucket), reply) = envelope.into_parts();
        let Some(sharing) = &mut self.sharing else {
            reply.send(None);
            return;
        };
        let key = bucket.key;
        if sharing.refills.wait(bucket, reply) {
            self.ask(ctx, key);
        }
    }
}
