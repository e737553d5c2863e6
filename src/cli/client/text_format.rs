//! The format of a file of clients.

use std::path::Path;

use clap::ValueEnum;

use crate::failure::Failure;
use crate::service::clients::text::TextFormat;

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A JSON object per line.
    Jsonl,
    /// CSV with a header.
    Csv,
}

impl Format {
    /// The format given, or else that of the file's extension.
    pub fn of(given: Option<Self>, file: &Path) -> Result<TextFormat, Failure> {
        let by_extension = || match file.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Some(Self::Csv),
            Some("jsonl" | "ndjson" | "json") => Some(Self::Jsonl),
            _ => None,
        };
        match given.or_else(by_extension) {
            Some(Self::Csv) => Ok(TextFormat::Csv),
            Some(Self::Jsonl) => Ok(TextFormat::JsonLines),
            None => Err(Failure::Invalid(
                "--format must be jsonl or csv: the file has no extension that says which".to_owned(),
            )),
        }
    }
}
