//! Keeping an actor alive behind its [`Mailbox`].
//!
//! actix's own `Supervisor` does not survive a panic: the actor's task dies and its addresses are closed for good. Here
//! each actor has an arbiter (a thread) of its own and is made by a factory, again after each death. Death by panic is
//! seen by a guard that the actor's context holds; a frozen thread by heartbeats. A heartbeat is a task on the actor's
//! arbiter, not a message: an actor that waits for I/O while it holds its mailbox shut (`ctx.wait`) is not frozen. A
//! flood keeps such tasks from running, as actix empties the mailbox first, so taking messages counts as a beat too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context};
use tokio::sync::{oneshot, watch};

use super::mailbox::{Incarnation, Mailbox};
use super::permits::Permits;
use super::place::{Place, Thread};
use crate::error::AskError;

const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// How an actor is bounded and watched.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Messages queued and in flight at the most; more get [`AskError::Full`].
    pub mailbox_capacity: usize,
    /// Time from one heartbeat to the next.
    pub heartbeat: Duration,
    /// Heartbeats in a row without a sign of life after which the actor counts as frozen.
    pub missed_heartbeats: u32,
    /// Deaths within `window` that are survived; one more escalates.
    pub max_restarts: u32,
    /// See `max_restarts`.
    pub window: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mailbox_capacity: 1024,
            heartbeat: Duration::from_millis(250),
            missed_heartbeats: 4,
            max_restarts: 5,
            window: Duration::from_mins(1),
        }
    }
}

/// Where an actor is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorStatus {
    /// Made for the first time; asks answer [`AskError::Crashed`] until it runs.
    Starting,
    /// Takes messages.
    Running,
    /// Died and is being made anew.
    Restarting,
    /// Died too often: it stays down, and the process must go not ready and exit non-zero.
    Escalated,
    /// Closed and drained.
    Stopped,
}

/// A supervised actor: its handle, and its status to watch.
#[derive(Debug)]
pub struct Supervised<A: Actor> {
    /// The handle.
    pub mailbox: Mailbox<A>,
    /// The status.
    pub status: watch::Receiver<ActorStatus>,
}

impl<A: Actor> Clone for Supervised<A> {
    fn clone(&self) -> Self {
        Self {
            mailbox: self.mailbox.clone(),
            status: self.status.clone(),
        }
    }
}

impl<A: Actor> Supervised<A> {
    /// Waits until the actor takes messages. [`AskError::Crashed`] when it escalated, [`AskError::Stopped`] when it stopped.
    pub async fn running(&self) -> Result<(), AskError> {
        let mut status = self.status.clone();
        let settled = |status: &ActorStatus| !matches!(status, ActorStatus::Starting | ActorStatus::Restarting);
        match status.wait_for(settled).await.as_deref() {
            Ok(ActorStatus::Running) => Ok(()),
            Ok(ActorStatus::Escalated) => Err(AskError::Crashed),
            _ => Err(AskError::Stopped),
        }
    }
}

/// Starts an actor on a thread of its own and keeps it alive. Must be called on the thread of an actix `System` inside its
/// runtime. The factory runs on the actor's thread, once for each life, must not block, and may panic (that counts as a
/// death).
pub fn supervise<A>(
    name: &'static str,
    policy: Policy,
    factory: impl Fn(&mut Context<A>) -> A + Send + Sync + 'static,
) -> Supervised<A>
where
    A: Actor<Context = Context<A>>,
{
    supervise_at(Place::Own, name, policy, factory)
}

/// As [`supervise`], elsewhere.
pub fn supervise_at<A>(
    place: Place,
    name: &'static str,
    policy: Policy,
    factory: impl Fn(&mut Context<A>) -> A + Send + Sync + 'static,
) -> Supervised<A>
where
    A: Actor<Context = Context<A>>,
{
    let mailbox = Mailbox::new(name, policy.mailbox_capacity);
    let (status, watched) = watch::channel(ActorStatus::Starting);
    let supervision = Supervision {
        mailbox: mailbox.clone(),
        place,
        policy,
        factory: Arc::new(factory),
        status,
    };
    tokio::spawn(supervision.run());
    Supervised {
        mailbox,
        status: watched,
    }
}

struct Supervision<A: Actor, F> {
    mailbox: Mailbox<A>,
    place: Place,
    policy: Policy,
    factory: Arc<F>,
    status: watch::Sender<ActorStatus>,
}

/// How a life ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Died,
    Frozen,
    /// Its lent thread ended, as threads do.
    TakenAway,
    Drained,
}

/// One actor on its thread.
struct Life<A: Actor> {
    thread: Thread,
    permits: Arc<Permits>,
    beats: Arc<AtomicU64>,
    born: Option<oneshot::Receiver<Addr<A>>>,
    /// Resolves (to an error) when the actor's context drops, or the factory panics.
    death: oneshot::Receiver<()>,
    /// Dropped with the life, it stops the actor: on a lent thread, nothing else does.
    _alive: oneshot::Sender<()>,
}

impl<A, F> Supervision<A, F>
where
    A: Actor<Context = Context<A>>,
    F: Fn(&mut Context<A>) -> A + Send + Sync + 'static,
{
    async fn run(mut self) {
        let name = self.mailbox.name();
        let mut deaths = VecDeque::new();
        loop {
            let end = match self.place.thread(&self.mailbox).await {
                None => End::Drained,
                Some(Ok(thread)) => self.watch(self.begin(thread)).await,
                Some(Err(error)) => {
                    tracing::error!(actor = name, %error, "no thread for the actor");
                    End::Died
                }
            };
            // Whatever the end, nothing may reach that actor any more.
            self.mailbox.retract(!matches!(end, End::Drained));
            if matches!(end, End::Drained) || self.mailbox.is_closed() {
                self.status.send_replace(ActorStatus::Stopped);
                return;
            }
            if matches!(end, End::TakenAway) {
                self.status.send_replace(ActorStatus::Starting);
                continue;
            }
            let died_in_window = note_death(&mut deaths, Instant::now(), self.policy.window);
            if died_in_window > self.policy.max_restarts {
                tracing::error!(
                    actor = name,
                    deaths = died_in_window,
                    ?end,
                    "actor died too often, giving up"
                );
                self.status.send_replace(ActorStatus::Escalated);
                return;
            }
            tracing::error!(
                actor = name,
                deaths = died_in_window,
                ?end,
                "actor died, starting a new one"
            );
            self.status.send_replace(ActorStatus::Restarting);
            tokio::select! {
                () = tokio::time::sleep(backoff(died_in_window)) => {}
                () = self.mailbox.closed() => {
                    self.status.send_replace(ActorStatus::Stopped);
                    return;
                }
            }
            self.mailbox.stats().restarted();
        }
    }

    fn begin(&self, thread: Thread) -> Life<A> {
        let permits = self.mailbox.permits();
        let (address, born) = oneshot::channel();
        let (guard, death) = oneshot::channel::<()>();
        let (alive, ended) = oneshot::channel::<()>();
        let factory = Arc::clone(&self.factory);
        // Above the permits, so that actix's own bound never speaks first; the margin is for messages of the actor to itself.
        let actix_capacity = self.policy.mailbox_capacity.saturating_mul(2).saturating_add(64);
        thread.spawn(async move {
            let mut context = Context::new();
            context.set_mailbox_capacity(actix_capacity);
            // A panic of the factory drops `guard` and `address` here: a death like any other.
            let actor = factory(&mut context);
            let until_ended = actix::fut::wrap_future(async move {
                let _guard = guard;
                drop(ended.await);
            });
            context.spawn(until_ended.map(|(), _, context: &mut Context<A>| context.stop()));
            // Nobody listens when this life was given up before it began; the actor is stopped then.
            drop(address.send(context.run(actor)));
        });
        Life {
            thread,
            permits,
            beats: Arc::default(),
            born: Some(born),
            death,
            _alive: alive,
        }
    }

    async fn watch(&self, mut life: Life<A>) -> End {
        let mut missed = 0;
        let mut sent = 0;
        let mut seen = (0, 0);
        loop {
            // One beat at a time: a frozen thread must not find a heap of them when it comes back.
            if life.beats.load(Ordering::Relaxed) == sent {
                sent += 1;
                let beats = Arc::clone(&life.beats);
                life.thread.spawn(async move {
                    beats.fetch_add(1, Ordering::Relaxed);
                });
            }
            let slept_from = Instant::now();
            tokio::select! {
                biased;
                _ = &mut life.death => return if life.thread.is_taken_away() { End::TakenAway } else { End::Died },
                () = self.mailbox.drained() => return End::Drained,
                address = born(&mut life.born) => {
                    // An error means a death, which the next round sees.
                    if let Ok(addr) = address {
                        self.mailbox.publish(Incarnation { addr, permits: Arc::clone(&life.permits) });
                        self.status.send_replace(ActorStatus::Running);
                    }
                    continue;
                }
                () = tokio::time::sleep(self.policy.heartbeat) => {}
            }
            let now_seen = (life.beats.load(Ordering::Relaxed), life.permits.taken());
            if now_seen != seen {
                seen = now_seen;
                missed = 0;
                continue;
            }
            if was_paused(slept_from.elapsed(), self.policy.heartbeat) {
                continue;
            }
            missed += 1;
            if missed >= self.policy.missed_heartbeats {
                return End::Frozen;
            }
        }
    }
}

async fn born<A: Actor>(slot: &mut Option<oneshot::Receiver<Addr<A>>>) -> Result<Addr<A>, oneshot::error::RecvError> {
    let Some(receiver) = slot else {
        return std::future::pending().await;
    };
    let result = receiver.await;
    *slot = None;
    result
}

/// Whether the process, not the actor, stood still: the supervisor itself slept much longer than it meant to.
fn was_paused(slept: Duration, meant: Duration) -> bool {
    slept > meant.saturating_mul(2)
}

/// Counts one death and forgets those older than the window. Answers how many are left.
fn note_death(deaths: &mut VecDeque<Instant>, now: Instant, window: Duration) -> u32 {
    deaths.push_back(now);
    while deaths
        .front()
        .is_some_and(|first| now.saturating_duration_since(*first) > window)
    {
        deaths.pop_front();
    }
    u32::try_from(deaths.len()).unwrap_or(u32::MAX)
}

/// The wait before the next life: doubles with each death in the window.
fn backoff(deaths: u32) -> Duration {
    let doublings = deaths.saturating_sub(1).min(16);
    FIRST_BACKOFF.saturating_mul(1 << doublings).min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_a_second() {
        assert_eq!(backoff(1), Duration::from_millis(10));
        assert_eq!(backoff(2), Duration::from_millis(20));
        assert_eq!(backoff(8), Duration::from_secs(1));
        assert_eq!(backoff(u32::MAX), Duration::from_secs(1));
    }

    #[test]
    fn deaths_outside_the_window_are_forgotten() {
        let mut deaths = VecDeque::new();
        let start = Instant::now();
        let window = Duration::from_mins(1);
        assert_eq!(note_death(&mut deaths, start, window), 1);
        assert_eq!(note_death(&mut deaths, start + Duration::from_secs(59), window), 2);
        assert_eq!(note_death(&mut deaths, start + Duration::from_secs(61), window), 2);
        assert_eq!(note_death(&mut deaths, start + Duration::from_mins(10), window), 1);
    }

    #[test]
    fn a_paused_process_is_no_missed_heartbeat() {
        let beat = Duration::from_millis(250);
        assert!(!was_paused(Duration::from_millis(260), beat));
        assert!(was_paused(Duration::from_secs(30), beat));
    }
}
