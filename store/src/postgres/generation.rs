//! Generations of connections: once a session was found read-only, all sessions of its age are closed rather than reused.
//!
//! A session keeps the default that it began with. When a database turns read-only, or writable again, the sessions in the pool
//! would each fail one more request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The current generation; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Generations(Arc<AtomicU64>);

/// The generation of one connection.
#[derive(Debug)]
pub(super) struct Generation {
    current: Arc<AtomicU64>,
    own: u64,
}

impl Generations {
    /// The generation of a connection that is opened now.
    pub(super) fn now(&self) -> Generation {
        Generation {
            own: self.0.load(Ordering::Relaxed),
            current: Arc::clone(&self.0),
        }
    }

    /// Ends the generation of every connection so far: they are to a host that is no longer used.
    pub(super) fn end_all(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Generation {
    /// Whether a session of this age was found read-only.
    pub(super) fn is_over(&self) -> bool {
        self.current.load(Ordering::Relaxed) != self.own
    }

    /// Ends this generation. Later ones go on.
    pub(super) fn end(&self) {
        // An error: another connection has ended it.
        let _ = self
            .current
            .compare_exchange(self.own, self.own + 1, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_ends_once_and_spares_later_connections() {
        let generations = Generations::default();
        let (one, other) = (generations.now(), generations.now());
        one.end();
        other.end();
        let later = generations.now();
        assert!(one.is_over() && other.is_over() && !later.is_over());
        generations.end_all();
        assert!(later.is_over() && !generations.now().is_over());
    }
}
