//! Finding out that a pooler lends the server's processes by the transaction.
//!
//! Such a pooler breaks what connections rely on: prepared statements and settings would end up in a process that somebody
//! else uses, and theirs would be used here. No two connections that are open ever share a process unless one is in between:
//! so each says which process it was given, and a second one with the same gives it away.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::StoreError;

/// Which process serves a connection. A process id alone may come again, and several hosts may have the same.
pub(super) const WHICH: &str =
    "SELECT concat_ws(' ', pid, backend_start, pg_postmaster_start_time()) FROM pg_stat_get_activity(pg_backend_pid())";

/// How long no connection is opened after one was found out.
const PAUSE: Duration = Duration::from_secs(5);

/// The processes behind the connections that are open.
#[derive(Debug, Default)]
pub(super) struct Backends {
    state: Mutex<State>,
    /// A copy for those who ask at every turn.
    shared: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    open: HashSet<String>,
    shared_since: Option<Instant>,
}

/// A connection's process, as long as the connection is open.
#[derive(Debug)]
pub(super) struct Claim {
    backends: Arc<Backends>,
    backend: String,
}

impl Backends {
    /// Refuses as long as a pooler was found out a short while ago.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if !self.shared.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut state = self.state();
        if state.shared_since.is_some_and(|since| since.elapsed() < PAUSE) {
            return Err(StoreError::Corrupt(pooled()));
        }
        state.shared_since = None;
        self.shared.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Takes a process for a connection.
    pub(super) fn claim(self: &Arc<Self>, backend: String) -> Result<Claim, StoreError> {
        if !self.state().open.insert(backend.clone()) {
            self.found();
            return Err(StoreError::Corrupt(pooled()));
        }
        Ok(Claim {
            backends: self.clone(),
            backend,
        })
    }

    fn found(&self) {
        self.state().shared_since = Some(Instant::now());
        self.shared.store(true, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// The process is not this connection's alone: what was prepared or set there may be anywhere.
    pub(super) fn is_void(&self) -> bool {
        self.backends.shared.load(Ordering::Relaxed)
    }

    /// A statement that was prepared is not there, or one is that was not prepared: the same finding.
    pub(super) fn refute(&self) {
        self.backends.found();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.backends.state().open.remove(&self.backend);
    }
}

/// What to do about it.
pub(super) fn pooled() -> String {
    "a pooler in transaction mode is between this server and Postgres: set OAUTH2_DATABASE_POOLER=transaction, or go to \
     Postgres directly"
        .to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_process_with_two_connections_is_a_poolers() {
        let backends = Arc::new(Backends::default());
        let claim = |which: &str| backends.claim(which.to_owned());
        let first = claim("1").unwrap();
        let second = claim("2").unwrap();
        drop(claim("1").unwrap_err());
        assert!(first.is_void() && second.is_void() && backends.check().is_err());
        // What was found does not hold for ever: somebody may have seen to it.
        drop((first, second));
        backends.state().shared_since = Instant::now().checked_sub(PAUSE);
        backends.check().unwrap();
        // A session pooler gives a process to the next connection.
        drop(claim("1").unwrap());
        drop(claim("1").unwrap());
        backends.check().unwrap();
    }
}
