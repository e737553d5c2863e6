//! A move from another authorization server: its clients, and the check before the switch.

use std::path::PathBuf;

use oauth2_testkit::Output;
use serde_json::{Value, json};

mod changes;
pub mod check;
mod export_details;
mod exports;
mod given_files;
mod invalid_exports;
mod masks;
mod nothing_compared;
mod planted;
mod rehearsal;
mod required_tables;
mod side_tables;
mod table_texts;
mod tampered;

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

const SECRET: &str = "a-secret-with-enough-characters-0001";

/// A client as Hydra exports it, with more members.
fn hydra_client(id: &str, more: Value) -> Value {
    let mut client = json!({"client_id": id, "client_secret": SECRET, "grant_types": ["client_credentials"]});
    let Value::Object(more) = more else { panic!("{more}") };
    client.as_object_mut().unwrap().extend(more);
    client
}
