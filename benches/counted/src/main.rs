//! `oauth2_server` under an allocator that counts. When it ends, it prints what was allocated as one line of JSON on stdout.
//!
//! It is started, asked so many times, and stopped; then again with more requests. The difference is what requests cost.

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
    let ended = cli::run(Cli::parse());
    let counted = ALLOCATOR.stats();
    let report = json!({
        "allocations": counted.allocations,
        "reallocations": counted.reallocations,
        "bytes": counted.bytes_allocated,
    });
    let told = writeln!(std::io::stdout(), "{report}");
    if let Err(failure) = ended {
        let _ = writeln!(std::io::stderr(), "error: {failure}");
        return ExitCode::from(failure.exit_code());
    }
    if told.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
