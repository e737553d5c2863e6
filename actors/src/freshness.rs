//! When something published was last known to agree with the store.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The staleness budget: a reader that finds a view older than this must not answer from it.
pub const STALENESS_BUDGET: Duration = Duration::from_secs(5);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A monotonic stamp that any thread may read. Wall-clock steps do not move it, and a paused process finds its stamps old.
#[derive(Debug, Default)]
pub struct Freshness {
    /// Milliseconds since `START`, plus one; 0 = never.
    stamp: AtomicU64,
}

impl Freshness {
    /// Says that what is published was read from the store by a request sent at `sent`.
    pub fn stamp(&self, sent: Instant) {
        let ms = sent.saturating_duration_since(*START).as_millis() as u64 + 1;
        self.stamp.fetch_max(ms, Ordering::Release);
    }

    /// How old the last stamp is; `None` before the first.
    pub fn age(&self) -> Option<Duration> {
        self.age_at(Instant::now())
    }

    /// Whether the last stamp is at most `budget` old.
    pub fn is_within(&self, budget: Duration) -> bool {
        self.is_within_at(budget, Instant::now())
    }

    /// As [`Self::is_within`], for a moment that was just looked at.
    pub fn is_within_at(&self, budget: Duration, now: Instant) -> bool {
        self.age_at(now).is_some_and(|age| age <= budget)
    }

    fn age_at(&self, now: Instant) -> Option<Duration> {
        let stamp = self.stamp.load(Ordering::Acquire).checked_sub(1)?;
        let since_start = now.saturating_duration_since(*START);
        Some(since_start.saturating_sub(Duration::from_millis(stamp)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_fresh_before_the_first_stamp() {
        let freshness = Freshness::default();
        assert!(!freshness.is_within(Duration::MAX));
        freshness.stamp(Instant::now());
        assert!(freshness.is_within(STALENESS_BUDGET));
        assert!(!freshness.is_within(Duration::ZERO) || freshness.age() == Some(Duration::ZERO));
    }
}
