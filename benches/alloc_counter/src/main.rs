//! `oauth2_server` with an allocator that counts allocations. On exit it prints the counts as one line of JSON on stdout.
//!
//! The benchmark runs it twice with different numbers of requests; the difference of the counts is the cost of the requests.

use std::alloc::System;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use oauth2_server::cli::{self, Cli};
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let result = cli::run(Cli::parse());
    let stats = ALLOCATOR.stats();
    let report = json!({
        "allocations": stats.allocations,
        "reallocations": stats.reallocations,
        "bytes": stats.bytes_allocated,
    });
    let printed = writeln!(std::io::stdout(), "{report}");
    if let Err(failure) = result {
        let _ = writeln!(std::io::stderr(), "error: {failure}");
        return ExitCode::from(failure.exit_code());
    }
    if printed.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
