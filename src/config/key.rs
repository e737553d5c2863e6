//! A configuration key: one row of a section's table.

/// The value of a key that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// This text, parsed like a value that was set.
    Value(&'static str),
    /// No fixed text; the words describe the value for the documentation.
    Derived(&'static str),
}

/// How much of a value may be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// All of it.
    Public,
    /// A URL, without its password. May be read from a file.
    Url,
    /// Nothing. May be read from a file.
    Secret,
}

/// A configuration key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Environment variable.
    pub env: &'static str,
    /// Dotted path in the TOML file.
    pub path: &'static str,
    /// The value when the key is not set.
    pub default: Fallback,
    /// Description for the documentation, in Markdown.
    pub meaning: &'static str,
    /// How much of the value may be printed.
    pub secrecy: Secrecy,
    /// Whether this version uses the key; setting one that it does not use causes a warning.
    pub used: bool,
}

impl Key {
    /// Whether `<env>_FILE` and `<path>_file` may name a file that holds the value.
    pub fn has_file_form(&self) -> bool {
        self.secrecy != Secrecy::Public
    }
}

/// A key whose value may be printed.
pub(super) const fn key(env: &'static str, path: &'static str, default: Fallback, meaning: &'static str) -> Key {
    Key {
        env,
        path,
        default,
        meaning,
        secrecy: Secrecy::Public,
        used: true,
    }
}

/// A key whose value is a secret. `default` describes the value when the key is not set.
pub(super) const fn secret(env: &'static str, path: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key {
        secrecy: Secrecy::Secret,
        ..key(env, path, Fallback::Derived(default), meaning)
    }
}

/// Marks a key that is checked but not used in this version.
pub(super) const fn unused(key: Key) -> Key {
    Key { used: false, ..key }
}
