//! The composition root: configuration to store, actors and listeners.

use crate::config::Config;
use crate::failure::Failure;

/// How to serve, beyond the configuration.
#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// Whether the schema is brought up to date first.
    pub migrate: bool,
}

/// Serves until a signal ends it.
pub fn serve(_config: Config, _options: ServeOptions) -> Result<(), Failure> {
    Err(Failure::Environment("serving is not built in yet".to_owned()))
}
