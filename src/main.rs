//! The binary: command line to exit code.

use std::process::ExitCode;

use oauth2_server::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Err(failure) = cli::run(Cli::read()) else {
        return ExitCode::SUCCESS;
    };
    cli::print_failure(&failure);
    ExitCode::from(failure.exit_code())
}
