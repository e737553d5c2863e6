//! When the store went over to another server, such as a promoted standby.
//!
//! What was read from the server before may lack what it acknowledged last: nobody may answer from it once the new server responds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The last change of the server; clones share it. An embedded store never changes it.
#[derive(Debug, Clone, Default)]
pub struct ServerChange {
    /// Nanoseconds since `START`, plus one; 0 = never.
    at: Arc<AtomicU64>,
    changed: Arc<watch::Sender<()>>,
}

impl ServerChange {
    /// Time since the last change; `None` before the first.
    pub fn age_at(&self, now: Instant) -> Option<Duration> {
        let ns = self.at.load(Ordering::Acquire).checked_sub(1)?;
        let since_start = now.saturating_duration_since(*START);
        Some(since_start.saturating_sub(Duration::from_nanos(ns)))
    }

    /// Receives each change from now on.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Records a change, before the connection to the new server is used.
    pub fn record(&self) {
        let ns = START.elapsed().as_nanos() as u64 + 1;
        self.at.fetch_max(ns, Ordering::AcqRel);
        self.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_by_clones() {
        let change = ServerChange::default();
        let (clone, changes) = (change.clone(), change.subscribe());
        assert_eq!(clone.age_at(Instant::now()), None);
        change.record();
        assert!(
            clone
                .age_at(Instant::now())
                .is_some_and(|age| age < Duration::from_mins(1))
        );
        assert!(changes.has_changed().is_ok_and(|changed| changed));
    }
}
