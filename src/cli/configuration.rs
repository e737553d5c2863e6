//! `config check` and `config print`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Json, output, warn};
use crate::config::{Config, Entry};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say whether the configuration is good (exit 0) or everything that is wrong with it (exit 2).
    Check,
    /// Show every value and where it came from; secrets are hidden.
    Print(Json),
}

pub fn run(config: &Config, command: &Command) -> Result<(), Failure> {
    match command {
        // A bad configuration did not get this far.
        Command::Check => {
            warn(config);
            output::text_line("the configuration is good")
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
