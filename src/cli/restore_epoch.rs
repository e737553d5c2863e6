//! `restore-epoch`: what must happen after a restore, before the server gets requests.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use clap::Args;

use super::arguments::Json;
use super::output;
use crate::app::direct::{Direct, operator};
use crate::config::Config;
use crate::failure::Failure;
use crate::service::restore::history::History;
use crate::service::restore::{Outcome, RestoreOptions};

#[derive(Debug, Args)]
pub struct RestoreEpoch {
    /// Audit rows that were kept outside of the store: the server's log as JSON lines, or the output of `audit list --json`. May repeat.
    #[arg(long, value_name = "FILE")]
    audit_log: Vec<PathBuf>,
    /// Remove the secrets of all clients: without audit rows, any of them may be one that was replaced after the backup.
    #[arg(long)]
    expire_secrets: bool,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    json: Json,
}

pub async fn run(config: &Config, options: &RestoreEpoch) -> Result<(), Failure> {
    let mut history = History::default();
    for path in &options.audit_log {
        let invalid = |problem: String| Failure::Invalid(format!("--audit-log {} {problem}", path.display()));
        let file = File::open(path).map_err(|error| invalid(format!("cannot be read: {error}")))?;
        history.read(BufReader::new(file)).map_err(invalid)?;
    }
    let direct = Direct::open(config).await?;
    let how = RestoreOptions {
        expire_secrets: options.expire_secrets,
        dry_run: options.dry_run,
    };
    let restore = &direct.services.restore;
    let outcome = restore.run(&operator(), &history, how, direct.deadline()).await?;
    if options.audit_log.is_empty() && !options.expire_secrets {
        let warning = "without --audit-log, secrets that were replaced after the backup are valid, and clients that were changed, disabled or deleted \
             after it are as they were before";
        output::warnings(&[warning.to_owned()]);
    }
    if history.skipped > 0 {
        let warning = format!(
            "{} lines are no complete JSON objects, and were skipped",
            history.skipped
        );
        output::warnings(&[warning]);
    }
    if options.json.json {
        return output::json(&outcome);
    }
    print(&outcome, history.rows)
}

fn print(outcome: &Outcome, rows: u64) -> Result<(), Failure> {
    let lists = [
        ("changed again", &outcome.changed),
        ("deleted again", &outcome.deleted),
        (
            "without a valid secret: rotate it, and hand it over",
            &outcome.without_secret,
        ),
        ("created after the backup: register them again", &outcome.missing),
        ("groups whose limits were set again", &outcome.groups),
        ("keys revoked again", &outcome.revoked_keys),
    ];
    output::text_line(&format!("audit rows of clients and keys: {rows}"))?;
    for (title, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        output::text_line(&format!("{title}: {}", names.len()))?;
        for name in names {
            output::text_line(&format!("  {}", output::escape_terminal(name)))?;
        }
    }
    output::text_line(&match outcome.revoked_before_ms {
        Some(at) => format!(
            "every token issued before {} is revoked",
            output::date((at / 1000) as i64)
        ),
        None => "every token would be revoked".to_owned(),
    })
}
