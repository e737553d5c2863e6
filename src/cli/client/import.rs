//! `client import`: clients in numbers. The text is read twice: first every line is judged, then they are written in chunks, each
//! of which is one transaction. A second run finds what the first one did.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use oauth2_actors::error::StoreError;
use oauth2_actors::model::{Client, KeyAlgorithm, SigningAlg};
use oauth2_actors::store::Store;
use serde_json::json;

use super::{defaults, usage};
use crate::cli::progress::Progress;
use crate::cli::store::{self, audit, now};
use crate::cli::{Json, key, new_file, output};
use crate::config::Config;
use crate::failure::Failure;
use crate::oauth::bulk::{Asked, Layout, Lines, Place, Plan, Record, Refusal, Seen};

mod refused;

use refused::Refused;

/// Lines that are judged and clients that are written together.
const CHUNK: usize = 1000;

/// Times that a chunk is judged anew because somebody else changed a client of it meanwhile.
const TRIES: u32 = 3;

#[derive(Debug, Args)]
pub struct Import {
    /// The text; `-` is stdin.
    file: PathBuf,
    /// How it is laid out; by the file's ending when left out.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Import the good lines although others are refused; without this one refused line keeps all of them out.
    #[arg(long)]
    skip_refused: bool,
    /// Judge every line and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Make up secrets for new clients that have none, and write each here behind its client's id and a comma: a new file
    /// for its owner only.
    #[arg(long, value_name = "FILE")]
    secrets_out: Option<PathBuf>,
    /// Write every refused line's number and reason here, a JSON object a line.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

/// The layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A JSON object a line.
    Jsonl,
    /// CSV with a header.
    Csv,
}

impl Format {
    /// By what was said, or else by a file's ending.
    pub fn of(said: Option<Self>, file: &Path) -> Result<Layout, Failure> {
        let by_ending = || match file.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => Some(Self::Csv),
            Some("jsonl" | "ndjson" | "json") => Some(Self::Jsonl),
            _ => None,
        };
        match said.or_else(by_ending) {
            Some(Self::Csv) => Ok(Layout::Csv),
            Some(Self::Jsonl) => Ok(Layout::Json),
            None => Err(Failure::Refused(
                "--format must say jsonl or csv: the file's ending does not".to_owned(),
            )),
        }
    }
}

#[derive(Default)]
struct Counts {
    created: u64,
    updated: u64,
    unchanged: u64,
}

/// Lines that are judged or written together.
#[derive(Default)]
struct Chunk {
    asked: Vec<(Place, Asked)>,
    refused: Vec<(Place, Refusal)>,
    /// The text is at its end.
    ended: bool,
}

/// The two passes over the text.
struct Importer<'a> {
    config: &'a Config,
    store: Store,
    asked: &'a Import,
    layout: Layout,
    refused: Refused,
    algorithms: HashSet<KeyAlgorithm>,
}

pub async fn run(config: &Config, asked: &Import) -> Result<(), Failure> {
    let layout = Format::of(asked.format, &asked.file)?;
    let mut input = open(&asked.file)?;
    let place = |path: &Path| path.canonicalize().ok();
    if asked
        .report
        .as_deref()
        .and_then(place)
        .is_some_and(|report| place(&asked.file) == Some(report))
    {
        return Err(Failure::Refused(
            "--report is the file that is to be imported".to_owned(),
        ));
    }
    let store = store::open_or_make(config).await?;
    let mut importer = Importer {
        config,
        store,
        asked,
        layout,
        refused: Refused::new(asked.report.as_deref())?,
        algorithms: HashSet::new(),
    };
    let total = importer.judge(&mut input).await?;
    let stopped = importer.refused.count() > 0 && !asked.skip_refused;
    let counts = if stopped || asked.dry_run {
        Counts::default()
    } else {
        input.rewind().map_err(|error| cannot_read(&asked.file, &error))?;
        importer.write(&mut input, total).await?
    };
    importer.conclude(&counts, stopped, total)
}

/// The text, so that it can be read twice: stdin is copied aside into a file that has no name.
fn open(file: &Path) -> Result<File, Failure> {
    if file != Path::new("-") {
        return File::open(file)
            .map_err(|error| Failure::Refused(format!("{} cannot be read: {error}", file.display())));
    }
    let copy = || {
        let mut copy = tempfile::tempfile()?;
        io::copy(&mut io::stdin().lock(), &mut copy)?;
        copy.rewind()?;
        Ok(copy)
    };
    copy().map_err(|error: io::Error| Failure::Environment(format!("stdin cannot be copied aside: {error}")))
}

fn cannot_read(file: &Path, error: &io::Error) -> Failure {
    Failure::Environment(format!("{} cannot be read on: {error}", file.display()))
}

/// Writes secrets that were made up behind those of the chunks before; answers how long the file was.
fn tell(file: &mut File, secrets: &[(Arc<str>, String)]) -> io::Result<u64> {
    let before = file.stream_position()?;
    if !secrets.is_empty() {
        let lines: String = secrets
            .iter()
            .flat_map(|(id, secret)| [id, ",", secret, "\n"])
            .collect();
        file.write_all(lines.as_bytes())?;
        file.sync_data()?;
    }
    Ok(before)
}

fn take_back(file: &mut File, before: u64) -> io::Result<()> {
    file.set_len(before)?;
    file.seek(SeekFrom::Start(before)).map(drop)
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::Environment(format!("--secrets-out cannot be written: {error}"))
}

impl Importer<'_> {
    fn lines<R: Read>(&self, input: R) -> Result<Lines<BufReader<R>>, Failure> {
        let lines = Lines::new(BufReader::with_capacity(256 * 1024, input), self.layout);
        let lines = lines.map_err(|error| cannot_read(&self.asked.file, &error))?;
        lines.map_err(|why| Failure::Refused(format!("{}: {why}", self.asked.file.display())))
    }

    /// The first pass: every line, and what the store would say to it. Answers how many are good.
    async fn judge(&mut self, input: &mut File) -> Result<u64, Failure> {
        let (mut lines, mut seen, mut good) = (self.lines(input)?, Seen::default(), 0);
        let mut progress = Progress::new("clients judged", None);
        loop {
            let mut chunk = self.fill(&mut lines, |asked, line| seen.insert(asked.client_id(), line))?;
            let plan = self.plan(&chunk.asked).await?;
            good += chunk.asked.len() as u64 - plan.refused.len() as u64;
            for client in plan.new.iter().chain(&plan.changed) {
                self.algorithms.extend(client.signing_alg.and_then(SigningAlg::key));
            }
            chunk.refused.extend(plan.refused);
            chunk.refused.sort_unstable();
            self.refused.add(chunk.refused)?;
            progress.show(good);
            if chunk.ended {
                break;
            }
        }
        self.refused.flush()?;
        Ok(good)
    }

    /// Reads a chunk of lines. What was refused before is passed over.
    fn fill(
        &self,
        lines: &mut Lines<impl BufRead>,
        mut check: impl FnMut(&Asked, u64) -> Result<(), Refusal>,
    ) -> Result<Chunk, Failure> {
        let mut chunk = Chunk::default();
        while chunk.asked.len() + chunk.refused.len() < CHUNK {
            let record = lines
                .read_next()
                .map_err(|error| cannot_read(&self.asked.file, &error))?;
            let Some(Record { place, asked }) = record else {
                chunk.ended = true;
                break;
            };
            if self.refused.contains(place.first) {
                continue;
            }
            match asked.and_then(|asked| check(&asked, place.first).map(|()| asked)) {
                Ok(asked) => chunk.asked.push((place, asked)),
                Err(why) => chunk.refused.push((place, why)),
            }
        }
        Ok(chunk)
    }

    async fn plan(&self, chunk: &[(Place, Asked)]) -> Result<Plan, Failure> {
        let ids: Vec<String> = chunk.iter().map(|(_, asked)| asked.client_id().to_owned()).collect();
        let current: Vec<Client> = if ids.is_empty() {
            Vec::new()
        } else {
            self.store.clients_named(&ids).await?
        };
        let may_make_up = self.asked.secrets_out.is_some();
        let mut plan = Plan::of(chunk, current, &defaults(self.config), now(), may_make_up);
        let known = usage::known(self.config, &self.store, plan.changes()).await?;
        plan.check(|current, changed| usage::below(self.config, &known, current, changed));
        Ok(plan)
    }

    /// The second pass.
    async fn write(&mut self, input: &mut File, total: u64) -> Result<Counts, Failure> {
        let mut secrets = match &self.asked.secrets_out {
            Some(path) => Some(new_file(path, false)?),
            None => None,
        };
        for algorithm in self.algorithms.drain() {
            key::ensure(self.config, &self.store, Some(algorithm)).await?;
        }
        let (mut lines, mut counts) = (self.lines(input)?, Counts::default());
        let mut progress = Progress::new("clients", Some(total));
        loop {
            let chunk = self.fill(&mut lines, |_, _| Ok(()))?;
            let plan = self.write_chunk(&chunk.asked, secrets.as_mut()).await?;
            counts.created += plan.new.len() as u64;
            counts.updated += plan.changed.len() as u64;
            counts.unchanged += plan.unchanged;
            self.refused.add(chunk.refused)?;
            self.refused.add(plan.refused)?;
            progress.show(counts.created + counts.updated + counts.unchanged);
            if chunk.ended {
                self.refused.flush()?;
                return Ok(counts);
            }
        }
    }

    async fn write_chunk(&self, chunk: &[(Place, Asked)], mut secrets: Option<&mut File>) -> Result<Plan, Failure> {
        let mut attempt = 1;
        loop {
            let plan = self.plan(chunk).await?;
            if plan.new.is_empty() && plan.changed.is_empty() {
                return Ok(plan);
            }
            // Told before they count: a secret of a client that is there must not be lost.
            let told = secrets.as_mut().map(|file| tell(file, &plan.secrets)).transpose();
            let told = told.map_err(|error| unwritable(&error))?;
            let now_ms = self.store.ping().await?;
            let written = self
                .store
                .write_clients(&plan.new, &plan.changed, now_ms, &audit("client.import", json!({})))
                .await;
            match written {
                Ok(()) => return Ok(plan),
                Err(error @ StoreError::Conflict(_)) => {
                    // Nothing was written, and the next plan makes up others, perhaps not for the same clients.
                    if let (Some(file), Some(before)) = (secrets.as_mut(), told) {
                        take_back(file, before).map_err(|error| unwritable(&error))?;
                    }
                    if attempt == TRIES {
                        return Err(error.into());
                    }
                    attempt += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn conclude(&self, counts: &Counts, stopped: bool, good: u64) -> Result<(), Failure> {
        self.refused.tell();
        let refused = self.refused.count();
        if self.asked.json.json {
            output::json(&json!({
                "created": counts.created, "updated": counts.updated, "unchanged": counts.unchanged, "refused": refused,
            }))?;
        } else if self.asked.dry_run {
            output::text_line(&format!(
                "{good} lines are good, {refused} are refused; nothing was changed"
            ))?;
        } else {
            output::text_line(&format!(
                "{} clients created, {} updated, {} unchanged, {refused} refused",
                counts.created, counts.updated, counts.unchanged
            ))?;
        }
        if refused == 0 {
            return Ok(());
        }
        let what = if stopped && !self.asked.dry_run {
            "lines are refused, so nothing was imported; --skip-refused imports the others"
        } else {
            "lines are refused"
        };
        Err(Failure::Refused(format!("{refused} {what}")))
    }
}
