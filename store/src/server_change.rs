//! When the store went over to another host of its URL, such as a promoted standby.
//!
//! Views that were read from the host before may lack its last acknowledged changes, so they are not used once the new host responds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

/// The last change of the host; clones share it. An embedded store never changes it.
#[derive(Debug, Clone, Default)]
pub struct ServerChange {
    at: Arc<ArcSwapOption<Instant>>,
    changed: Arc<watch::Sender<()>>,
}

impl ServerChange {
    /// Time since the last change; `None` before the first.
    pub fn age_at(&self, now: Instant) -> Option<Duration> {
        let at = self.at.load();
        at.as_deref().map(|at| now.saturating_duration_since(*at))
    }

    /// Receives each change from now on.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Records a change, before the connection to the new host is used.
    pub fn record(&self) {
        self.at.store(Some(Arc::new(Instant::now())));
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
