//! Supervision: restarts an actor behind its [`Mailbox`] after a panic or a freeze.
//!
//! actix's own `Supervisor` does not survive a panic: the actor's task dies and its addresses are closed permanently. Here
//! an actor is built by a factory, again after each death; each of these actors is an *incarnation*. A panic is noticed by
//! a guard that the actor's context holds, a frozen thread by missed heartbeats. A heartbeat is a task on the actor's
//! arbiter, not a message: an actor that waits for I/O with its mailbox paused (`ctx.wait`) is not frozen. A flood of
//! messages delays such tasks, since actix empties the mailbox first, so messages taken count as heartbeats too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context};
use tokio::sync::{oneshot, watch};

use super::mailbox::{ActorRef, Mailbox};
use super::permits::Permits;
use super::placement::{Thread, ThreadPlacement};
use crate::error::AskError;

const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// The bounds of an actor's mailbox, and when its supervisor acts.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The most messages queued and in flight; more fail with [`AskError::Full`].
    pub mailbox_capacity: usize,
    /// Interval of heartbeats.
    pub heartbeat: Duration,
    /// Consecutive heartbeats without a sign of life after which the actor counts as frozen.
    pub missed_heartbeats: u32,
    /// The most restarts within `window`; one more death escalates.
    pub max_restarts: u32,
    /// The window of `max_restarts`.
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

/// The state of a supervised actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorStatus {
    /// Started, or waiting for a thread; asks fail with [`AskError::Crashed`] until it runs.
    Starting,
    /// Takes messages.
    Running,
    /// Died and is being restarted.
    Restarting,
    /// Died more often than its policy allows: it stays down, and the process must go not ready and exit non-zero.
    Escalated,
    /// Closed and drained.
    Stopped,
}

/// A supervised actor: its mailbox, and its status.
#[derive(Debug)]
pub struct Supervised<A: Actor> {
    /// The mailbox.
    pub mailbox: Mailbox<A>,
    /// The status, which changes with each restart.
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

/// Starts an actor on a thread of its own and restarts it after each death. Must be called on the thread of an actix `System`
/// inside its runtime. The factory runs on the actor's thread, once per incarnation. It must not block; a panic in it counts
/// as a death.
pub fn supervise<A>(
    name: &'static str,
    policy: Policy,
    factory: impl Fn(&mut Context<A>) -> A + Send + Sync + 'static,
) -> Supervised<A>
where
    A: Actor<Context = Context<A>>,
{
    supervise_on(ThreadPlacement::Dedicated, name, policy, factory)
}

/// As [`supervise`], on the thread of `placement`.
pub fn supervise_on<A>(
    placement: ThreadPlacement,
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
        placement,
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
    placement: ThreadPlacement,
    policy: Policy,
    factory: Arc<F>,
    status: watch::Sender<ActorStatus>,
}

/// Why an incarnation ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Died,
    Frozen,
    /// The thread that was assigned to it ended, as a worker's does.
    ThreadEnded,
    Drained,
}

/// One actor on its thread.
struct Incarnation<A: Actor> {
    thread: Thread,
    permits: Arc<Permits>,
    beats: Arc<AtomicU64>,
    started: Option<oneshot::Receiver<Addr<A>>>,
    /// Resolves (to an error) when the actor's context drops, or the factory panics.
    death: oneshot::Receiver<()>,
    /// Stops the actor when the incarnation drops: on an assigned thread, nothing else does.
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
            let end = match self.placement.next_thread(&self.mailbox).await {
                None => End::Drained,
                Some(Ok(thread)) => self.watch(self.start(thread)).await,
                Some(Err(error)) => {
                    tracing::error!(actor = name, %error, "cannot start a thread for the actor");
                    End::Died
                }
            };
            // No message may reach that incarnation any more.
            self.mailbox.unpublish(!matches!(end, End::Drained));
            if matches!(end, End::Drained) || self.mailbox.is_closed() {
                self.status.send_replace(ActorStatus::Stopped);
                return;
            }
            if matches!(end, End::ThreadEnded) {
                self.status.send_replace(ActorStatus::Starting);
                continue;
            }
            let died_in_window = note_death(&mut deaths, Instant::now(), self.policy.window);
            if died_in_window > self.policy.max_restarts {
                tracing::error!(
                    actor = name,
                    deaths = died_in_window,
                    ?end,
                    "actor exceeded its restart limit, giving up"
                );
                self.status.send_replace(ActorStatus::Escalated);
                return;
            }
            tracing::error!(actor = name, deaths = died_in_window, ?end, "actor died, restarting it");
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

    fn start(&self, thread: Thread) -> Incarnation<A> {
        let permits = self.mailbox.permits();
        let (address, started) = oneshot::channel();
        let (guard, death) = oneshot::channel::<()>();
        let (alive, ended) = oneshot::channel::<()>();
        let factory = Arc::clone(&self.factory);
        // Above the permits, so that actix's own bound never applies first; the margin is for messages of the actor to itself.
        let actix_capacity = self.policy.mailbox_capacity.saturating_mul(2).saturating_add(64);
        thread.spawn(async move {
            let mut context = Context::new();
            context.set_mailbox_capacity(actix_capacity);
            // A panic in the factory drops `guard` and `address` here: a death like any other.
            let actor = factory(&mut context);
            let until_ended = actix::fut::wrap_future(async move {
                let _guard = guard;
                drop(ended.await);
            });
            context.spawn(until_ended.map(|(), _, context: &mut Context<A>| context.stop()));
            // The receiver is gone when this incarnation was given up before it started; the actor is stopped then.
            drop(address.send(context.run(actor)));
        });
        Incarnation {
            thread,
            permits,
            beats: Arc::default(),
            started: Some(started),
            death,
            _alive: alive,
        }
    }

    async fn watch(&self, mut incarnation: Incarnation<A>) -> End {
        let mut missed = 0;
        let mut sent = 0;
        let mut seen = (0, 0);
        loop {
            // One beat at a time: a frozen thread must not find a backlog of them when it resumes.
            if incarnation.beats.load(Ordering::Relaxed) == sent {
                sent += 1;
                let beats = Arc::clone(&incarnation.beats);
                incarnation.thread.spawn(async move {
                    beats.fetch_add(1, Ordering::Relaxed);
                });
            }
            let slept_from = Instant::now();
            tokio::select! {
                biased;
                _ = &mut incarnation.death => return if incarnation.thread.assigned_has_ended() { End::ThreadEnded } else { End::Died },
                () = self.mailbox.drained() => return End::Drained,
                address = started(&mut incarnation.started) => {
                    // An error means a death, which the next round sees.
                    if let Ok(addr) = address {
                        self.mailbox.publish(ActorRef { addr, permits: Arc::clone(&incarnation.permits) });
                        self.status.send_replace(ActorStatus::Running);
                    }
                    continue;
                }
                () = tokio::time::sleep(self.policy.heartbeat) => {}
            }
            let now_seen = (incarnation.beats.load(Ordering::Relaxed), incarnation.permits.taken());
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

async fn started<A: Actor>(
    slot: &mut Option<oneshot::Receiver<Addr<A>>>,
) -> Result<Addr<A>, oneshot::error::RecvError> {
    let Some(receiver) = slot else {
        return std::future::pending().await;
    };
    let result = receiver.await;
    *slot = None;
    result
}

/// Whether the process was paused, not the actor: the supervisor itself slept much longer than it meant to.
fn was_paused(slept: Duration, meant: Duration) -> bool {
    slept > meant.saturating_mul(2)
}

/// Counts one death, drops those older than the window, and returns how many are left.
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

/// The pause before a restart: doubles with each death in the window.
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
    fn deaths_outside_the_window_do_not_count() {
        let mut deaths = VecDeque::new();
        let start = Instant::now();
        let window = Duration::from_mins(1);
        assert_eq!(note_death(&mut deaths, start, window), 1);
        assert_eq!(note_death(&mut deaths, start + Duration::from_secs(59), window), 2);
        assert_eq!(note_death(&mut deaths, start + Duration::from_secs(61), window), 2);
        assert_eq!(note_death(&mut deaths, start + Duration::from_mins(10), window), 1);
    }

    #[test]
    fn a_paused_process_misses_no_heartbeat() {
        let beat = Duration::from_millis(250);
        assert!(!was_paused(Duration::from_millis(260), beat));
        assert!(was_paused(Duration::from_secs(30), beat));
    }
}
