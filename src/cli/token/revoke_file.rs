//! `token revoke --file`: bulk revocation.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde_json::json;
use uuid::Uuid;

use crate::app::direct::{Direct, operator};
use crate::cli::arguments::Json;
use crate::cli::progress::Progress;
use crate::cli::{exposure, output};
use crate::config::{Config, permissions};
use crate::failure::Failure;
use crate::service::token_ref::TokenRef;
use crate::tokens::MAX_TOKEN_BYTES;

/// Tokens that are revoked in one transaction.
const CHUNK: usize = 1000;

/// Invalid lines that are named; the others are counted.
const NAMED: usize = 20;

/// The lines of the file.
struct Lines<R> {
    input: R,
    number: u64,
    invalid: Vec<u64>,
    ended: bool,
}

pub async fn run(config: &Config, file: &Path, json: Json) -> Result<(), Failure> {
    // A file of ids needs no protection.
    if file != Path::new("-") && permissions::exposure(file).is_some() && has_token(file) {
        exposure::judge(config, file)?;
    }
    let direct = Direct::open(config).await?;
    let input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let opened = File::open(file);
        Box::new(BufReader::new(opened.map_err(|error| {
            Failure::Invalid(format!("--file {} cannot be read: {error}", file.display()))
        })?))
    };
    let mut lines = Lines::new(input);
    let mut progress = Progress::new("tokens", None);
    let (mut revoked, mut unrecorded) = (0, 0);
    while !lines.ended {
        let chunk = lines
            .chunk()
            .map_err(|error| Failure::Environment(format!("--file cannot be read: {error}")))?;
        if !chunk.is_empty() {
            let revoke = &direct.services.revoke;
            let done = revoke.many(&operator(), &chunk, direct.deadline()).await;
            unrecorded += done.map_err(|error| interrupted(error.into(), revoked))?;
        }
        revoked += chunk.len();
        progress.show(revoked as u64);
    }
    drop(progress);
    let invalid = lines.invalid;
    if json.json {
        output::json(&json!({"revoked": revoked, "without_record": unrecorded, "refused_lines": invalid}))?;
    } else {
        output::text_line(&format!(
            "{revoked} tokens are revoked, {unrecorded} of them without a record that confirms their expiry"
        ))?;
    }
    if invalid.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = invalid.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if invalid.len() > NAMED {
        format!(" and {} more", invalid.len() - NAMED)
    } else {
        String::new()
    };
    Err(Failure::Invalid(format!(
        "--file has lines that are neither a token nor a token id of this server: {}{more}",
        named.join(", ")
    )))
}

/// Whether a file has a line that is neither an id nor a comment. A file that cannot be read has none: its error is reported later.
fn has_token(file: &Path) -> bool {
    let Ok(opened) = File::open(file) else {
        return false;
    };
    let mut lines = Lines::new(BufReader::new(opened));
    while let Ok(line) = lines.read_line()
        && !line.is_empty()
    {
        let text = String::from_utf8_lossy(&line);
        if content(&text).is_some_and(|text| text.parse::<Uuid>().is_err()) {
            return true;
        }
    }
    false
}

/// The text of a line; `None`: it is empty or a comment.
fn content(line: &str) -> Option<&str> {
    let text = line.trim().trim_start_matches('\u{feff}');
    (!text.is_empty() && !text.starts_with('#')).then_some(text)
}

/// Adds to a failure how far the command came. To revoke a token again does no harm.
fn interrupted(failure: Failure, revoked: usize) -> Failure {
    let text = format!("{failure}; {revoked} tokens were revoked before; to continue, run the command again");
    failure.with_text(text)
}

impl<R: BufRead> Lines<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            number: 0,
            invalid: Vec::new(),
            ended: false,
        }
    }

    /// The tokens of the next lines.
    fn chunk(&mut self) -> io::Result<Vec<TokenRef>> {
        let mut chunk = Vec::with_capacity(CHUNK);
        while chunk.len() < CHUNK {
            let line = self.read_line()?;
            if line.is_empty() {
                self.ended = true;
                break;
            }
            self.number += 1;
            let text = String::from_utf8_lossy(&line);
            let Some(text) = content(&text) else {
                continue;
            };
            match TokenRef::parse(text) {
                Some(token) => chunk.push(token),
                None => self.invalid.push(self.number),
            }
        }
        Ok(chunk)
    }

    /// A line, or the beginning of one that is longer than any token: an endless line must not fill the memory. Empty at the end.
    fn read_line(&mut self) -> io::Result<Vec<u8>> {
        const LONGEST: usize = 2 * MAX_TOKEN_BYTES;
        let mut line = Vec::new();
        (&mut self.input).take(LONGEST as u64).read_until(b'\n', &mut line)?;
        if line.len() == LONGEST && !line.ends_with(b"\n") {
            self.input.skip_until(b'\n')?;
        }
        Ok(line)
    }
}
