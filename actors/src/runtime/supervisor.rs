//! Supervision: an actor that panics or freezes is replaced by a fresh one, made by its factory, behind the same mailbox.
//!
//! actix's own supervisor does not survive a panic: the actor's task dies and its addresses answer `Closed` for good. Here
//! each life of an actor runs on an arbiter of its own. A guard spawned into its context is dropped when the task dies, and
//! a timer in the context beats while it lives; a supervising task watches both. An actor that dies too often is given up:
//! its status becomes [`ActorStatus::Escalated`], upon which the process goes not ready and exits.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::{oneshot, watch};

use super::mailbox::Mailbox;

/// How an actor is watched, and what it is allowed.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Messages that may be queued or in flight.
    pub mailbox_capacity: usize,
    /// How often a living actor beats.
    pub heartbeat: Duration,
    /// An actor that misses this many beats in a row is frozen.
    pub missed_heartbeats: u32,
    /// Replacements allowed within the window; one more escalates.
    pub max_restarts: usize,
    /// The window.
    pub window: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mailbox_capacity: 1024,
            heartbeat: Duration::from_millis(250),
            missed_heartbeats: 4,
            max_restarts: 5,
            window: Duration::from_secs(60),
        }
    }
}

/// What became of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorStatus {
    /// The first one is being made.
    Starting,
    /// It answers.
    Running,
    /// The last one died; the next one is being made.
    Restarting,
    /// It died too often. The process must stop.
    Escalated,
}

/// A supervised actor.
#[derive(Debug, Clone)]
pub struct Supervised<A: Actor> {
    /// The way to ask it.
    pub mailbox: Mailbox<A>,
    /// What became of it.
    pub status: watch::Receiver<ActorStatus>,
}

/// Pause before the first replacement; doubled for each further one in the window, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Room in actix's own queue beyond the permits, for its soft bound.
const SLACK: usize = 64;

/// Starts an actor made by `factory` and watches over it for as long as the process lives. To be called inside a running
/// actix system.
pub fn supervise<A>(
    name: &'static str,
    policy: Policy,
    factory: impl Fn(&mut Context<A>) -> A + Send + Sync + 'static,
) -> Supervised<A>
where
    A: Actor<Context = Context<A>>,
{
    let mailbox = Mailbox::new(name, policy.mailbox_capacity);
    let (status, watched) = watch::channel(ActorStatus::Starting);
    actix::spawn(watch_over(mailbox.clone(), policy, Arc::new(factory), status));
    Supervised {
        mailbox,
        status: watched,
    }
}

type Factory<A> = Arc<dyn Fn(&mut Context<A>) -> A + Send + Sync>;

async fn watch_over<A>(mailbox: Mailbox<A>, policy: Policy, factory: Factory<A>, status: watch::Sender<ActorStatus>)
where
    A: Actor<Context = Context<A>>,
{
    let mut deaths: VecDeque<Instant> = VecDeque::new();
    loop {
        let mut life = Life::start(&factory, &policy);
        let cause = match life.started(&policy).await {
            Ok(()) => {
                mailbox.publish(life.addr.clone());
                status.send_replace(ActorStatus::Running);
                life.ended(&policy).await
            }
            Err(cause) => cause,
        };
        mailbox.withdraw();
        // A frozen thread ends when it thaws; nothing waits for it.
        life.arbiter.stop();
        tracing::error!(actor = mailbox.name(), cause, "actor died");

        let now = Instant::now();
        deaths.push_back(now);
        while deaths
            .front()
            .is_some_and(|death| now.duration_since(*death) > policy.window)
        {
            deaths.pop_front();
        }
        if deaths.len() > policy.max_restarts {
            tracing::error!(
                actor = mailbox.name(),
                deaths = deaths.len(),
                "actor died too often; giving up"
            );
            status.send_replace(ActorStatus::Escalated);
            return;
        }
        status.send_replace(ActorStatus::Restarting);
        mailbox.stats().restarts.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep((PAUSE * (1 << (deaths.len() - 1).min(10))).min(LONGEST_PAUSE)).await;
    }
}

/// Dropped with the actor's context.
struct Guard(Option<oneshot::Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(death) = self.0.take() {
            let _ = death.send(());
        }
    }
}

struct Life<A: Actor> {
    arbiter: Arbiter,
    addr: Addr<A>,
    made: oneshot::Receiver<()>,
    death: oneshot::Receiver<()>,
    beats: Arc<AtomicU64>,
}

impl<A: Actor<Context = Context<A>>> Life<A> {
    fn start(factory: &Factory<A>, policy: &Policy) -> Self {
        let (made, on_made) = oneshot::channel();
        let (death, on_death) = oneshot::channel();
        let beats = Arc::new(AtomicU64::new(0));
        let (factory, beat, heartbeat) = (Arc::clone(factory), Arc::clone(&beats), policy.heartbeat);
        let capacity = policy.mailbox_capacity + SLACK;
        let arbiter = Arbiter::new();
        let addr = A::start_in_arbiter(&arbiter.handle(), move |ctx| {
            let guard = Guard(Some(death));
            ctx.set_mailbox_capacity(capacity);
            let actor = factory(ctx);
            ctx.run_interval(heartbeat / 2, move |_, _| {
                beat.fetch_add(1, Ordering::Relaxed);
            });
            let forever = async move {
                let _guard = guard;
                pending::<()>().await;
            };
            ctx.spawn(forever.into_actor(&actor));
            let _ = made.send(());
            actor
        });
        Self {
            arbiter,
            addr,
            made: on_made,
            death: on_death,
            beats,
        }
    }

    /// Waits until the factory is done. It may take longer than a beat, but not for ever.
    async fn started(&mut self, policy: &Policy) -> Result<(), &'static str> {
        let patience = policy.heartbeat * policy.missed_heartbeats * 10;
        match tokio::time::timeout(patience, &mut self.made).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("its factory panicked"),
            Err(_) => Err("its factory did not finish"),
        }
    }

    /// Waits until the actor is dead or frozen.
    async fn ended(&mut self, policy: &Policy) -> &'static str {
        let mut missed = 0;
        let mut last = self.beats.load(Ordering::Relaxed);
        loop {
            let asleep = Instant::now();
            tokio::select! {
                _ = &mut self.death => return "it panicked or stopped",
                () = tokio::time::sleep(policy.heartbeat) => {}
            }
            let beats = self.beats.load(Ordering::Relaxed);
            // When the supervisor itself overslept, the whole process was held up, and the actor with it.
            let overslept = asleep.elapsed() > policy.heartbeat * 2;
            missed = if beats != last || overslept { 0 } else { missed + 1 };
            last = beats;
            if missed >= policy.missed_heartbeats {
                return "it is frozen";
            }
        }
    }
}
