//! `migrate`.

use super::{output, store};
use crate::config::Config;
use crate::failure::Failure;

pub async fn run(config: &Config) -> Result<(), Failure> {
    let (store, steps) = store::migrate(config).await?;
    let version = store.wanted_schema_version();
    output::text_line(&match steps {
        0 => format!("{}: the schema has version {version} already", store.kind()),
        1 => format!(
            "{}: 1 migration applied, the schema has version {version}",
            store.kind()
        ),
        _ => format!(
            "{}: {steps} migrations applied, the schema has version {version}",
            store.kind()
        ),
    })
}
