//! The store as a subcommand needs it: there, and with this version's schema.

use std::time::{SystemTime, UNIX_EPOCH};

use oauth2_actors::model::AuditEntry;
use oauth2_actors::store::Store;
use serde_json::Value;

use crate::config::{self, Config, embedded};
use crate::failure::Failure;

/// Opens a store that was migrated before.
pub async fn open(config: &Config) -> Result<Store, Failure> {
    if let Some(path) = config.database.sqlite_path()
        && !path.exists()
    {
        let problem = format!(
            "there is no store at {} yet; run: oauth2_server migrate",
            path.display()
        );
        return Err(Failure::Environment(problem));
    }
    let store = Store::open(config.database.options()).await?;
    let wanted = store.wanted_schema_version();
    match store.schema_version().await? {
        Some(version) if version == wanted => Ok(store),
        Some(version) => Err(Failure::Environment(format!(
            "the store's schema has version {version} and this program wants {wanted}; run: oauth2_server migrate"
        ))),
        None => Err(Failure::Environment(
            "the store has no schema yet; run: oauth2_server migrate".to_owned(),
        )),
    }
}

/// Opens a store; an embedded one that is not there yet is made first.
pub async fn open_or_make(config: &Config) -> Result<Store, Failure> {
    if config.database.sqlite_path().is_some_and(|path| !path.exists()) {
        migrate(config).await?;
    }
    open(config).await
}

/// Makes the data directory of an embedded store and brings the schema up to date; answers how many steps were taken.
pub async fn migrate(config: &Config) -> Result<(Store, usize), Failure> {
    embedded::make_data_directory(config)?;
    let store = Store::open(config.database.options()).await?;
    let steps = store.migrate().await?;
    Ok((store, steps))
}

/// Unix milliseconds.
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// Unix seconds.
pub fn now() -> i64 {
    (now_ms() / 1000) as i64
}

/// What the audit log is told of a change made from the command line.
pub fn audit(action: &'static str, detail: Value) -> AuditEntry {
    AuditEntry {
        actor: format!("cli:{}", config::operator()),
        action,
        detail,
    }
}

/// "There is no client …".
pub fn no_such_client(id: &str) -> Failure {
    Failure::Refused(format!("there is no client {id:?}"))
}
