//! The permits that bound a mailbox, and its figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use crate::error::AskError;

/// Messages that were not replied to, by cause, since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sheds {
    /// No permit was left.
    pub full: u64,
    /// No reply before the deadline.
    pub deadline: u64,
    /// The actor was down, or died with the message.
    pub crashed: u64,
}

type WaitHook = Box<dyn Fn(Duration) + Send + Sync>;

/// Figures of one mailbox, over all incarnations of its actor. Reading is cheap enough for a scrape.
#[derive(Default)]
pub struct MailboxStats {
    full: AtomicU64,
    deadline: AtomicU64,
    crashed: AtomicU64,
    restarts: AtomicU64,
    current: ArcSwapOption<Permits>,
    wait_hook: std::sync::OnceLock<WaitHook>,
}

impl std::fmt::Debug for MailboxStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailboxStats")
            .field("depth", &self.depth())
            .field("sheds", &self.sheds())
            .field("restarts", &self.restarts())
            .finish_non_exhaustive()
    }
}

impl MailboxStats {
    /// Messages queued or in flight at the current incarnation.
    pub fn depth(&self) -> usize {
        self.current
            .load()
            .as_ref()
            .map_or(0, |permits| permits.used.load(Ordering::Relaxed))
    }

    /// Messages that were not replied to.
    pub fn sheds(&self) -> Sheds {
        Sheds {
            full: self.full.load(Ordering::Relaxed),
            deadline: self.deadline.load(Ordering::Relaxed),
            crashed: self.crashed.load(Ordering::Relaxed),
        }
    }

    /// How often the actor was restarted, successfully or not.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Sets the hook that receives each message's time in the queue. Only the first call has an effect.
    pub fn on_wait(&self, hook: impl Fn(Duration) + Send + Sync + 'static) {
        // A second hook would record every message twice.
        drop(self.wait_hook.set(Box::new(hook)));
    }

    /// Records the time in the queue of a message that is dequeued now.
    pub(super) fn record_wait(&self, enqueued_at: Instant) {
        if let Some(hook) = self.wait_hook.get() {
            hook(enqueued_at.elapsed());
        }
    }

    /// Sets the incarnation whose depth is reported.
    pub(super) fn set_current(&self, permits: Option<Arc<Permits>>) {
        self.current.store(permits);
    }

    pub(super) fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self, error: AskError) {
        let counter = match error {
            AskError::Full => &self.full,
            AskError::Deadline => &self.deadline,
            AskError::Crashed => &self.crashed,
            AskError::Stopped => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// State of a mailbox that outlives the incarnations of its actor.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: &'static str,
    pub(super) capacity: usize,
    pub(super) closed: AtomicBool,
    /// Notified when the mailbox closes, when a closed mailbox is empty, and when an incarnation is given up.
    pub(super) changed: Notify,
    pub(super) stats: MailboxStats,
}

/// The permits of one incarnation. The next one has its own: a frozen actor may never return its permits.
#[derive(Debug)]
pub(super) struct Permits {
    pub(super) shared: Arc<Shared>,
    pub(super) used: AtomicUsize,
    /// Messages taken out of the queue: a sign of life of a busy actor.
    pub(super) taken: AtomicU64,
    dead: AtomicBool,
}

impl Permits {
    pub(super) fn new(shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            used: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
            dead: AtomicBool::new(false),
        })
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Gives the incarnation up: callers that wait for it get [`AskError::Crashed`], and messages it still holds are not executed.
    pub(super) fn mark_dead(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.shared.changed.notify_waiters();
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }
}

/// The figures of a mailbox under its actor's name, without the type of the actor.
#[derive(Debug, Clone)]
pub struct WatchedMailbox(pub(super) Arc<Shared>);

impl WatchedMailbox {
    /// The actor's name, as in metrics and logs.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Depth, sheds, restarts.
    pub fn stats(&self) -> &MailboxStats {
        &self.0.stats
    }
}

/// Room for one message. Dropping it returns the room.
#[derive(Debug)]
pub(super) struct Permit(pub(super) Arc<Permits>);

impl Drop for Permit {
    fn drop(&mut self) {
        // Sequentially consistent with `ask` and `close`: either the closer sees no permit left, or this sees it closed.
        if self.0.used.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.shared.closed.load(Ordering::SeqCst) {
            self.0.shared.changed.notify_waiters();
        }
    }
}
