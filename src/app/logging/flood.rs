//! Limits repeated warnings and errors: a fault that every request meets must not fill a disk.
//!
//! Each place in the code that logs has a bucket of its own: [`BURST`] lines at once, then one per [`REFILL`]. The next line of that place
//! has the number of those left out, as the field `suppressed`. Other levels are not limited: they are not repeated per request, or the
//! configuration asks for all of them.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of one place in the code before it is limited.
const BURST: u32 = 20;

/// Time between lines of a limited place.
const REFILL: Duration = Duration::from_secs(1);

static SUPPRESSED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Lines left out before the event that this thread logs now.
    static BEFORE: Cell<u64> = const { Cell::new(0) };
}

/// Lines left out so far.
pub(in crate::app) fn suppressed_lines() -> u64 {
    SUPPRESSED.load(Ordering::Relaxed)
}

/// Lines left out before the event that this thread logs now.
pub(in crate::app) fn suppressed_before() -> u64 {
    BEFORE.get()
}

/// The layer.
#[derive(Debug, Default)]
pub(super) struct Flood {
    /// By the place, and for libraries that use the crate `log`, which all share one place, by their module.
    buckets: Mutex<HashMap<(Identifier, String), Bucket>>,
}

impl<S: Subscriber> Layer<S> for Flood {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if *event.metadata().level() > Level::WARN {
            BEFORE.set(0);
            return true;
        }
        let library = event.normalized_metadata();
        let library = library.map_or_else(String::new, |metadata| metadata.target().to_owned());
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let bucket = buckets
            .entry((event.metadata().callsite(), library))
            .or_insert_with(|| Bucket::full(now));
        if let Some(suppressed) = bucket.take(now) {
            BEFORE.set(suppressed);
            return true;
        }
        SUPPRESSED.fetch_add(1, Ordering::Relaxed);
        false
    }
}

#[derive(Debug)]
struct Bucket {
    lines: u32,
    refilled: Instant,
    suppressed: u64,
}

impl Bucket {
    fn full(now: Instant) -> Self {
        Self {
            lines: BURST,
            refilled: now,
            suppressed: 0,
        }
    }

    /// Takes a line: how many were left out since the last one. `None`: this one is left out.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let refills = now.saturating_duration_since(self.refilled).as_millis() / REFILL.as_millis();
        if let Some(refills) = u32::try_from(refills).ok().filter(|refills| *refills < BURST) {
            self.lines = BURST.min(self.lines + refills);
            self.refilled += REFILL * refills;
        } else {
            (self.lines, self.refilled) = (BURST, now);
        }
        if self.lines == 0 {
            self.suppressed += 1;
            return None;
        }
        self.lines -= 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_limited_to_a_burst_and_one_line_per_second() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        let logged = |bucket: &mut Bucket, at| (0..1000).filter_map(|_| bucket.take(at)).collect::<Vec<_>>();
        assert_eq!(logged(&mut bucket, start), vec![0; 20]);
        assert_eq!(logged(&mut bucket, start + REFILL), [980]);
        assert_eq!(logged(&mut bucket, start + REFILL * 3), [999, 0]);
        let later = start + Duration::from_hours(1);
        assert_eq!(logged(&mut bucket, later).len(), 20);
    }
}
