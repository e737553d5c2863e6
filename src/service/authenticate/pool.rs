//! The threads that verify slow hashes: few, with a low priority, and with a bounded queue, so that requests which need none of them do not
//! notice.
//!
//! The same secret for the same hash is verified once, however many requests wait for it, and also when all of them gave up meanwhile.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use oauth2_actors::error::AskError;
use quick_cache::sync::Cache;
use tokio::sync::watch;

use self::job::Job;
use self::spare::Spare;
use crate::protocol::client_auth::foreign_hash::ForeignHash;

mod job;
mod spare;

/// Verifications that wait, per thread.
const QUEUE: usize = 16;

/// Verifications of one client that wait or run: the attempts of one client must not fill the queue.
const PER_CLIENT: usize = 4;

/// Remembered secrets that matched, 32 bytes each.
const MATCHED: usize = 65_536;

/// Remembered secrets that did not. A client with a wrong secret repeats it.
const MISMATCHED: usize = 8192;

/// Nice value of the threads: they get a tenth of a busy core.
const NICENESS: i32 = 10;

/// Identifies a secret and the hash that it is compared with.
pub(super) type Key = [u8; 32];

/// The outcome of a verification; `None` while it has none.
type Outcome = watch::Receiver<Option<bool>>;

/// The threads and what they know.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: usize,
    started: OnceLock<bool>,
}

/// Shared by requests and threads.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    known: OnceLock<Known>,
}

/// Verifications that ended.
#[derive(Debug)]
struct Known {
    matched: Cache<Key, ()>,
    mismatched: Cache<Key, ()>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Of callers over their limit: taken while no other waits, so that their work does not delay the first request of another client.
    deferred: VecDeque<Job>,
    /// Waiting and running.
    outcomes: HashMap<Key, Outcome>,
    by_client: HashMap<Arc<str>, usize>,
    is_stopped: bool,
}

/// The result of [`Pool::verify`].
pub(super) enum Verification {
    /// It was verified before.
    Known(bool),
    /// Another request began it.
    Joined(Outcome),
    /// This request began it.
    Began(Outcome),
}

/// A secret to verify.
pub(super) struct Presented<'a> {
    pub(super) key: Key,
    pub(super) client_id: &'a Arc<str>,
    pub(super) secret: &'a str,
    /// Whether too many attempts failed: then only one at a time is verified, after all that wait and are not over the limit, and in a
    /// queue of half the length.
    pub(super) is_over_limit: bool,
}

impl Pool {
    /// A pool of at least one thread, which start with the first verification.
    pub(super) fn new(threads: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                work: Condvar::new(),
                known: OnceLock::new(),
            }),
            threads: threads.max(1),
            started: OnceLock::new(),
        }
    }

    /// The outcome of a verification that ended.
    pub(super) fn known(&self, key: &Key) -> Option<bool> {
        let known = self.shared.known.get()?;
        if known.matched.get(key).is_some() {
            return Some(true);
        }
        known.mismatched.get(key).map(|()| false)
    }

    /// Forgets that a secret matched.
    pub(super) fn forget(&self, key: &Key) {
        if let Some(known) = self.shared.known.get() {
            known.matched.remove(key);
        }
    }

    /// Begins a verification, or joins the verification of another request. `hash` is read only for the first. [`AskError::Full`]: the queue is full, or
    /// the client's part of it.
    pub(super) fn verify(
        &self,
        presented: &Presented<'_>,
        hash: impl FnOnce() -> Option<ForeignHash>,
    ) -> Result<Verification, AskError> {
        if !self.start() {
            return Err(AskError::Crashed);
        }
        let mut state = self.shared.lock();
        if let Some(outcome) = state.outcomes.get(&presented.key) {
            return Ok(Verification::Joined(outcome.clone()));
        }
        // It may have ended since it was looked up.
        if let Some(known) = self.known(&presented.key) {
            return Ok(Verification::Known(known));
        }
        let own = state.by_client.get(presented.client_id).copied().unwrap_or_default();
        let (per_client, queue, length) = if presented.is_over_limit {
            (1, &state.deferred, self.threads * QUEUE / 2)
        } else {
            (PER_CLIENT, &state.waiting, self.threads * QUEUE)
        };
        if own >= per_client || queue.len() >= length {
            return Err(AskError::Full);
        }
        let Some(hash) = hash() else {
            return Ok(Verification::Known(false));
        };
        let (sender, outcome) = watch::channel(None);
        let job = Job {
            key: presented.key,
            client_id: Arc::clone(presented.client_id),
            hash,
            presented: presented.secret.to_owned(),
            outcome: sender,
        };
        if presented.is_over_limit {
            state.deferred.push_back(job);
        } else {
            state.waiting.push_back(job);
        }
        state.outcomes.insert(presented.key, outcome.clone());
        *state.by_client.entry(Arc::clone(presented.client_id)).or_default() += 1;
        drop(state);
        self.shared.work.notify_one();
        Ok(Verification::Began(outcome))
    }

    /// Verifications that wait or run.
    pub(super) fn len(&self) -> usize {
        self.shared.lock().outcomes.len()
    }

    /// Starts the threads. `false`: the system has none.
    fn start(&self) -> bool {
        *self.started.get_or_init(|| {
            let start = |_| {
                let shared = Arc::clone(&self.shared);
                let thread = thread::Builder::new().name("foreign-hash".to_owned());
                thread.spawn(move || shared.run()).is_ok()
            };
            let started = (0..self.threads).map(start).filter(|is_started| *is_started).count();
            started > 0
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().is_stopped = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread.
    fn run(&self) {
        // On Linux, of this thread. Without it the kernel shares the cores evenly, and the pool has at most half of them.
        let _ = rustix::process::nice(NICENESS);
        let mut spare = Spare::start();
        while let Some(job) = self.next() {
            let job = Arc::new(job);
            let found = spare.as_mut().and_then(|spare| spare.verify(&job));
            let outcome = found.or_else(|| job.verify());
            if let Some(is_match) = outcome {
                let known = self.known.get_or_init(Known::new);
                let cache = if is_match { &known.matched } else { &known.mismatched };
                cache.insert(job.key, ());
            }
            self.end(&job);
            job.outcome.send_replace(outcome);
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.is_stopped {
                return None;
            }
            let job = state.waiting.pop_front();
            if let Some(job) = job.or_else(|| state.deferred.pop_front()) {
                return Some(job);
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self, job: &Job) {
        let mut state = self.lock();
        state.outcomes.remove(&job.key);
        if let Some(count) = state.by_client.get_mut(&job.client_id) {
            *count -= 1;
            if *count == 0 {
                state.by_client.remove(&job.client_id);
            }
        }
    }
}

impl Known {
    fn new() -> Self {
        Self {
            matched: Cache::new(MATCHED),
            mismatched: Cache::new(MISMATCHED),
        }
    }
}

#[cfg(test)]
mod tests;
