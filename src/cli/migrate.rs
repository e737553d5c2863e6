//! `migrate`.

use super::output;
use crate::app::direct;
use crate::config::Config;
use crate::failure::Failure;

pub async fn run(config: &Config) -> Result<(), Failure> {
    let done = direct::migrate(config).await?;
    let (store, version) = (done.store, done.version);
    output::text_line(&match done.applied {
        0 => format!("{store}: the schema has version {version} already"),
        1 => format!("{store}: 1 migration applied, the schema has version {version}"),
        applied => format!("{store}: {applied} migrations applied, the schema has version {version}"),
    })
}
