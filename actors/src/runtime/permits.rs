//! Room in a mailbox, counted, and the figures of a mailbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use crate::error::AskError;

/// Messages refused or given up, by cause, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sheds {
    /// No permit was left.
    pub full: u64,
    /// No answer before the deadline.
    pub deadline: u64,
    /// The actor was down, or died with the message.
    pub crashed: u64,
}

type WaitHook = Box<dyn Fn(Duration) + Send + Sync>;

/// Figures of one mailbox, through all its actors. Reading is cheap enough for a scrape.
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
    /// Messages queued or in flight at the actor of this moment.
    pub fn depth(&self) -> usize {
        self.current
            .load()
            .as_ref()
            .map_or(0, |permits| permits.used.load(Ordering::Relaxed))
    }

    /// Messages refused or given up.
    pub fn sheds(&self) -> Sheds {
        Sheds {
            full: self.full.load(Ordering::Relaxed),
            deadline: self.deadline.load(Ordering::Relaxed),
            crashed: self.crashed.load(Ordering::Relaxed),
        }
    }

    /// How often an actor was replaced, or a replacement was tried.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Sets what is told how long each message waited in the queue. Only the first call has an effect.
    pub fn on_wait(&self, hook: impl Fn(Duration) + Send + Sync + 'static) {
        // A second hook would double the figures; the first one keeps its place.
        drop(self.wait_hook.set(Box::new(hook)));
    }

    /// A message was taken up that had been queued at that moment.
    pub(super) fn waited(&self, since: Instant) {
        if let Some(hook) = self.wait_hook.get() {
            hook(since.elapsed());
        }
    }

    /// Whose depth is told from now on.
    pub(super) fn show(&self, permits: Option<Arc<Permits>>) {
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

/// What all actors behind one handle share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: &'static str,
    pub(super) capacity: usize,
    pub(super) closed: AtomicBool,
    /// Told when the mailbox closes, when a closed mailbox is empty, and when an actor is given up.
    pub(super) changed: Notify,
    pub(super) stats: MailboxStats,
}

/// The permits of one actor. A successor has its own: a frozen actor may never give its permits back.
#[derive(Debug)]
pub(super) struct Permits {
    pub(super) shared: Arc<Shared>,
    pub(super) used: AtomicUsize,
    /// Messages taken out of the queue: a busy actor shows by this that it lives.
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

    /// The actor is given up: whoever still waits for it learns so, and what it still holds is not to be executed.
    pub(super) fn bury(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.shared.changed.notify_waiters();
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }
}

/// Room for one message. Dropping it gives the room back.
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
