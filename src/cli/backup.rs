//! `backup`: a copy of an embedded store while it is in use.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::arguments::Json;
use super::destination;
use super::output;
use crate::app::direct;
use crate::config::{Config, embedded};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct Backup {
    /// File to create, which only its owner can read.
    file: PathBuf,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    json: Json,
}

pub async fn run(config: &Config, options: &Backup) -> Result<(), Failure> {
    destination::check(config, &options.file, options.force)?;
    let bytes = direct::backup(config, &options.file, options.force).await?;
    let key = config
        .database
        .data_directory()
        .map(|data| data.join(embedded::KEY_ENCRYPTION_KEY_FILE));
    // A key of the configuration is used instead of the file.
    let key = key.filter(|key| config.secrets.key_encryption_key.is_none() && key.exists());
    let key = key.map_or_else(
        || "OAUTH2_KEY_ENCRYPTION_KEY".to_owned(),
        |key| key.display().to_string(),
    );
    if options.json.json {
        return output::json(&json!({ "file": options.file, "bytes": bytes, "key_encryption_key": key }));
    }
    output::text_line(&format!(
        "{}: {bytes} bytes\na restore also needs the key encryption key, which is not in it: {key}; keep that in another place",
        options.file.display()
    ))
}
