//! A move from another authorization server: its clients, and the check before the switch.

use std::path::PathBuf;

use oauth2_testkit::Output;
use serde_json::Value;

mod check;
mod export_details;
mod exports;
mod invalid_exports;
mod rehearsal;

/// A file or directory that another product exported.
fn fixture(name: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/it/migration/fixtures")
        .join(name)
        .to_string_lossy()
        .into_owned()
}

/// The JSON that a command printed.
fn parsed(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", output.stdout, output.stderr))
}
