//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The environment variable of this name.
    Environment(String),
    /// The configuration file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
}

impl Origin {
    /// `default`, `env` or `file`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Environment(_) => "env",
            Self::File { .. } => "file",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// One thing that is wrong. The text never holds the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A name outside the table.
    #[error("unknown configuration key {name} ({origin}){}", nearest.as_ref().map_or_else(String::new, |n| format!("; did you mean {n}?")))]
    Unknown {
        /// The name as given.
        name: String,
        /// Where it stands.
        origin: Origin,
        /// The known name most like it.
        nearest: Option<String>,
    },
    /// A value that makes no sense for its key.
    #[error("{name} ({origin}) {problem}")]
    Invalid {
        /// The key's name where the value was given: variable or TOML path.
        name: String,
        /// Where the value came from.
        origin: Origin,
        /// What is expected, beginning with a verb.
        problem: String,
    },
    /// Anything else, as one sentence.
    #[error("{0}")]
    Other(String),
}

/// Everything that is wrong, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
