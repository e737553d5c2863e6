//! Gauges of the process, read from `/proc` at each scrape.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// The kernel's page size. Linux on x86-64 and on nearly every arm64 has pages of 4 KiB.
const PAGE_BYTES: u64 = 4096;

pub(super) fn register(meter: &Meter) {
    meter
        .u64_observable_gauge("process_resident_memory_bytes")
        .with_description("Resident memory of the process")
        .with_callback(|observer| observer.observe(resident_bytes().unwrap_or(0), &[]))
        .build();
    meter
        .u64_observable_gauge("process_open_fds")
        .with_description("Open file descriptors of the process")
        .with_callback(|observer| {
            observer.observe(
                fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
                &[],
            );
        })
        .build();
    let started = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64());
    meter
        .f64_observable_gauge("process_start_time_seconds")
        .with_description("Start time of the process, in Unix seconds")
        .with_callback(move |observer| observer.observe(started, &[]))
        .build();
    meter
        .u64_observable_gauge("build_info")
        .with_description("Always 1; the label is the running version")
        .with_callback(|observer| observer.observe(1, &[KeyValue::new("version", env!("CARGO_PKG_VERSION"))]))
        .build();
}

fn resident_bytes() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm")
        .ok()?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()?;
    Some(pages * PAGE_BYTES)
}
