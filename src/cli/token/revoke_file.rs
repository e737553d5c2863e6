//! `token revoke --file`: many tokens, each on a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use oauth2_actors::model::token::latest_expiry;
use oauth2_actors::model::{Revocation, RevocationTarget};
use serde_json::json;
use uuid::Uuid;

use crate::cli::progress::Progress;
use crate::cli::store::{self, audit, now};
use crate::cli::{Json, output};
use crate::config::Config;
use crate::failure::Failure;
use crate::tokens::MAX_TOKEN_BYTES;
use crate::tokens::peek::peek;

/// Lines that are one transaction.
const CHUNK: usize = 1000;

/// Refused lines that are shown; the rest is counted.
const SHOWN: usize = 20;

pub async fn run(config: &Config, file: &Path, json: Json) -> Result<(), Failure> {
    let store = store::open(config).await?;
    let mut input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let opened = File::open(file);
        Box::new(BufReader::new(opened.map_err(|error| {
            Failure::Refused(format!("--file {} cannot be read: {error}", file.display()))
        })?))
    };
    let (mut progress, mut refused) = (Progress::new("tokens", None), Vec::new());
    let (mut revoked, mut unrecorded, mut number) = (0, 0, 0);
    let mut ended = false;
    while !ended {
        let mut chunk = Vec::with_capacity(CHUNK);
        while chunk.len() < CHUNK {
            let line = read_line(&mut input);
            let line = line.map_err(|error| Failure::Environment(format!("--file cannot be read on: {error}")))?;
            if line.is_empty() {
                ended = true;
                break;
            }
            number += 1;
            let text = String::from_utf8_lossy(&line);
            let text = text.trim().trim_start_matches('\u{feff}');
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            match named(text) {
                Some(named) => chunk.push(named),
                None => refused.push(number),
            }
        }
        if chunk.is_empty() {
            continue;
        }
        let cutoff_ms = store.ping().await?;
        let known: Vec<(Uuid, i64)> = chunk.iter().filter_map(|(jti, exp)| Some((*jti, (*exp)?))).collect();
        let recorded = store.tokens_of(&known).await?;
        let revocation = |(jti, exp): &(Uuid, Option<i64>)| {
            let found = recorded
                .iter()
                .any(|token| token.record.jti == *jti && Some(token.record.expires_at) == *exp);
            // What a token says of its expiry is believed only if the ledger says so, too.
            let expires_at = exp.filter(|_| found).unwrap_or_else(|| latest_expiry(jti, now()));
            let target = RevocationTarget::Token { jti: *jti, expires_at };
            (found, Revocation { target, cutoff_ms })
        };
        let (found, revocations): (Vec<_>, Vec<_>) = chunk.iter().map(revocation).unzip();
        unrecorded += found.iter().filter(|found| !**found).count();
        store
            .revoke_many(&revocations, cutoff_ms, &audit("token.revoke", json!({})))
            .await?;
        revoked += revocations.len();
        progress.show(revoked as u64);
    }
    drop(progress);
    let shown: Vec<_> = refused.iter().take(SHOWN).map(ToString::to_string).collect();
    if json.json {
        output::json(&json!({"revoked": revoked, "without_record": unrecorded, "refused_lines": refused}))?;
    } else {
        output::text_line(&format!(
            "{revoked} tokens are revoked, {unrecorded} of them without a record that names their expiry"
        ))?;
    }
    if refused.is_empty() {
        return Ok(());
    }
    let more = if refused.len() > SHOWN {
        format!(" and {} more", refused.len() - SHOWN)
    } else {
        String::new()
    };
    Err(Failure::Refused(format!(
        "--file has lines that are neither a token nor a token id of this server: {}{more}",
        shown.join(", ")
    )))
}

/// A line, or its beginning: no token is as long, and an endless line must not fill the memory. Empty at the end.
fn read_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    const LONGEST: usize = 2 * MAX_TOKEN_BYTES;
    let mut line = Vec::new();
    input.take(LONGEST as u64).read_until(b'\n', &mut line)?;
    if line.len() == LONGEST && !line.ends_with(b"\n") {
        input.skip_until(b'\n')?;
    }
    Ok(line)
}

fn named(text: &str) -> Option<(Uuid, Option<i64>)> {
    let named = match text.parse::<Uuid>() {
        Ok(jti) => Some((jti, None)),
        Err(_) => peek(text).map(|token| (token.jti, Some(token.expires_at))),
    };
    named.filter(|(jti, _)| jti.get_version_num() == 7)
}
