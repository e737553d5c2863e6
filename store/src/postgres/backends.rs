//! Detection of an undeclared pooler in transaction mode.
//!
//! Such a pooler gives a connection another server process (backend) for each transaction. Prepared statements and settings
//! of this process would then reach other clients, and theirs would reach this process. Two open connections share a backend
//! only if a pooler is in between, so every new connection reads its backend and registers it here: a backend that is
//! registered already proves a pooler.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::StoreError;

/// Selects the identity of the backend. A process id alone is not unique: it can be reused, and several hosts can have the
/// same.
pub(super) const BACKEND_ID: &str =
    "SELECT concat_ws(' ', pid, backend_start, pg_postmaster_start_time()) FROM pg_stat_get_activity(pg_backend_pid())";

/// Time after a detection during which no connection is opened.
const BLOCKED_FOR: Duration = Duration::from_secs(5);

/// The backends of the open connections.
#[derive(Debug, Default)]
pub(super) struct Backends {
    state: Mutex<State>,
    /// Whether a pooler was detected: mirrors `State::detected_at`, to be read without the lock.
    detected: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    open: HashSet<String>,
    detected_at: Option<Instant>,
}

/// The registration of a connection's backend; ends when it is dropped.
#[derive(Debug)]
pub(super) struct BackendClaim {
    backends: Arc<Backends>,
    backend: String,
}

impl Backends {
    /// Fails for a while after a pooler was detected.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if !self.detected.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut state = self.state();
        if state.detected_at.is_some_and(|at| at.elapsed() < BLOCKED_FOR) {
            return Err(undeclared_pooler());
        }
        state.detected_at = None;
        self.detected.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Registers the backend of a new connection.
    pub(super) fn claim(self: &Arc<Self>, backend: String) -> Result<BackendClaim, StoreError> {
        if !self.state().open.insert(backend.clone()) {
            self.set_detected();
            return Err(undeclared_pooler());
        }
        Ok(BackendClaim {
            backends: self.clone(),
            backend,
        })
    }

    fn set_detected(&self) {
        self.state().detected_at = Some(Instant::now());
        self.detected.store(true, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BackendClaim {
    /// Whether a pooler was detected: the state of the connection's session is then unknown.
    pub(super) fn is_invalid(&self) -> bool {
        self.backends.detected.load(Ordering::Relaxed)
    }

    /// Reports an error that proves a pooler.
    pub(super) fn report_pooler(&self) {
        self.backends.set_detected();
    }
}

impl Drop for BackendClaim {
    fn drop(&mut self) {
        self.backends.state().open.remove(&self.backend);
    }
}

/// The error of a connection through an undeclared pooler.
pub(super) fn undeclared_pooler() -> StoreError {
    let text = "a pooler in transaction mode is between this server and Postgres: set OAUTH2_DATABASE_POOLER=transaction, or \
                connect to Postgres directly";
    StoreError::Corrupt(text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn shared_backend_proves_a_pooler() {
        let backends = Arc::new(Backends::default());
        let claim = |backend: &str| backends.claim(backend.to_owned());
        let first = claim("1").unwrap();
        let second = claim("2").unwrap();
        drop(claim("1").unwrap_err());
        assert!(first.is_invalid() && second.is_invalid() && backends.check().is_err());
        // The block ends, because the pooler may have been removed or declared.
        drop((first, second));
        backends.state().detected_at = Instant::now().checked_sub(BLOCKED_FOR);
        backends.check().unwrap();
        // A pooler in session mode gives a backend to the next connection.
        drop(claim("1").unwrap());
        drop(claim("1").unwrap());
        backends.check().unwrap();
    }
}
