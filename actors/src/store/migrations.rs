//! The migrations of both stores, embedded, and the check that a schema is one this binary made.

use refinery::{Migration, Runner};

use super::Result;
use crate::error::StoreError;

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

/// Reads the history, oldest first, on either store.
pub(super) const HISTORY: &str = "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version";

/// The runner for a kind of store. A migration and its history row are one transaction, so a kill never leaves half of one.
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

/// A migration that found something in its way: tables that it did not make.
pub(super) fn in_the_way(what: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "the migration failed: {what}: point it at a database of its own"
    ))
}

/// The newest version this binary knows.
pub(super) fn latest(kind: &str) -> i64 {
    runner(kind)
        .get_migrations()
        .iter()
        .map(|m| i64::from(m.version()))
        .max()
        .unwrap_or(0)
}

/// The steps that follow a version, in their order.
pub(super) fn after(kind: &str, version: Option<i64>) -> Vec<Migration> {
    let mut steps = runner(kind).get_migrations().clone();
    steps.retain(|step| version.is_none_or(|version| i64::from(step.version()) > version));
    steps.sort_unstable_by_key(Migration::version);
    steps
}

/// Whether what was applied is a beginning of what this binary would apply; answers the version reached.
pub(super) fn check(kind: &str, applied: &[Applied]) -> Result<Option<i64>> {
    let runner = runner(kind);
    let latest = latest(kind);
    let Some(last) = applied.last() else { return Ok(None) };
    if last.version > latest {
        return Err(StoreError::Corrupt(format!(
            "the schema is at version {} and this binary knows versions up to {latest}: run a newer binary",
            last.version
        )));
    }
    for row in applied {
        let known = runner.get_migrations().iter().any(|m| {
            i64::from(m.version()) == row.version && m.name() == row.name && m.checksum().to_string() == row.checksum
        });
        if !known {
            return Err(StoreError::Corrupt(format!(
                "version {} of the schema is not the one this binary would have made: point it at a database of its own",
                row.version
            )));
        }
    }
    Ok(Some(last.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_stores_have_the_same_versions_and_names() {
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
