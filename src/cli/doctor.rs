//! `doctor`: what an operator would check by hand.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use oauth2_actors::store::Store;
use serde::Serialize;
use serde_json::json;

use super::store::now_ms;
use super::{Json, output};
use crate::config::{Config, embedded};
use crate::failure::Failure;
use crate::tokens::keyring::Keyring;

/// A store whose clock differs by more than this gives tokens another life than the one asked for.
const MAX_CLOCK_DIFFERENCE_MS: u64 = 2_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warning,
    Skipped,
    Failed,
}

#[derive(Debug, Serialize)]
struct Check {
    #[serde(rename = "check")]
    name: &'static str,
    status: Status,
    detail: String,
}

/// What one check found: a detail, or what is wrong.
type Finding = Result<String, String>;

#[derive(Default)]
struct Report(Vec<Check>);

impl Report {
    fn add(&mut self, name: &'static str, finding: Finding) -> bool {
        let (status, detail) = match finding {
            Ok(detail) => (Status::Ok, detail),
            Err(detail) => (Status::Failed, detail),
        };
        self.0.push(Check { name, status, detail });
        status == Status::Ok
    }

    fn warn(&mut self, name: &'static str, detail: String) {
        self.0.push(Check {
            name,
            status: Status::Warning,
            detail,
        });
    }

    fn skip(&mut self, name: &'static str, why: &str) {
        self.0.push(Check {
            name,
            status: Status::Skipped,
            detail: why.to_owned(),
        });
    }
}

pub async fn run(config: &Config, json: Json) -> Result<(), Failure> {
    let mut report = Report::default();
    match config.warnings.as_slice() {
        [] => _ = report.add("configuration", Ok("good".to_owned())),
        warnings => report.warn("configuration", warnings.join("; ")),
    }
    check_files(config, &mut report);
    check_store(config, &mut report).await;
    let failed = report.0.iter().filter(|check| check.status == Status::Failed).count();
    if json.json {
        output::json(&json!({ "ok": failed == 0, "checks": report.0 }))?;
    } else {
        let row = |check: &Check| {
            let status = match check.status {
                Status::Ok => "ok",
                Status::Warning => "warning",
                Status::Skipped => "skipped",
                Status::Failed => "FAILED",
            };
            vec![check.name.to_owned(), status.to_owned(), check.detail.clone()]
        };
        let rows: Vec<_> = report.0.iter().map(row).collect();
        output::table(&["CHECK", "STATUS", "DETAIL"], &rows)?;
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::Environment("1 check failed".to_owned())),
        _ => Err(Failure::Environment(format!("{failed} checks failed"))),
    }
}

/// Nobody else can read what is secret beside an embedded store.
fn check_files(config: &Config, report: &mut Report) {
    let Some(directory) = config.database.data_directory() else {
        return report.skip("files", "nothing on disk: the store is Postgres");
    };
    if !directory.exists() {
        return report.skip(
            "files",
            &format!("{} will be made by the first start", directory.display()),
        );
    }
    for name in [embedded::ADMIN_TOKEN_FILE, embedded::KEY_ENCRYPTION_KEY_FILE] {
        if let Err(error) = embedded::read(&directory.join(name)) {
            report.add("files", Err(error.to_string()));
            return;
        }
    }
    let open = |path: &Path| mode(path).is_some_and(|mode| mode & 0o077 != 0);
    match config.database.sqlite_path() {
        Some(path) if open(path) && open(&directory) => {
            let directory = directory.display();
            report.warn(
                "files",
                format!("others can read the database; run: chmod 700 {directory}"),
            );
        }
        _ => _ = report.add("files", Ok(format!("{} is private", directory.display()))),
    }
}

fn mode(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|metadata| metadata.mode())
}

async fn check_store(config: &Config, report: &mut Report) {
    if let Some(path) = config.database.sqlite_path()
        && !path.exists()
    {
        // Opening would make the file, and a look must change nothing.
        report.skip("store", &format!("{} will be made by the first start", path.display()));
        return;
    }
    let opened = match Store::open(config.database.options()).await {
        Ok(store) => store.ping().await.map(|clock| (store, clock)),
        Err(error) => Err(error),
    };
    let (store, clock) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            report.add("store", Err(error.to_string()));
            return;
        }
    };
    let protection = store.protection().map_or_else(String::new, |how| format!("; {how}"));
    report.add("store", Ok(format!("{} answers{protection}", store.kind())));
    let difference = now_ms().abs_diff(clock);
    let finding = format!("the store's clock differs by {difference} ms");
    report.add(
        "clock",
        if difference > MAX_CLOCK_DIFFERENCE_MS {
            Err(finding)
        } else {
            Ok(finding)
        },
    );
    if report.add("schema", schema(&store).await) {
        check_keys(config, &store, report).await;
    }
}

async fn schema(store: &Store) -> Finding {
    let wanted = store.wanted_schema_version();
    match store.schema_version().await.map_err(|error| error.to_string())? {
        Some(version) if version == wanted => Ok(format!("version {version}")),
        Some(version) => Err(format!(
            "version {version}, wanted {wanted}; run: oauth2_server migrate"
        )),
        None => Err("there is none; run: oauth2_server migrate".to_owned()),
    }
}

async fn check_keys(config: &Config, store: &Store, report: &mut Report) {
    let keys = match store.keys().await {
        Ok(keys) => keys,
        Err(error) => {
            report.add("keys", Err(error.to_string()));
            return;
        }
    };
    if keys.is_empty() {
        return report.skip("keys", "there are none yet: the first start makes them");
    }
    let seals = match embedded::existing_seals(config) {
        Ok(seals) => seals,
        Err(error) => {
            report.add("keys", Err(error.to_string()));
            return;
        }
    };
    let Some(seals) = seals else {
        report.add(
            "keys",
            Err("the key-encryption key that opens the signing keys is missing".to_owned()),
        );
        return;
    };
    let (_, useless) = Keyring::open_what_opens(&config.issuer, &seals, &keys, None, Duration::ZERO);
    if !useless.is_empty() {
        let count = format!("{} of {} signing keys cannot be signed with", useless.len(), keys.len());
        let why: Vec<String> = useless.iter().map(ToString::to_string).collect();
        report.add("keys", Err(format!("{count}: {}", why.join("; "))));
        return;
    }
    let stale = keys.iter().filter(|key| !seals.is_current(key)).count();
    if stale > 0 {
        let detail = format!(
            "{stale} of {} signing keys are sealed under the key before; run: oauth2_server key rewrap",
            keys.len()
        );
        return report.warn("keys", detail);
    }
    let idle = if seals.previous.is_some() {
        "; OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS is of no more use"
    } else {
        ""
    };
    report.add("keys", Ok(format!("{} signing keys open{idle}", keys.len())));
}
