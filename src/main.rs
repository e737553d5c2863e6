//! The binary: command line to exit code.

use std::io::Write;
use std::process::ExitCode;

use oauth2_server::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Err(failure) = cli::run(Cli::read()) else {
        return ExitCode::SUCCESS;
    };
    let mut stderr = std::io::stderr().lock();
    for sentence in failure.to_string().lines() {
        // Nobody is left to tell when stderr is closed; the exit code still says it.
        let _ = writeln!(stderr, "error: {sentence}");
    }
    ExitCode::from(failure.exit_code())
}
