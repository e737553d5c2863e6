//! The table of all keys: lookup by name, and its form in the documentation.

use std::fmt::Write;

use super::key::{Fallback, Key};

/// The keys of every section, in the order of the documentation.
#[derive(Debug, Clone, Copy)]
pub struct Table(pub &'static [&'static [Key]]);

/// The two notations of a key's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// Environment variable: `OAUTH2_SERVER_PORT`.
    Variable,
    /// Dotted path in the TOML file: `server.port`.
    Path,
}

impl Notation {
    fn name(self, key: &Key) -> &'static str {
        match self {
            Self::Variable => key.env,
            Self::Path => key.path,
        }
    }

    /// Suffix of the name when the value is read from a file.
    fn file_suffix(self) -> &'static str {
        match self {
            Self::Variable => "_FILE",
            Self::Path => "_file",
        }
    }
}

impl Table {
    /// Every key, in order.
    pub fn keys(self) -> impl Iterator<Item = &'static Key> {
        self.0.iter().copied().flatten()
    }

    /// The key with this name, and whether the name is its file form (`…_FILE`, `…_file`).
    pub fn find(self, name: &str, notation: Notation) -> Option<(&'static Key, bool)> {
        if let Some(key) = self.keys().find(|key| notation.name(key) == name) {
            return Some((key, false));
        }
        let base = name.strip_suffix(notation.file_suffix())?;
        self.keys()
            .find(|key| key.has_file_form() && notation.name(key) == base)
            .map(|key| (key, true))
    }

    /// The most similar known name, file forms included; `None` if no name is similar.
    pub fn nearest(self, name: &str, notation: Notation) -> Option<String> {
        let known = self.keys().flat_map(|key| {
            let file_form = key
                .has_file_form()
                .then(|| format!("{}{}", notation.name(key), notation.file_suffix()));
            std::iter::once(notation.name(key).to_owned()).chain(file_form)
        });
        known
            .map(|candidate| (strsim::normalized_damerau_levenshtein(name, &candidate), candidate))
            .filter(|(similarity, _)| *similarity >= 0.5)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, candidate)| candidate)
    }

    /// Whether this path is a table of the TOML file that holds keys.
    pub fn has_section(self, path: &str) -> bool {
        self.keys()
            .filter_map(|key| key.path.strip_prefix(path))
            .any(|rest| rest.starts_with('.'))
    }

    /// The table of the documentation, in Markdown.
    pub fn markdown(self) -> String {
        let mut text = String::from("| Variable | TOML path | Default | Meaning |\n|---|---|---|---|\n");
        for key in self.keys() {
            let default = match key.default {
                Fallback::Value(value) => format!("`{value}`"),
                Fallback::Derived(words) => words.to_owned(),
            };
            let file_form = if key.has_file_form() { " (`_FILE`)" } else { "" };
            let _ = writeln!(
                text,
                "| `{}`{file_form} | `{}` | {default} | {} |",
                key.env, key.path, key.meaning
            );
        }
        text
    }
}
