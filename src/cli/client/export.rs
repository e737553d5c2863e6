//! `client export`: all clients, as `client import` reads them.

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::text_format::Format;
use crate::app::direct::Direct;
use crate::cli::destination::{self, Destination};
use crate::cli::progress::Progress;
use crate::cli::stderr;
use crate::config::Config;
use crate::failure::Failure;
use crate::service::clients::text::ClientWriter;

/// Clients that are read at a time.
const PAGE: usize = 1000;

#[derive(Debug, Args)]
pub struct Export {
    /// A new file, which only its owner can read; `-` is stdout.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Format; by default that of the file's extension.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Include the hashes of each client's secrets, so that they remain valid where this is imported.
    #[arg(long)]
    with_secret_hashes: bool,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

pub async fn run(config: &Config, export: &Export) -> Result<(), Failure> {
    let format = Format::of(export.format, &export.file)?;
    let direct = Direct::open(config).await?;
    let to_stdout = destination::is_stdout(&export.file);
    let mut out = Destination::new(config, &export.file, export.force)?;
    let cannot_write = |error: io::Error| destination::cannot_write(&export.file, &error);
    // The reader of stdout has read enough, as in `… | head -1`.
    let is_closed = |error: &io::Error| to_stdout && error.kind() == io::ErrorKind::BrokenPipe;
    let mut writer = ClientWriter::new(&mut out, format).map_err(cannot_write)?;
    let (mut after, mut count, mut progress) = (String::new(), 0, Progress::new("clients", None));
    loop {
        let page = direct
            .services
            .clients
            .page_after(&after, PAGE, direct.deadline())
            .await?;
        let Some(last) = page.last() else { break };
        after = last.client_id.to_string();
        count += page.len() as u64;
        for client in &page {
            match writer.write(client, export.with_secret_hashes) {
                Err(error) if is_closed(&error) => return Ok(()),
                written => written.map_err(cannot_write)?,
            }
        }
        progress.show(count);
    }
    match writer.flush() {
        Err(error) if is_closed(&error) => return Ok(()),
        flushed => flushed.map_err(cannot_write)?,
    }
    drop((progress, writer));
    out.publish()?;
    if !to_stdout {
        stderr::line(&format!("{count} clients were exported to {}", export.file.display()));
    }
    Ok(())
}
