//! The bus: announces to other nodes at once what this one has committed, and receives their announcements.
//!
//! - Owns: the connections that hints travel by ([`Transport`]).
//! - Source of truth: the store's logs, which every node reads whether hints come or not. A lost hint costs time, a forged one nothing.
//! - Published: [`BusStatus`], and the [`Pace`] of the polls: slow while hints flow, fast when they stop.
//! - On restart: connects again.
//! - When full: hints are dropped and counted (see [`Outbox`]).

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use oauth2_store::Store;
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

use crate::hints::{Hint, Outbox};
use crate::runtime::clock::{Clock, StoreClock};
use crate::runtime::schedule::{Pace, when_ready};
use crate::shared_redis::RedisOptions;

mod envelope;
mod postgres_notify;
mod redis;
mod status;

pub use envelope::HintKeys;
use envelope::{MAX_HINTS, Message};
pub use status::BusStatus;
use status::NO_NODE;

/// How often a node says that it is there, at least.
const ALIVE: Duration = Duration::from_millis(500);

/// Limit of sending a message, and the pause after a failure.
const SEND: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(100);

/// Interval at which it is checked whether hints flow.
const WATCH: Duration = Duration::from_millis(100);

/// How long hints may not flow before the connections are opened again.
const GIVE_UP: Duration = Duration::from_secs(3);

/// Polls while hints flow, and while they do not. Also while they flow here, those of another node may be lost: a revocation must be seen
/// within 500 ms by polls alone.
const SLOW: Duration = Duration::from_millis(400);
const FAST: Duration = Duration::from_millis(100);

/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Applies the hints of other nodes.
pub type ApplyHints = Arc<dyn Fn(Vec<Hint>) + Send + Sync>;

/// The way that hints take.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Notifications of the database.
    Postgres(Store),
    /// A Redis that all nodes share.
    Redis(RedisOptions),
}

impl Transport {
    async fn sender(&self) -> Result<Sender, String> {
        Ok(match self {
            Self::Postgres(store) => Sender::Postgres(postgres_notify::sender(store)),
            Self::Redis(options) => Sender::Redis(redis::sender(options).await?),
        })
    }

    async fn receiver(&self) -> Result<Receiver, String> {
        Ok(match self {
            Self::Postgres(store) => Receiver::Postgres(postgres_notify::receiver(store).await?),
            Self::Redis(options) => Receiver::Redis(redis::receiver(options).await?),
        })
    }

    /// Why a node may not receive its own messages.
    fn silence(&self) -> &'static str {
        match self {
            Self::Postgres(_) => {
                "notifications of the database do not arrive; behind a pooler in transaction mode, set OAUTH2_DATABASE_LISTEN_URL"
            }
            Self::Redis(_) => "published messages do not arrive",
        }
    }

    /// Sends hints once, for a process that is not a node. They may be lost.
    pub async fn send_once(&self, keys: &HintKeys, at: u64, hints: Vec<Hint>) -> Result<(), String> {
        let message = Message {
            node: NO_NODE,
            at,
            hints,
        };
        let signed = keys.sign(&message).map_err(|error| error.to_string())?;
        let send = async { self.sender().await?.send(&signed).await };
        timeout(SEND, send)
            .await
            .unwrap_or_else(|_| Err("no response in time".to_owned()))
    }
}

enum Sender {
    Postgres(postgres_notify::Sender),
    Redis(redis::Sender),
}

impl Sender {
    async fn send(&mut self, message: &str) -> Result<(), String> {
        match self {
            Self::Postgres(sender) => sender.send(message).await,
            Self::Redis(sender) => sender.send(message).await,
        }
    }
}

enum Receiver {
    Postgres(postgres_notify::Receiver),
    Redis(redis::Receiver),
}

impl Receiver {
    async fn next(&mut self) -> Option<String> {
        match self {
            Self::Postgres(receiver) => receiver.next().await,
            Self::Redis(receiver) => receiver.next().await,
        }
    }
}

/// The dependencies of each incarnation of the actor.
#[derive(Clone)]
pub struct Deps {
    /// The way that hints take.
    pub transport: Transport,
    /// Authenticate them.
    pub keys: HintKeys,
    /// The id of this node, chosen at its start; never 0.
    pub node: u64,
    /// The hints of this node.
    pub outbox: Outbox,
    /// Applies the hints of other nodes.
    pub apply: ApplyHints,
    /// The state of the bus.
    pub status: Arc<BusStatus>,
    /// True once the schema is up to date and the store's clock known.
    pub prepared: watch::Receiver<bool>,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// How often the logs are polled.
    pub pace: Pace,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// The actor.
#[derive(Debug)]
pub struct Bus {
    deps: Deps,
}

impl Bus {
    /// An actor that connects when it starts.
    pub fn new(deps: Deps) -> Self {
        Self { deps }
    }
}

impl Actor for Bus {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        when_ready(ctx, self.deps.prepared.clone(), |actor, ctx| {
            let deps = actor.deps.clone();
            deps.outbox.open();
            ctx.spawn(async move { deps.run().await }.into_actor(actor));
        });
    }
}

/// Whether an outage of the bus was logged. One line when that begins, one when it ends.
#[derive(Debug, Default)]
struct Outage(Cell<bool>);

impl Outage {
    fn begin(&self, why: &str) {
        if !self.0.replace(true) {
            tracing::warn!(
                why,
                "hints do not reach other nodes; changes are read from the store instead"
            );
        }
    }

    fn end(&self) {
        if self.0.replace(false) {
            tracing::info!("hints reach other nodes again");
        }
    }
}

/// Hints that are being sent. If that fails, or the session ends first, they are sent again.
struct Unsent<'a> {
    outbox: &'a Outbox,
    hints: Vec<Hint>,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        let hints = std::mem::take(&mut self.hints);
        if !hints.is_empty() {
            self.outbox.put_back(hints);
        }
    }
}

impl Deps {
    /// Connects, again and again.
    async fn run(&self) {
        let (mut pause, outage) = (FIRST_PAUSE, Outage::default());
        loop {
            let began = Instant::now();
            let why = self.session(&outage).await;
            self.set_pace(false);
            outage.begin(&why);
            if began.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends and hears until a connection ends. Returns why.
    async fn session(&self, outage: &Outage) -> String {
        let sender = match self.transport.sender().await {
            Ok(sender) => sender,
            Err(why) => return why,
        };
        let receiver = match self.transport.receiver().await {
            Ok(receiver) => receiver,
            Err(why) => return why,
        };
        tokio::select! {
            never = self.send_all(sender) => match never {},
            why = self.hear_all(receiver) => why,
            why = self.watch(outage) => why,
        }
    }

    async fn send_all(&self, mut sender: Sender) -> Infallible {
        let mut due = Instant::now();
        loop {
            let is_alive_due = sleep_until(due);
            tokio::select! {
                () = self.outbox.added() => {}
                () = is_alive_due => {}
            }
            // Hints that were added while a message was on its way go into the next one: the more there are, the larger it is.
            loop {
                let mut batch = Unsent {
                    outbox: &self.outbox,
                    hints: self.outbox.take(MAX_HINTS),
                };
                if batch.hints.is_empty() && Instant::now() < due {
                    break;
                }
                if let Err(why) = self.send(&mut sender, &batch.hints).await {
                    tracing::debug!(why, "hints are sent again");
                    drop(batch);
                    // The watch ends the session if this goes on.
                    sleep(RETRY).await;
                    continue;
                }
                self.status.count_sent(std::mem::take(&mut batch.hints).len());
                due = Instant::now() + ALIVE;
            }
        }
    }

    async fn send(&self, sender: &mut Sender, hints: &[Hint]) -> Result<(), String> {
        let message = Message {
            node: self.node,
            at: self.clock.unix_ms(),
            hints: hints.to_vec(),
        };
        let signed = self.keys.sign(&message).map_err(|error| error.to_string())?;
        let sent = timeout(SEND, sender.send(&signed)).await;
        sent.unwrap_or_else(|_| Err("no response in time".to_owned()))
    }

    async fn hear_all(&self, mut receiver: Receiver) -> String {
        while let Some(text) = receiver.next().await {
            let now_ms = self.clock.unix_ms();
            match self.keys.open(&text, now_ms) {
                Ok(message) if message.node == self.node => self.status.hear_own(Instant::now().into_std()),
                Ok(Message { node, at, hints }) => {
                    self.status
                        .hear(node, hints.len(), now_ms.saturating_sub(at), Instant::now().into_std());
                    if !hints.is_empty() {
                        (self.apply)(hints);
                    }
                }
                Err(why) => self.status.count_rejected(why),
            }
        }
        "the connection ended".to_owned()
    }

    /// Sets the pace of the polls by whether hints flow. Ends a session in which they do not: its connections may be half open, or
    /// lead to a server that is no primary any more.
    async fn watch(&self, outage: &Outage) -> String {
        let (mut ticks, mut flowed_at) = (interval(WATCH), Instant::now());
        loop {
            ticks.tick().await;
            let is_flowing = self.status.is_flowing();
            self.set_pace(is_flowing);
            if is_flowing {
                flowed_at = Instant::now();
                outage.end();
            } else if flowed_at.elapsed() > GIVE_UP {
                return self.transport.silence().to_owned();
            }
        }
    }

    fn set_pace(&self, is_flowing: bool) {
        let pace = if is_flowing { SLOW } else { FAST };
        if self.pace.set(pace) {
            // Hints of the meantime may be lost.
            (self.apply)(vec![Hint::Directory, Hint::CutOff]);
        }
    }
}
