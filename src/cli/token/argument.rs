//! A token as an argument.

use std::io::Read;

use crate::failure::Failure;

/// More than any token has, bytes.
const MAX_STDIN: u64 = 64 * 1024;

/// The argument itself; `-`: what stdin has.
pub fn read(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().take(MAX_STDIN).read_to_string(&mut text);
    read.map_err(|error| Failure::Environment(format!("stdin cannot be read: {error}")))?;
    Ok(text.trim().to_owned())
}
