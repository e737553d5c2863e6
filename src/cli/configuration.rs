//! `config check` and `config print`.

use clap::Subcommand;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::arguments::Json;
use super::output;
use crate::app::named_files;
use crate::config::{Config, Entry, FallbackIntrospection};
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
            let mut found = named_files::check(config)?;
            found.extend(config.fallback.as_ref().and_then(ended));
            if config.strict && !found.is_empty() {
                return Err(Failure::Invalid(found.join("\n")));
            }
            output::warnings(&config.warnings);
            output::warnings(&found);
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

/// A warning if no token is sent to the replaced issuer any more. Only this command checks it: a server must start also after that date.
fn ended(fallback: &FallbackIntrospection) -> Option<String> {
    const TEXT: &str = "OAUTH2_FALLBACK_INTROSPECTION_UNTIL is in the past, so the fallback introspection has ended: remove \
                        OAUTH2_FALLBACK_INTROSPECTION_URL and its other settings";
    (fallback.until <= OffsetDateTime::now_utc().unix_timestamp()).then(|| TEXT.to_owned())
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
