//! Runs verifier and client libraries for Rust against a server.
//!
//! usage: clients generate DIRECTORY | check FIXTURE

mod keys;
mod oauth;
mod pages;
mod report;
mod verifiers;

use std::process::ExitCode;

use report::{Failure, Fixture, Report};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generate", directory] => keys::generate(directory).map(|()| false),
        ["check", fixture] => check(fixture),
        _ => Err("usage: clients generate DIRECTORY | check FIXTURE".into()),
    };
    match outcome {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Whether a check failed.
fn check(file: &str) -> Result<bool, Failure> {
    let fixture = Fixture::read(file)?;
    let mut report = Report::default();
    verifiers::check(&mut report, &fixture);
    oauth::check(&mut report, &fixture);
    Ok(report.failed)
}
