//! Files with secrets that are given to a subcommand: who else can read or replace them.

use std::path::Path;

use super::output;
use crate::config::{Config, permissions};
use crate::failure::Failure;

/// Warns of a file that every user can read or replace; with `--strict` it is rejected.
pub fn judge(config: &Config, file: &Path) -> Result<(), Failure> {
    judge_file(config.strict, file)
}

/// As [`judge`], for a subcommand without a configuration.
pub fn judge_file(strict: bool, file: &Path) -> Result<(), Failure> {
    let Some(problem) = permissions::exposure(file) else {
        return Ok(());
    };
    let warning = format!("{} {problem}", file.display());
    if strict {
        return Err(Failure::Invalid(warning));
    }
    output::warnings(&[warning]);
    Ok(())
}
