//! `client export`: all clients as `client import` takes them.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::import::Format;
use crate::cli::progress::Progress;
use crate::cli::{new_file, store};
use crate::config::Config;
use crate::failure::Failure;
use crate::oauth::bulk::{self, Layout, csv};

/// Clients that are read at a time.
const PAGE: usize = 1000;

#[derive(Debug, Args)]
pub struct Export {
    /// Where to: a new file for its owner only; `-` is stdout.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// How it is laid out; by the file's ending when left out.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// With the hash of each client's newest secret, so that secrets work on wherever this is imported.
    #[arg(long)]
    with_secret_hashes: bool,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

pub async fn run(config: &Config, asked: &Export) -> Result<(), Failure> {
    let layout = Format::of(asked.format, &asked.file)?;
    let store = store::open(config).await?;
    let to_stdout = asked.file == Path::new("-");
    let mut out: Box<dyn Write> = if to_stdout {
        Box::new(BufWriter::new(io::stdout()))
    } else {
        Box::new(BufWriter::new(new_file(&asked.file, asked.force)?))
    };
    let cannot_write =
        |error: io::Error| Failure::Environment(format!("{} cannot be written: {error}", asked.file.display()));
    if layout == Layout::Csv {
        writeln!(out, "{}", csv::header()).map_err(cannot_write)?;
    }
    let (mut after, mut count, mut progress) = (String::new(), 0, Progress::new("clients", None));
    loop {
        let page = store.load_clients(&after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.client_id.to_string();
        count += page.len() as u64;
        for client in &page {
            let members = bulk::describe(client, asked.with_secret_hashes);
            let line = match layout {
                Layout::Csv => csv::line(&members),
                Layout::Json => Value::Object(members).to_string(),
            };
            match writeln!(out, "{line}") {
                Err(error) if to_stdout && error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                other => other.map_err(cannot_write)?,
            }
        }
        progress.show(count);
    }
    out.flush().map_err(cannot_write)?;
    drop(progress);
    if !to_stdout {
        let _ = writeln!(io::stderr().lock(), "{count} clients are in {}", asked.file.display());
    }
    Ok(())
}
