//! When a published view last agreed with the store.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The staleness budget: a reader must not use a view that is older.
pub const STALENESS_BUDGET: Duration = Duration::from_secs(5);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A monotonic timestamp that any thread may read. Steps of the wall clock do not move it, and it ages while the process is
/// paused.
#[derive(Debug, Default)]
pub struct Freshness {
    /// Nanoseconds since `START`, plus one; 0 = never.
    stamp: AtomicU64,
}

impl Freshness {
    /// Records that the view was read from the store by a request sent at `sent`.
    pub fn stamp(&self, sent: Instant) {
        let ns = sent.saturating_duration_since(*START).as_nanos() as u64 + 1;
        self.stamp.fetch_max(ns, Ordering::Release);
    }

    /// Time since the last stamp; `None` before the first.
    pub fn age(&self) -> Option<Duration> {
        self.age_at(Instant::now())
    }

    /// Whether the last stamp is at most `budget` old.
    pub fn is_within(&self, budget: Duration) -> bool {
        self.is_within_at(budget, Instant::now())
    }

    /// As [`Self::is_within`], with the current time passed in.
    pub fn is_within_at(&self, budget: Duration, now: Instant) -> bool {
        self.age_at(now).is_some_and(|age| age <= budget)
    }

    fn age_at(&self, now: Instant) -> Option<Duration> {
        let stamp = self.stamp.load(Ordering::Acquire).checked_sub(1)?;
        let since_start = now.saturating_duration_since(*START);
        Some(since_start.saturating_sub(Duration::from_nanos(stamp)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_stale_before_its_first_stamp() {
        let freshness = Freshness::default();
        assert!(!freshness.is_within(Duration::MAX));
        freshness.stamp(Instant::now());
        assert!(freshness.is_within(STALENESS_BUDGET));
        assert!(!freshness.is_within(Duration::ZERO) || freshness.age() == Some(Duration::ZERO));
    }
}
