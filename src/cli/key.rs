//! `key list`.

use clap::Subcommand;
use oauth2_actors::model::StoredKey;

use super::{Json, output, store};
use crate::config::Config;
use crate::failure::Failure;
use crate::oauth::view::{KeyView, ListView};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the signing keys, oldest first.
    List(Json),
}

pub async fn run(config: &Config, command: &Command) -> Result<(), Failure> {
    let Command::List(json) = command;
    let keys = store::open(config).await?.keys().await?;
    if json.json {
        let items = keys.iter().map(KeyView::new).collect();
        return output::json(&ListView {
            items,
            next_cursor: None,
        });
    }
    let row = |key: &StoredKey| vec![key.kid.clone(), key.algorithm.to_string(), output::date(key.created_at)];
    let rows: Vec<_> = keys.iter().map(row).collect();
    output::table(&["KID", "ALGORITHM", "CREATED"], &rows)
}
