//! The embedded migrations of both backends, and the check that a schema was created by this program.

use refinery::{Migration, Runner};

use crate::error::{Result, StoreError};

mod for_postgres {
    refinery::embed_migrations!("../migrations/postgres");
}

mod for_sqlite {
    refinery::embed_migrations!("../migrations/sqlite");
}

/// One row of refinery's history table.
pub(super) struct Applied {
    pub(super) version: i64,
    pub(super) name: String,
    pub(super) checksum: String,
}

/// Migrations whose name begins like this only add what earlier programs do not miss: those run on them. So nodes of two versions can be
/// started during an upgrade, and an upgrade can be taken back.
const ADDITION: &str = "add_";

/// Selects the history, oldest first, on either backend.
pub(super) const HISTORY: &str = "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version";

/// The migration runner of a backend. A migration and its history row are one transaction, so a killed process leaves both
/// or neither.
pub(super) fn runner(kind: &str) -> Runner {
    let runner = if kind == "postgres" {
        for_postgres::migrations::runner()
    } else {
        for_sqlite::migrations::runner()
    };
    runner
        .set_abort_divergent(true)
        .set_abort_missing(true)
        .set_grouped(true)
}

/// The error of a migration whose tables exist already although it was never applied.
pub(super) fn table_exists(what: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "the migration failed: {what}: use a database of its own for the server"
    ))
}

/// The newest schema version that this binary supports.
pub(super) fn latest(kind: &str) -> i64 {
    runner(kind)
        .get_migrations()
        .iter()
        .map(|m| i64::from(m.version()))
        .max()
        .unwrap_or(0)
}

/// The migrations newer than a version, in order; all of them for `None`.
pub(super) fn after(kind: &str, version: Option<i64>) -> Vec<Migration> {
    let mut steps = runner(kind).get_migrations().clone();
    steps.retain(|step| version.is_none_or(|version| i64::from(step.version()) > version));
    steps.sort_unstable_by_key(Migration::version);
    steps
}

/// Checks that the applied migrations are this binary's, and that later ones are additions. Returns the version reached of those that this
/// binary knows, `None` before the first.
pub(super) fn check(kind: &str, applied: &[Applied]) -> Result<Option<i64>> {
    let runner = runner(kind);
    let latest = latest(kind);
    let Some(last) = applied.last() else { return Ok(None) };
    let later = applied.iter().filter(|row| row.version > latest);
    if later.clone().any(|row| !row.name.starts_with(ADDITION)) {
        return Err(StoreError::Corrupt(format!(
            "the schema is at version {} and this binary supports versions up to {latest}: run a newer binary",
            last.version
        )));
    }
    for row in applied.iter().filter(|row| row.version <= latest) {
        let known = runner.get_migrations().iter().any(|m| {
            i64::from(m.version()) == row.version && m.name() == row.name && m.checksum().to_string() == row.checksum
        });
        if !known {
            return Err(StoreError::Corrupt(format!(
                "schema version {} was not created by this program: use a database of its own for the server",
                row.version
            )));
        }
    }
    Ok(Some(last.version.min(latest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_backends_have_the_same_versions_and_names() {
        let names = |kind| {
            let runner = runner(kind);
            let mut all: Vec<_> = runner
                .get_migrations()
                .iter()
                .map(|m| (m.version(), m.name().to_owned()))
                .collect();
            all.sort();
            all
        };
        assert_eq!(names("postgres"), names("sqlite"));
        assert_eq!(
            latest("postgres"),
            names("postgres").len() as i64,
            "versions have no gap"
        );
    }
}
