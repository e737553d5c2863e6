//! The binary: command line to exit code.

use std::process::ExitCode;

use oauth2_server::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let code = match cli::run(Cli::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            cli::print_failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    };
    cli::finish();
    code
}
