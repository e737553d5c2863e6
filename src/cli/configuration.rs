//! `config check` and `config print`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::arguments::Json;
use super::output;
use crate::config::{Config, Entry};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the configuration: exit code 0 if it is valid, 2 with every error if it is not.
    Check,
    /// Print every value and its origin; secrets are redacted.
    Print(Json),
}

pub fn run(config: &Config, command: &Command) -> Result<(), Failure> {
    match command {
        // An invalid configuration fails before.
        Command::Check => {
            output::warnings(&config.warnings);
            output::text_line("the configuration is valid")
        }
        Command::Print(Json { json: true }) => {
            let items: Vec<_> = config.entries.iter().map(entry_json).collect();
            output::json(&json!({ "items": items }))
        }
        Command::Print(Json { json: false }) => {
            let row = |entry: &Entry| {
                let value = output::or_dash(entry.value.as_deref());
                vec![entry.key.path.to_owned(), value, entry.origin.to_string()]
            };
            let rows: Vec<_> = config.entries.iter().map(row).collect();
            output::table(&["KEY", "VALUE", "FROM"], &rows)
        }
    }
}

fn entry_json(entry: &Entry) -> Value {
    json!({
        "key": entry.key.path,
        "variable": entry.key.env,
        "value": entry.value,
        "origin": entry.origin.kind(),
        "source": entry.origin.to_string(),
    })
}
