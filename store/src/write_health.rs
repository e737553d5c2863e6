//! Whether the store accepts writes, from the outcome of real writes and of probes, and whether it denies anything else.
//!
//! Reads of a store go on when its disk is full, when the database is read-only, or when a privilege to write was taken away. Real writes
//! report that as soon as one fails; a probe reports it while there are none. Only a probe ends it, because it writes to the ledger
//! and checks every table that requests write to.
//!
//! The error of a denied statement does not say whether it lacks a privilege to read or to write: a probe follows at once, and finds out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Result, StoreError};

/// Without a successful write for this long, a probe is due.
const IDLE: Duration = Duration::from_secs(10);

/// Pause between probes while writes fail.
const RETRY: Duration = Duration::from_secs(1);

/// For this long after a denied statement a probe does not end the denial: it does not check every privilege.
const DENIED: Duration = Duration::from_secs(3);

/// Probes that fail for this long without a reason, such as a lock that is not released, count as a store without writes.
const STALL: Duration = Duration::from_secs(10);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What a process knows about the writes of its store.
#[derive(Debug, Default)]
pub struct WriteHealth {
    /// Milliseconds since `START` of the last write that succeeded; 0 before the first.
    succeeded_at: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Why writes fail, and since when a probe has to succeed.
    failing: Option<(String, Instant)>,
    /// The privilege other than to write that is missing, as the latest probe found.
    denied: Option<String>,
    /// The latest statement that was denied, and when.
    denied_statement: Option<(String, Instant)>,
    /// Since when probes fail without a reason.
    stalled_since: Option<Instant>,
    probed_at: Option<Instant>,
}

impl WriteHealth {
    /// Why the store accepts no writes; `None` while it does.
    pub fn failure(&self) -> Option<String> {
        self.state().failing.as_ref().map(|(why, _)| why.clone())
    }

    /// Whether the store accepts writes, as far as this process knows.
    pub fn is_writable(&self) -> bool {
        self.state().failing.is_none()
    }

    /// The privilege other than to write that is missing; `None` if there is none.
    pub fn denied(&self) -> Option<String> {
        self.state().denied.clone()
    }

    /// Whether the store denies anything besides writes, as far as this process knows.
    pub fn is_denied(&self) -> bool {
        self.state().denied.is_some()
    }

    /// Whether a probe should be made now.
    pub fn is_probe_due(&self) -> bool {
        let state = self.state();
        let since_probe = state.probed_at.map(|at| at.elapsed());
        let is_suspected = state
            .denied_statement
            .as_ref()
            .is_some_and(|(_, at)| Some(*at) > state.probed_at);
        if state.failing.is_some() || state.denied.is_some() || state.stalled_since.is_some() || is_suspected {
            return since_probe.is_none_or(|age| age >= RETRY);
        }
        let since_write = START
            .elapsed()
            .saturating_sub(Duration::from_millis(self.succeeded_at.load(Ordering::Relaxed)));
        since_probe.is_none_or(|age| age >= IDLE) && since_write >= IDLE
    }

    /// Records the outcome of a write, or a failure of any operation.
    pub(crate) fn observe<T>(&self, outcome: &Result<T>) {
        match outcome {
            Ok(_) => self.observe_success(),
            Err(error) => self.observe_failure(error),
        }
    }

    /// Records a write that succeeded.
    pub(crate) fn observe_success(&self) {
        let now_ms = START.elapsed().as_millis() as u64;
        self.succeeded_at.store(now_ms.max(1), Ordering::Relaxed);
    }

    /// Records a failure. Only failed writes and denied statements have an effect: a conflict or a timeout has none.
    pub(crate) fn observe_failure(&self, error: &StoreError) {
        match error {
            StoreError::NotWritable(why) => self.state().failing = Some((why.clone(), Instant::now())),
            StoreError::Denied(why) => self.state().denied_statement = Some((why.clone(), Instant::now())),
            _ => {}
        }
    }

    /// Records the outcome of a probe that began at `began`.
    pub(crate) fn observe_probe(&self, outcome: &Result<()>, began: Instant) {
        let mut state = self.state();
        state.probed_at = Some(Instant::now());
        match outcome {
            Ok(()) => {
                self.observe_success();
                state.stalled_since = None;
                // A write that failed during the probe may know more.
                state.failing.take_if(|(_, at)| *at < began);
                state.denied_statement.take_if(|(_, at)| at.elapsed() >= DENIED);
                state.denied = state.denied_statement.as_ref().map(|(why, _)| why.clone());
            }
            Err(StoreError::NotWritable(why)) => {
                state.failing = Some((why.clone(), Instant::now()));
                state.stalled_since = None;
                state.denied = None;
            }
            Err(StoreError::Denied(why)) => {
                state.denied = Some(why.clone());
                state.stalled_since = None;
                state.failing.take_if(|(_, at)| *at < began);
            }
            Err(error) => {
                let since = *state.stalled_since.get_or_insert(began);
                if since.elapsed() >= STALL {
                    state.failing = Some((error.to_string(), Instant::now()));
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_writable() -> StoreError {
        StoreError::NotWritable("the disk is full".to_owned())
    }

    #[test]
    fn only_the_class_of_a_failure_decides() {
        let health = WriteHealth::default();
        for error in [
            StoreError::Conflict(String::new()),
            StoreError::Timeout,
            StoreError::Unavailable(String::new()),
        ] {
            health.observe_failure(&error);
            assert!(health.is_writable(), "{error:?}");
        }
        health.observe_failure(&not_writable());
        assert_eq!(health.failure().as_deref(), Some("the disk is full"));
        health.observe_success();
        assert!(!health.is_writable(), "another table may still reject writes");
        health.observe_probe(&Ok(()), Instant::now());
        assert!(health.is_writable());
    }

    #[test]
    fn failure_during_a_probe_outlasts_it() {
        let health = WriteHealth::default();
        let began = Instant::now();
        health.observe_failure(&not_writable());
        health.observe_probe(&Ok(()), began);
        assert!(!health.is_writable());
    }

    #[test]
    fn a_probe_decides_what_is_denied() {
        let health = WriteHealth::default();
        let denied = |what: &str| StoreError::Denied(what.to_owned());
        health.observe_failure(&denied("a table"));
        assert!(health.is_writable() && !health.is_denied() && health.is_probe_due());
        health.observe_probe(&Err(not_writable()), Instant::now());
        assert!(!health.is_writable() && !health.is_denied());
        health.observe_probe(&Err(denied("SELECT on a table")), Instant::now());
        assert_eq!(
            (health.failure(), health.denied()),
            (None, Some("SELECT on a table".to_owned()))
        );
        // What no probe checks is denied until no statement is.
        health.observe_failure(&denied("a sequence"));
        health.observe_probe(&Ok(()), Instant::now());
        assert_eq!(health.denied().as_deref(), Some("a sequence"));
        health.state().denied_statement = Instant::now()
            .checked_sub(DENIED)
            .map(|at| ("a sequence".to_owned(), at));
        health.observe_probe(&Ok(()), Instant::now());
        assert!(health.is_writable() && !health.is_denied());
    }

    #[test]
    fn one_timeout_of_a_probe_is_no_failure_and_a_lasting_one_is() {
        let health = WriteHealth::default();
        health.observe_probe(&Err(StoreError::Timeout), Instant::now());
        assert!(
            health.is_writable() && !health.is_probe_due(),
            "the next one follows after a pause"
        );
        health.state().stalled_since = Instant::now().checked_sub(STALL);
        health.observe_probe(&Err(StoreError::Timeout), Instant::now());
        assert!(!health.is_writable());
    }

    #[test]
    fn probes_are_due_without_writes_only() {
        let health = WriteHealth::default();
        health.observe_success();
        assert!(!health.is_probe_due());
        health.observe_failure(&not_writable());
        assert!(health.is_probe_due());
        health.observe_probe(&Err(not_writable()), Instant::now());
        assert!(!health.is_probe_due());
    }
}
