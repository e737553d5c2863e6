//! `client import`: bulk import of clients. The file is read twice: first every row is judged, then the rows are written in chunks,
//! one transaction each. A second import of the same file finds the clients of the first one unchanged.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use oauth2_store::StoreError;
use oauth2_store::model::SigningAlg;
use serde_json::json;

use super::text_format::Format;
use crate::app::direct::{Direct, operator};
use crate::cli::arguments::Json;
use crate::cli::progress::Progress;
use crate::cli::{exposure, output};
use crate::config::Config;
use crate::failure::Failure;
use crate::service::clients::import::{
    DuplicateCheck, ExistingClients, ImportOptions, ImportPlan, ImportRow, LineRange, RowError,
};
use crate::service::clients::import_notes::ImportNotes;
use crate::service::error::ServiceError;

mod rejected_rows;
mod secrets_file;
mod source;
mod translation;

use rejected_rows::RejectedRows;
use secrets_file::SecretsFile;
use source::{Rows, Source};
use translation::From;

/// Rows that are judged, and written, together.
const CHUNK: usize = 1000;

/// Attempts to write a chunk whose clients are being changed by others.
const ATTEMPTS: u32 = 3;

/// How long a commit whose answer was lost may take to appear: longer than Postgres runs a statement, which is 5 s, also if its connection
/// is lost.
const SETTLES_IN: Duration = Duration::from_secs(7);

/// How long a store that fails is read, to find out whether a chunk was stored, and the pause between two attempts.
const READ_AGAIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "one per flag")]
pub struct Import {
    /// File of clients; `-` is stdin.
    file: PathBuf,
    /// Format; by default that of the file's extension.
    #[arg(long, value_enum, conflicts_with = "from")]
    format: Option<Format>,
    #[command(flatten)]
    from: From,
    /// Import the valid rows; without this flag one rejected row prevents the whole import.
    #[arg(long)]
    skip_refused: bool,
    /// Leave clients that exist as they are.
    #[arg(long)]
    skip_existing: bool,
    /// Make clients that exist what their rows say, secrets included.
    #[arg(long, conflicts_with = "skip_existing")]
    overwrite: bool,
    /// Check every row and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Generate secrets for new clients without one, and write `client_id,secret` lines to this new file, which only its owner can
    /// read.
    #[arg(long, value_name = "FILE")]
    secrets_out: Option<PathBuf>,
    /// Write the line and reason of every rejected row to this file, one JSON object per line.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

#[derive(Default)]
struct Counts {
    created: u64,
    updated: u64,
    unchanged: u64,
    skipped: u64,
}

impl Counts {
    fn done(&self) -> u64 {
        self.created + self.updated + self.unchanged + self.skipped
    }
}

/// Rows that are judged or written together.
#[derive(Default)]
struct Chunk {
    rows: Vec<(LineRange, ImportRow)>,
    rejected: Vec<(LineRange, RowError)>,
    /// The file ended.
    is_last: bool,
}

/// The two passes over the file.
struct Importer<'a> {
    direct: Direct,
    options: &'a Import,
    rejected: RejectedRows,
    algorithms: HashSet<SigningAlg>,
    notes: ImportNotes,
    /// Some rows give secrets, or hashes of them.
    has_secrets: bool,
}

pub async fn run(config: &Config, options: &Import) -> Result<(), Failure> {
    let mut source = Source::open(&options.file, options.format, &options.from)?;
    let absolute = |path: &Path| path.canonicalize().ok();
    let report = options.report.as_deref().and_then(absolute);
    if report.is_some() && report == absolute(&options.file) {
        return Err(Failure::Invalid("--report must not be the imported file".to_owned()));
    }
    if let (Some(path), Some(translation)) = (&options.from.records_out, source.translation()) {
        return translation::write_records(translation, path, options.json);
    }
    // A dry run creates no database: its rows are checked against an empty one.
    let scratch = options.dry_run.then(|| Direct::scratch(config)).transpose()?.flatten();
    let config = scratch.as_ref().map_or(config, |scratch| &scratch.config);
    let mut importer = Importer {
        direct: Direct::open_or_create(config).await?,
        options,
        rejected: RejectedRows::new(options.report.as_deref(), source.names())?,
        algorithms: HashSet::new(),
        notes: ImportNotes::default(),
        has_secrets: false,
    };
    let valid = importer.judge(&mut source.rows()?).await?;
    if importer.has_secrets {
        let of_directory = source
            .translation()
            .map_or(&[][..], |translation| translation.files.as_slice());
        for file in std::iter::once(&options.file).chain(of_directory) {
            exposure::judge(config, file)?;
        }
    }
    let is_stopped = importer.rejected.count() > 0 && !options.skip_refused;
    let counts = if is_stopped || options.dry_run {
        Counts::default()
    } else {
        importer.ensure_keys(source.translation().is_some()).await?;
        importer.write(&mut source.rows()?, valid).await?
    };
    importer.conclude(&source, &counts, is_stopped, valid)
}

/// Whether a write that failed so may be stored later.
fn may_be_written(error: &ServiceError) -> bool {
    matches!(error, ServiceError::Store(StoreError::Timeout) | ServiceError::Ask(_))
}

impl Importer<'_> {
    /// The first pass: checks every row, also against the stored clients. Returns the number of valid rows.
    async fn judge(&mut self, rows: &mut Rows<'_>) -> Result<u64, Failure> {
        let (mut duplicates, mut valid) = (DuplicateCheck::default(), 0);
        let mut progress = Progress::new("rows checked", None);
        loop {
            let mut chunk = self.fill(rows, |row, line| duplicates.insert(row.client_id(), line))?;
            let plan = self.plan(&chunk.rows).await?;
            valid += chunk.rows.len() as u64 - plan.rejected.len() as u64;
            self.has_secrets |= chunk.rows.iter().any(|(_, row)| row.has_secret());
            self.notes.add(plan.notes);
            self.algorithms
                .extend(plan.written().filter_map(|client| client.signing_alg));
            chunk.rejected.extend(plan.rejected);
            chunk.rejected.sort_unstable();
            self.rejected.extend(chunk.rejected)?;
            progress.show(valid);
            if chunk.is_last {
                break;
            }
        }
        self.rejected.flush()?;
        Ok(valid)
    }

    /// Reads a chunk, without rows that were rejected before.
    fn fill(
        &self,
        rows: &mut Rows<'_>,
        mut check: impl FnMut(&ImportRow, u64) -> Result<(), RowError>,
    ) -> Result<Chunk, Failure> {
        let mut chunk = Chunk::default();
        while chunk.rows.len() + chunk.rejected.len() < CHUNK {
            let Some((lines, row)) = rows.read_next()? else {
                chunk.is_last = true;
                break;
            };
            if self.rejected.contains(lines.first) {
                continue;
            }
            match row.and_then(|row| check(&row, lines.first).map(|()| row)) {
                Ok(row) => chunk.rows.push((lines, row)),
                Err(error) => chunk.rejected.push((lines, error)),
            }
        }
        Ok(chunk)
    }

    async fn plan(&self, rows: &[(LineRange, ImportRow)]) -> Result<ImportPlan, Failure> {
        let Import {
            skip_existing,
            overwrite,
            ..
        } = *self.options;
        let options = ImportOptions {
            generate_secrets: self.options.secrets_out.is_some(),
            existing: ExistingClients::from_switches(skip_existing, overwrite).unwrap_or_default(),
        };
        let clients = &self.direct.services.clients;
        Ok(clients.plan_import(rows, options, self.direct.deadline()).await?)
    }

    /// Makes the keys that the clients need. A move that ends with clients without a key is not begun.
    async fn ensure_keys(&self, is_export: bool) -> Result<(), Failure> {
        let clients = &self.direct.services.clients;
        let without_key = clients
            .ensure_keys_for_import(&operator(), &self.algorithms, self.direct.deadline())
            .await?;
        if without_key.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = without_key.iter().map(ToString::to_string).collect();
        let text = format!(
            "no key can be made for {}, because there is no key encryption key yet: start the server once, or set \
             OAUTH2_KEY_ENCRYPTION_KEY",
            names.join(", ")
        );
        if is_export {
            return Err(Failure::Environment(format!(
                "{text}, and import the clients then; nothing was imported"
            )));
        }
        output::warnings(&[text]);
        Ok(())
    }

    /// The second pass.
    async fn write(&mut self, rows: &mut Rows<'_>, total: u64) -> Result<Counts, Failure> {
        let mut secrets = self
            .options
            .secrets_out
            .as_deref()
            .map(SecretsFile::create)
            .transpose()?;
        let mut counts = Counts::default();
        let mut progress = Progress::new("clients", Some(total));
        loop {
            let chunk = self.fill(rows, |_, _| Ok(()))?;
            let done = counts.done();
            let plan = self.write_chunk(&chunk.rows, secrets.as_mut()).await;
            let plan = plan.map_err(|failure| self.interrupted(failure, done, total))?;
            counts.created += plan.new.len() as u64;
            counts.updated += plan.changed.len() as u64;
            counts.unchanged += plan.unchanged;
            counts.skipped += plan.skipped;
            self.rejected.extend(chunk.rejected)?;
            self.rejected.extend(plan.rejected)?;
            progress.show(counts.done());
            if chunk.is_last {
                self.rejected.flush()?;
                return Ok(counts);
            }
        }
    }

    async fn write_chunk(
        &self,
        rows: &[(LineRange, ImportRow)],
        mut secrets: Option<&mut SecretsFile>,
    ) -> Result<ImportPlan, Failure> {
        let clients = &self.direct.services.clients;
        let mut attempt = 1;
        loop {
            let plan = self.plan(rows).await?;
            // Written before the clients: the secret of a stored client must not be lost.
            let began_at = secrets.as_mut().map(|file| file.append(&plan.secrets)).transpose()?;
            let written = clients.write_import(&operator(), &plan, self.direct.deadline()).await;
            let error = match written {
                Ok(()) => return Ok(plan),
                Err(error) => error,
            };
            let is_conflict = matches!(error, ServiceError::Conflict(_));
            if let (Some(file), Some(began_at)) = (secrets.as_mut(), began_at)
                && !plan.secrets.is_empty()
            {
                if !is_conflict && self.is_stored(&plan, &error).await? {
                    return Ok(plan);
                }
                if may_be_written(&error) {
                    let lines = plan.secrets.len();
                    let failure = Failure::from(error);
                    let text = format!(
                        "{failure}; the last {lines} lines of --secrets-out may name clients that are not stored"
                    );
                    return Err(failure.with_text(text));
                }
                // Nothing was written, and the next plan generates other secrets, perhaps for other clients.
                file.discard(began_at)?;
            }
            if !is_conflict || attempt == ATTEMPTS {
                return Err(error.into());
            }
            attempt += 1;
        }
    }

    /// Whether a chunk was stored although it failed, such as when the answer of the database was lost: its clients are stored together, and
    /// the file of secrets must name those of stored clients and no others.
    async fn is_stored(&self, plan: &ImportPlan, error: &ServiceError) -> Result<bool, Failure> {
        let Some((client_id, secret)) = plan.secrets.first() else {
            return Ok(false);
        };
        let clients = &self.direct.services.clients;
        let began = Instant::now();
        loop {
            match clients.has_secret(client_id, secret, self.direct.deadline()).await {
                Ok(true) => return Ok(true),
                Ok(false) if began.elapsed() >= SETTLES_IN => return Ok(false),
                Ok(false) => tokio::time::sleep(PAUSE).await,
                Err(_) if began.elapsed() < READ_AGAIN => tokio::time::sleep(PAUSE).await,
                Err(unread) => {
                    return Err(Failure::Environment(format!(
                        "{error}; whether the last {} lines of --secrets-out are of stored clients is not known, because the store cannot be \
                         read: {unread}",
                        plan.secrets.len()
                    )));
                }
            }
        }
    }

    /// Adds to a failure how far the import came. What was written is consistent, and is found unchanged by another import.
    fn interrupted(&self, failure: Failure, done: u64, total: u64) -> Failure {
        let file = if self.options.secrets_out.is_some() {
            " with another file for --secrets-out, and keep this one: if both name a client, the secret of the later file is valid"
        } else {
            ""
        };
        let text =
            format!("{failure}; {done} of {total} rows were imported before; to continue, run the command again{file}");
        failure.with_text(text)
    }

    fn conclude(&self, source: &Source, counts: &Counts, is_stopped: bool, valid: u64) -> Result<(), Failure> {
        self.rejected.print();
        let rejected = self.rejected.count();
        let warnings = self.notes.sentences();
        output::warnings(&warnings);
        let translation = source.translation();
        if self.options.json.json {
            let mut result = json!({
                "created": counts.created, "updated": counts.updated, "unchanged": counts.unchanged, "skipped": counts.skipped,
                "refused": rejected,
            });
            if !warnings.is_empty() {
                result["warnings"] = warnings.into();
            }
            if let Some(translation) = translation {
                result["translation"] = translation::as_json(translation);
            }
            output::json(&result)?;
        } else if self.options.dry_run {
            translation.map_or(Ok(()), translation::print)?;
            output::text_line(&format!(
                "{valid} rows are valid, {rejected} are rejected; nothing was changed"
            ))?;
        } else {
            translation.map_or(Ok(()), translation::print_omitted)?;
            output::text_line(&format!(
                "{} clients created, {} updated, {} unchanged, {} skipped, {rejected} rejected",
                counts.created, counts.updated, counts.unchanged, counts.skipped
            ))?;
        }
        if rejected == 0 {
            return Ok(());
        }
        let consequence = if is_stopped && !self.options.dry_run {
            ", so nothing was imported; --skip-refused imports the others"
        } else {
            ""
        };
        Err(Failure::Invalid(format!("{rejected} rows are rejected{consequence}")))
    }
}
