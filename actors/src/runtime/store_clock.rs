//! The store's clock, as this process knows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use super::wall_clock::{Clock, MonotonicClock, SystemClock};

/// The most that the clocks of this machine and of the store may differ, in milliseconds.
const MAX_DIFFERENCE_MS: u64 = 30_000;

/// A change of the store's clock, beyond the time that has passed, is a step if it is larger, in milliseconds.
const STEP_MS: u64 = 1_000;

/// The store's clock: a monotonic one of this process, corrected by their last measured difference. All nodes of a store use it, so
/// that a token issued by one node and a revocation by another are ordered. That this machine's clock is set has no effect on it, that
/// the store's is set has one at the next measurement.
#[derive(Debug)]
pub struct StoreClock {
    local: Arc<dyn Clock>,
    wall: Arc<dyn Clock>,
    offset_ms: AtomicI64,
    is_measured: AtomicBool,
    difference_ms: AtomicI64,
    step_ms: AtomicI64,
    steps: AtomicU64,
    is_steady: AtomicBool,
}

/// The store's clock, as it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockStatus {
    /// By how much the store's clock is ahead of this machine's, milliseconds.
    pub difference_ms: i64,
    /// How often the store's clock was set since this process began.
    pub steps: u64,
    /// By how much it was set last, milliseconds.
    pub step_ms: i64,
    /// Whether it was not set before the last measurement.
    pub is_steady: bool,
}

impl StoreClock {
    /// `local`, until a difference is measured.
    pub fn new(local: Arc<dyn Clock>) -> Self {
        Self {
            wall: Arc::clone(&local),
            local,
            offset_ms: AtomicI64::new(0),
            is_measured: AtomicBool::new(false),
            difference_ms: AtomicI64::new(0),
            step_ms: AtomicI64::new(0),
            steps: AtomicU64::new(0),
            is_steady: AtomicBool::new(true),
        }
    }

    /// The operating system's clock, until a difference is measured.
    pub fn of_this_machine() -> Self {
        Self {
            wall: Arc::new(SystemClock),
            ..Self::new(Arc::new(MonotonicClock::begin()))
        }
    }

    /// The clock of this process.
    pub fn local_ms(&self) -> u64 {
        self.local.unix_ms()
    }

    /// Measures the difference: the store's clock showed `store_ms` at some time between `sent_ms` and now, both of
    /// [`Self::local_ms`]. A difference within the round trip changes nothing. Answers by how much the store's clock was set since the
    /// last measurement, milliseconds, if it was.
    pub fn observe(&self, store_ms: u64, sent_ms: u64) -> Option<i64> {
        let (sent, received) = (sent_ms as i64, self.local.unix_ms() as i64);
        let (lowest, highest) = (store_ms as i64 - received, store_ms as i64 - sent);
        let difference = store_ms as i64 - self.wall.unix_ms() as i64;
        self.difference_ms.store(difference, Ordering::Relaxed);
        let known = self.offset_ms.load(Ordering::Relaxed);
        let mut step = 0;
        if !(lowest - 1..=highest + 1).contains(&known) {
            let nearest = known.clamp(lowest, highest);
            // Where the store's clock was set, the middle is the best guess. A drift moves the clock only as far as is certain: by half of a
            // long round trip it could be ahead of the store's, and tokens would be issued in the future.
            let is_set = known.abs_diff(nearest) > STEP_MS;
            let offset = if is_set {
                i64::midpoint(lowest, highest)
            } else {
                nearest
            };
            self.offset_ms.store(offset, Ordering::Relaxed);
            step = offset - known;
        }
        let is_first = !self.is_measured.swap(true, Ordering::Relaxed);
        let step = (!is_first && step.unsigned_abs() > STEP_MS).then_some(step);
        self.is_steady.store(step.is_none(), Ordering::Relaxed);
        if let Some(step) = step {
            self.steps.fetch_add(1, Ordering::Relaxed);
            self.step_ms.store(step, Ordering::Relaxed);
        }
        step
    }

    /// Whether this machine's clock differs from the store's by 30 s at most.
    pub fn is_synchronized(&self) -> bool {
        self.status().difference_ms.unsigned_abs() <= MAX_DIFFERENCE_MS
    }

    /// What was measured last.
    pub fn status(&self) -> ClockStatus {
        ClockStatus {
            difference_ms: self.difference_ms.load(Ordering::Relaxed),
            steps: self.steps.load(Ordering::Relaxed),
            step_ms: self.step_ms.load(Ordering::Relaxed),
            is_steady: self.is_steady.load(Ordering::Relaxed),
        }
    }
}

impl Clock for StoreClock {
    fn unix_ms(&self) -> u64 {
        self.local
            .unix_ms()
            .saturating_add_signed(self.offset_ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::super::wall_clock::ManualClock;
    use super::*;

    const START: u64 = 1_700_000_000_000;

    #[test]
    fn a_drift_is_followed_no_further_than_is_certain() {
        let local = Arc::new(ManualClock::at(START));
        let clock = StoreClock::new(Arc::clone(&local) as Arc<dyn Clock>);
        // The request waited for a second, the response was there at once.
        local.advance(1000);
        assert_eq!(clock.observe(START + 1003, START), None);
        assert_eq!(clock.unix_ms(), START + 1003);
        // The request arrived at once, the response a second later.
        local.advance(1000);
        assert_eq!(clock.observe(START + 1000, START + 1000), None);
        assert_eq!(clock.unix_ms(), START + 2000);
    }

    #[test]
    fn only_a_difference_beyond_the_round_trip_is_applied() {
        let local = Arc::new(ManualClock::at(START));
        let clock = StoreClock::new(Arc::clone(&local) as Arc<dyn Clock>);
        // Sent at START, received 100 ms later: any time in between may be the same moment.
        local.advance(100);
        for shown in [START, START + 50, START + 100] {
            clock.observe(shown, START);
            assert_eq!(clock.unix_ms(), START + 100);
        }
        assert_eq!(clock.observe(START + 20_050, START), Some(20_000));
        assert_eq!((clock.unix_ms(), clock.is_synchronized()), (START + 20_100, true));
        assert!(!clock.status().is_steady);
        assert_eq!(clock.observe(START + 20_100, START + 100), None);
        assert!(clock.status().is_steady);
        assert_eq!(clock.observe(START - 40_000, START + 100), Some(-60_100));
        assert_eq!((clock.unix_ms(), clock.is_synchronized()), (START - 40_000, false));
        assert_eq!(clock.local_ms(), START + 100);
        let status = clock.status();
        assert_eq!(
            (status.steps, status.step_ms, status.difference_ms),
            (2, -60_100, -40_100)
        );
    }
}
