//! Configuration errors and the origin of values.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the default applies.
    Default,
    /// The environment variable of this name.
    Environment(String),
    /// The configuration file.
    File {
        /// The path, as passed on the command line.
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

/// A configuration error. Its text never holds the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A name that is not in the table of keys.
    #[error("unknown configuration key {name} ({origin}){}", nearest.as_ref().map_or_else(String::new, |n| format!("; did you mean {n}?")))]
    Unknown {
        /// The name that was set.
        name: String,
        /// Where it was set.
        origin: Origin,
        /// The most similar known name.
        nearest: Option<String>,
    },
    /// An invalid value.
    #[error("{name} ({origin}) {problem}")]
    Invalid {
        /// The name under which the value was set: variable or TOML path.
        name: String,
        /// Where it was set.
        origin: Origin,
        /// A clause that follows the name and says which values are allowed ("must be …").
        problem: String,
    },
    /// Any other error, as one sentence.
    #[error("{0}")]
    Other(String),
}

/// All errors of a configuration, printed one per line.
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
