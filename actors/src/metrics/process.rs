//! Figures of the process, read from `/proc` at each scrape.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::metrics::Meter;

use super::catalogue::process::{
    BUILD_INFO, CPU_SECONDS, CPUS, MAX_FDS, OPEN_FDS, RESIDENT_MEMORY, START_TIME, THREADS,
};

/// The kernel's page size. Linux on x86-64 and on nearly every arm64 has pages of 4 KiB.
const PAGE_BYTES: f64 = 4096.0;

/// Clock ticks per second in `/proc`: 100 on every architecture that this server is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Fields of `/proc/self/stat`, numbered as in proc(5).
const UTIME: usize = 14;
const STIME: usize = 15;
const NUM_THREADS: usize = 20;
const RSS: usize = 24;

pub(super) fn register(meter: &Meter) {
    CPU_SECONDS.observe(meter, || {
        let [user, system] = stat([UTIME, STIME]);
        (user + system) / TICKS_PER_SECOND
    });
    CPUS.observe(meter, || {
        std::thread::available_parallelism().map_or(f64::NAN, |cpus| cpus.get() as f64)
    });
    THREADS.observe(meter, || {
        let [threads] = stat([NUM_THREADS]);
        threads
    });
    RESIDENT_MEMORY.observe(meter, || {
        let [pages] = stat([RSS]);
        pages * PAGE_BYTES
    });
    OPEN_FDS.observe(meter, || {
        fs::read_dir("/proc/self/fd").map_or(0.0, |entries| entries.count() as f64)
    });
    MAX_FDS.observe(meter, || max_fds().unwrap_or(f64::INFINITY));
    let started = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64());
    START_TIME.observe(meter, move || started);
    BUILD_INFO.observe_each(meter, |observe| observe(1.0, &[("version", env!("CARGO_PKG_VERSION"))]));
}

/// Fields of `/proc/self/stat`; 0 where it cannot be read.
fn stat<const N: usize>(fields: [usize; N]) -> [f64; N] {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    fields.map(|field| stat_field(&text, field).unwrap_or(0.0))
}

/// A field after the second one, which is the name of the program in parentheses and may hold anything.
fn stat_field(text: &str, field: usize) -> Option<f64> {
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(field - 3)?.trim_end().parse().ok()
}

/// The soft limit; `None` if there is none.
fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_spaces_and_parentheses() {
        let text =
            "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 12345 1000 321 18446744073709551615\n";
        let fields = [UTIME, STIME, NUM_THREADS, RSS].map(|field| stat_field(text, field));
        assert_eq!(fields, [Some(250.0), Some(50.0), Some(9.0), Some(321.0)]);
        assert_eq!(stat_field("7 (a) S", RSS), None);
    }

    #[test]
    fn this_process_has_figures() {
        let [threads, pages] = stat([NUM_THREADS, RSS]);
        assert!(threads >= 1.0 && pages > 10.0, "{threads} {pages}");
        assert!(max_fds().is_none_or(|fds| fds >= 16.0));
    }
}
