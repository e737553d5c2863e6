//! Clocks as values.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A wall clock.
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn unix_ms(&self) -> u64;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn unix_ms(&self) -> u64 {
        (**self).unix_ms()
    }
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_ms(&self) -> u64 {
        since_1970().as_millis() as u64
    }
}

/// The operating system's time. A clock set before 1970 reads as 1970: ids then stand still rather than wrap.
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A clock that began with the operating system's and that no one can set.
#[derive(Debug, Clone, Copy)]
pub struct MonotonicClock {
    began: Instant,
    began_at: Duration,
}

impl MonotonicClock {
    /// A clock that shows the operating system's time now.
    pub fn begin() -> Self {
        // In this order: if the process is suspended in between, the clock is behind, and issues no tokens of the future.
        let began_at = since_1970();
        let began = Instant::now();
        Self { began, began_at }
    }
}

impl Clock for MonotonicClock {
    fn unix_ms(&self) -> u64 {
        (self.began_at + self.began.elapsed()).as_millis() as u64
    }
}

/// A clock that moves only when it is set.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `unix_ms`.
    pub fn at(unix_ms: u64) -> Self {
        Self(AtomicU64::new(unix_ms))
    }

    /// Sets the clock, forwards or back.
    pub fn set(&self, unix_ms: u64) {
        self.0.store(unix_ms, Ordering::SeqCst);
    }

    /// Moves the clock forwards.
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn unix_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
