//! `apply`: makes the stored clients what files say. The plan is shown, then written: in chunks, one transaction each. A second run
//! finds everything unchanged and writes nothing.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::arguments::Json;
use crate::app::direct::{Direct, operator};
use crate::config::Config;
use crate::failure::Failure;
use crate::service::clients::MAX_OVERLAP;
use crate::service::clients::apply::declaration::{Action, ApplyOptions, SecretChange};
use crate::service::clients::apply::{ApplyPlan, CHUNK, Step};

mod files;
mod render;
mod secret_files;

use render::Counts;
use secret_files::SecretsDirectory;

/// Errors that are printed.
const PRINTED: usize = 20;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "one per flag")]
pub struct Apply {
    /// YAML or JSON file of clients, by its extension; a directory of such files; or - for YAML on stdin; may repeat.
    #[arg(short, long = "file", value_name = "PATH", required = true)]
    files: Vec<PathBuf>,
    /// Owner of the clients of files that name none.
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Delete the clients of the files' owners that no file describes, and revoke their tokens.
    #[arg(long)]
    prune: bool,
    /// Take over clients that another owner or nobody manages.
    #[arg(long)]
    adopt: bool,
    /// Print what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Exit with 1 if something would change.
    #[arg(long, requires = "dry_run")]
    exit_code: bool,
    /// Wait up to this time for secret files that are not there yet, such as 30s or 5m.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    wait: Option<Duration>,
    /// Generate secrets for new clients without one, and write each to a file in this directory, which only its owner can read.
    #[arg(long, value_name = "DIRECTORY")]
    secrets_out: Option<PathBuf>,
    /// Rotate secrets that differ from the stored ones; those remain valid for these seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(0..=MAX_OVERLAP))]
    secret_overlap: Option<i64>,
    #[command(flatten)]
    json: Json,
}

/// Reads a number of seconds, or a number with `ms`, `s` or `m`.
fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
    let milliseconds = match unit {
        "ms" => Some(1),
        "" | "s" => Some(1000),
        "m" => Some(60_000),
        _ => None,
    };
    number
        .zip(milliseconds)
        .map(|(number, unit)| Duration::from_millis(number.saturating_mul(unit)))
        .ok_or_else(|| "must be a number of seconds, or a number with ms, s or m, such as 30s or 5m".to_owned())
}

pub async fn run(config: &Config, options: &Apply) -> Result<(), Failure> {
    let mut documents = files::read(config, &options.files, options.owner.as_deref())?;
    documents.reject_duplicates();
    reject(&documents.errors)?;
    let secrets = options.secrets_out.as_deref().map(SecretsDirectory::new);
    let errors = secret_files::resolve(config, &mut documents.clients, secrets.as_ref(), options.wait).await;
    reject(&errors)?;

    let direct = if options.dry_run {
        Direct::open(config).await?
    } else {
        Direct::open_or_create(config).await?
    };
    let choices = ApplyOptions {
        generate_secrets: secrets.is_some(),
        adopt: options.adopt,
        prune: options.prune,
        overlap: options.secret_overlap,
    };
    let clients = &direct.services.clients;
    let mut plan = clients
        .plan_apply(&documents.clients, &documents.owners, choices, direct.deadline())
        .await?;
    reject(&plan.rejected)?;
    let counts = Counts::of(&plan);
    if !options.json.json {
        render::plan(&plan)?;
    }
    if !options.dry_run && counts.changes() > 0 {
        write(&direct, &mut plan, secrets.as_ref(), &counts).await?;
    }
    render::result(&plan, &counts, options.dry_run, options.json)?;
    conclude(&plan, &counts, options)
}

/// Fails if there is an error.
fn reject(errors: &[String]) -> Result<(), Failure> {
    if errors.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> = errors.iter().take(PRINTED).cloned().collect();
    if errors.len() > PRINTED {
        lines.push(format!("and {} more errors", errors.len() - PRINTED));
    }
    lines.push("nothing was changed".to_owned());
    Err(Failure::Invalid(lines.join("\n")))
}

async fn write(
    direct: &Direct,
    plan: &mut ApplyPlan,
    secrets: Option<&SecretsDirectory>,
    counts: &Counts,
) -> Result<(), Failure> {
    let (clients, operator) = (&direct.services.clients, operator());
    clients
        .ensure_keys_for_apply(&operator, plan, direct.deadline())
        .await?;
    let mut done = 0;
    let interrupted = |failure: Failure, done: usize| {
        let text = format!(
            "{failure}; {done} of {} changes were written before; run the command again",
            counts.changes()
        );
        failure.with_text(text)
    };
    for chunk in plan.steps.chunks_mut(CHUNK) {
        if let Some(secrets) = secrets {
            // Written before the clients: the secret of a stored client must not be lost.
            let generated = chunk.iter_mut().filter(|step| step.secret == SecretChange::Generated);
            for step in generated {
                let secret = secrets.generate(&step.client_id);
                step.set_generated_secret(&secret.map_err(|failure| interrupted(failure, done))?);
            }
        }
        let is_written = |step: &&Step| matches!(step.action, Action::Create(_) | Action::Update(_));
        let steps: Vec<&Step> = chunk.iter().filter(is_written).collect();
        let written = clients.write_apply(&operator, &steps, direct.deadline()).await;
        written.map_err(|error| interrupted(error.into(), done))?;
        done += steps.len();
    }
    for step in plan
        .steps
        .iter()
        .filter(|step| matches!(step.action, Action::Delete(_)))
    {
        let deleted = clients.delete_for_apply(&operator, step, direct.deadline()).await;
        deleted.map_err(|error| interrupted(error.into(), done))?;
        done += 1;
    }
    Ok(())
}

/// The exit code.
fn conclude(plan: &ApplyPlan, counts: &Counts, options: &Apply) -> Result<(), Failure> {
    let pending = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Pending(file) => Some(format!("{} ({file})", step.client_id)),
        _ => None,
    });
    let pending: Vec<String> = pending.collect();
    if !pending.is_empty() {
        return Err(Failure::Environment(format!(
            "these clients were not changed, because their secret files are not there yet: {}; run the command again, or \
             wait for the files with --wait",
            pending.join(", ")
        )));
    }
    if options.exit_code && counts.changes() > 0 {
        return Err(Failure::Found(format!("{} clients would change", counts.changes())));
    }
    Ok(())
}
