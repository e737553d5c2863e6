//! `doctor`: the first checks for a person on call, each with the runbook to open.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use clap::Args;
use oauth2_actors::runtime::clock::{Clock, SystemClock};
use serde_json::json;

use super::arguments::Json;
use super::management::Management;
use super::output;
use crate::app::{direct, fallback};
use crate::config::{Config, embedded};
use crate::failure::Failure;
use crate::service::diagnosis::{Check, Diagnosis, Status};

mod backups;
mod certificates;
mod production;
mod server;

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    production: production::Production,
    #[command(flatten)]
    json: Json,
}

/// Runs every check. Fails if one fails; warnings do not.
pub async fn run(config: &Config, options: &Doctor) -> Result<(), Failure> {
    let json = options.json;
    let mut checks = vec![configuration(config), files(config)];
    checks.extend(certificates::check(config));
    let (of_store, opened) = store(config).await;
    checks.extend(of_store);
    checks.extend(redis(config).await);
    checks.extend(fallback_introspection(config).await);
    checks.extend(server::check(&Management::of(config)));
    checks.extend(options.production.checks(config, opened.as_ref()).await);
    let failed = checks.iter().filter(|check| check.status == Status::Failed).count();
    if json.json {
        output::json(&json!({ "ok": failed == 0, "checks": checks }))?;
    } else {
        let rows: Vec<_> = checks.iter().map(row).collect();
        output::table(&["CHECK", "STATUS", "DETAIL", "RUNBOOK"], &rows)?;
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::Found("1 check failed".to_owned())),
        _ => Err(Failure::Found(format!("{failed} checks failed"))),
    }
}

fn row(check: &Check) -> Vec<String> {
    let status = match check.status {
        Status::Ok => "ok",
        Status::Warning => "warning",
        Status::Skipped => "skipped",
        Status::Failed => "FAILED",
    };
    let runbook = check.runbook.clone().unwrap_or_default();
    vec![check.name.to_owned(), status.to_owned(), check.detail.clone(), runbook]
}

fn configuration(config: &Config) -> Check {
    let (status, detail) = match config.warnings.as_slice() {
        [] => (Status::Ok, "valid".to_owned()),
        warnings => (Status::Warning, warnings.join("; ")),
    };
    Check::new("configuration", status, detail)
}

/// Whether only the owner can read the secrets next to an embedded store.
fn files(config: &Config) -> Check {
    let check = |status, detail: String| Check::new("files", status, detail);
    let Some(directory) = config.database.data_directory() else {
        return check(Status::Skipped, "the store is Postgres: there are no files".to_owned());
    };
    if !directory.exists() {
        let detail = format!("{} does not exist: the first start creates it", directory.display());
        return check(Status::Skipped, detail);
    }
    for name in [embedded::ADMIN_TOKEN_FILE, embedded::KEY_ENCRYPTION_KEY_FILE] {
        if let Err(error) = embedded::read(&directory.join(name)) {
            return check(Status::Failed, error.to_string());
        }
    }
    let is_open = |path: &Path| mode(path).is_some_and(|mode| mode & 0o077 != 0);
    let directory_name = directory.display();
    match config.database.sqlite_path() {
        Some(path) if is_open(path) && is_open(&directory) => check(
            Status::Warning,
            format!("other users can read the database; run: chmod 700 {directory_name}"),
        ),
        _ => check(Status::Ok, format!("only the owner can read {directory_name}")),
    }
}

/// The Redis that nodes share. Without it the server runs as well, so it is a warning at most unless it is required.
async fn redis(config: &Config) -> Option<Check> {
    let redis = config.redis.as_ref()?;
    let status = if redis.is_required {
        Status::Failed
    } else {
        Status::Warning
    };
    let check = match redis.options.check().await {
        Ok(version) => Check::new("redis", Status::Ok, format!("version {version} responds")),
        Err(problem) => Check::new("redis", status, problem.text()),
    };
    Some(check.with_runbook("OAuth2BusDown"))
}

/// The introspection endpoint of the previous issuer.
async fn fallback_introspection(config: &Config) -> Option<Check> {
    let options = config.fallback.as_ref()?;
    let check = |status, detail: String| Some(Check::new("fallback introspection", status, detail));
    let until = output::date(options.until);
    if SystemClock.unix_ms() / 1000 >= options.until.max(0).unsigned_abs() {
        let detail = format!("it ended at {until}: remove OAUTH2_FALLBACK_INTROSPECTION_URL");
        return check(Status::Warning, detail);
    }
    match fallback::check(options).await {
        Ok(()) => check(
            Status::Ok,
            format!("the previous issuer answers, and is asked until {until}"),
        ),
        Err(problem) => check(Status::Failed, format!("{} cannot be used: {problem}", options.url)),
    }
}

fn mode(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|metadata| metadata.mode())
}

/// The checks of the store, and its diagnosis if it can be opened.
async fn store(config: &Config) -> (Vec<Check>, Option<Diagnosis>) {
    if let Err(error) = direct::check_files(config) {
        return (vec![Check::new("store", Status::Failed, error.to_string())], None);
    }
    if let Some(path) = config.database.sqlite_path()
        && !path.exists()
    {
        // Opening would create the file, and a check must change nothing.
        let detail = format!("{} does not exist: the first start creates it", path.display());
        return (vec![Check::new("store", Status::Skipped, detail)], None);
    }
    match direct::diagnose(config).await {
        Ok(diagnosis) => (diagnosis.run().await, Some(diagnosis)),
        Err(error) => {
            let check = Check::new("store", Status::Failed, error.to_string());
            (vec![check.with_runbook("OAuth2StoreUnavailable")], None)
        }
    }
}
