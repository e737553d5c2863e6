//! The values that were set, by key, and the errors found while they are collected and read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Origin};
use super::input::Input;
use super::key::{Fallback, Key, Secrecy};
use super::print::{Entry, without_password};
use super::table::{Notation, Table};
use super::{environment, file};

/// A value that was set.
#[derive(Debug, Clone)]
struct Setting {
    text: String,
    origin: Origin,
    /// The name under which it was set: variable or TOML path, possibly the file form.
    name: String,
    /// The file that it was read from, in the file form.
    file: Option<PathBuf>,
}

/// The values that were set, by TOML path. Reading a key that is missing or invalid records an error.
#[derive(Debug)]
pub struct Values {
    table: Table,
    settings: HashMap<&'static str, Setting>,
    /// Values of keys without a fixed default, for [`Self::entries`].
    derived: HashMap<&'static str, String>,
    errors: Vec<ConfigError>,
    /// The files that hold secrets, each with the key or keys that say so.
    secret_files: Vec<(String, PathBuf)>,
    /// Keys that were set in vain, each with the reason.
    in_vain: Vec<String>,
}

impl Values {
    /// Collects the values of the file, then those of the environment, which take precedence.
    pub fn collect(input: &Input, table: Table) -> Self {
        let mut values = Self {
            table,
            settings: HashMap::new(),
            derived: HashMap::new(),
            errors: Vec::new(),
            secret_files: Vec::new(),
            in_vain: Vec::new(),
        };
        if let Some((path, text)) = &input.file {
            values.add_file(path, text, input);
        }
        values.add_environment(input);
        values
    }

    fn add_file(&mut self, path: &Path, text: &str, input: &Input) {
        let parsed = match file::parse(path, text) {
            Ok(parsed) => parsed,
            Err(error) => return self.errors.push(error),
        };
        let (mut layer, mut secrets) = (HashMap::new(), Vec::new());
        for value in parsed {
            let origin = Origin::File {
                path: path.to_owned(),
                line: value.line,
            };
            let Some((key, is_file_form)) = self.table.find(&value.path, Notation::Path) else {
                // The empty table of a known section sets nothing and does no harm.
                if value.text.is_some() || !self.table.has_section(&value.path) {
                    self.reject_unknown(value.path, origin, Notation::Path);
                }
                continue;
            };
            let Some(text) = value.text else {
                self.reject(value.path, origin, "must be a string or a number");
                continue;
            };
            let setting = Setting {
                text,
                origin,
                name: value.path,
                file: None,
            };
            let holds_secret = match key.secrecy {
                Secrecy::Public => false,
                Secrecy::Url => without_password(&setting.text) != setting.text,
                Secrecy::Secret => true,
            };
            if holds_secret && !is_file_form {
                secrets.push(setting.name.clone());
            }
            self.add(&mut layer, key, is_file_form, setting, input);
        }
        if !secrets.is_empty() {
            self.secret_files.push((secrets.join(", "), input.directory.join(path)));
        }
        self.settings.extend(layer);
    }

    fn add_environment(&mut self, input: &Input) {
        let mut layer = HashMap::new();
        for (name, value) in &input.environment {
            let name = name.to_string_lossy();
            if !environment::has_prefix(&name) {
                continue;
            }
            let found = self.table.find(&name, Notation::Variable);
            if environment::is_injected_by_kubernetes(&name, &value.to_string_lossy(), found.is_some()) {
                continue;
            }
            let (name, origin) = (name.to_string(), Origin::Environment(name.into_owned()));
            let Some((key, is_file_form)) = found else {
                if !environment::is_shared(&name) {
                    self.reject_unknown(name, origin, Notation::Variable);
                }
                continue;
            };
            let Some(text) = value.to_str() else {
                self.reject(name, origin, "must be valid UTF-8");
                continue;
            };
            // Compose files and shells pass an unset variable as an empty one.
            if text.is_empty() {
                continue;
            }
            let setting = Setting {
                text: text.to_owned(),
                origin,
                name,
                file: None,
            };
            self.add(&mut layer, key, is_file_form, setting, input);
        }
        self.settings.extend(layer);
    }

    /// Adds a value to its layer (the file or the environment), which may hold only one of a key's two forms.
    fn add(
        &mut self,
        layer: &mut HashMap<&'static str, Setting>,
        key: &'static Key,
        is_file_form: bool,
        mut setting: Setting,
        input: &Input,
    ) {
        if let Some(other) = layer.get(key.path) {
            let problem = format!("and {} must not both be set", other.name);
            return self.reject(setting.name, setting.origin, &problem);
        }
        if is_file_form {
            let path = input.directory.join(&setting.text);
            match (input.read_secret)(&path) {
                Ok(text) => setting.text.replace_range(.., text.trim_end_matches(['\r', '\n'])),
                Err(error) => {
                    let problem = format!("must name a readable file: {} cannot be read: {error}", path.display());
                    return self.reject(setting.name, setting.origin, &problem);
                }
            }
            self.secret_files.push((setting.name.clone(), path.clone()));
            setting.file = Some(path);
        }
        layer.insert(key.path, setting);
    }

    /// The file that a key's value was read from, if it was set in the file form.
    pub fn file_of(&self, key: &'static Key) -> Option<PathBuf> {
        self.settings.get(key.path)?.file.clone()
    }

    /// The value of a key that has a default or is required. The error of `parse` says which values are allowed
    /// ("must be …").
    /// `None`: invalid or missing, and recorded.
    pub fn get<T>(&mut self, key: &'static Key, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let value = self.optional(key, parse)?;
        if value.is_none() {
            self.fail(key, "must be set");
        }
        value
    }

    /// The value of an optional key. `None`: invalid, and recorded; `Some(None)`: not set.
    #[expect(
        clippy::option_option,
        reason = "invalid and not set are different results, and callers use `?` on the outer one"
    )]
    pub fn optional<T>(&mut self, key: &'static Key, parse: impl Fn(&str) -> Result<T, String>) -> Option<Option<T>> {
        debug_assert!(
            self.table.keys().any(|listed| listed.path == key.path),
            "{} is missing in the KEYS of its section",
            key.path
        );
        let setting = self.settings.get(key.path).cloned().or_else(|| match key.default {
            Fallback::Value(text) => Some(Setting {
                text: text.to_owned(),
                origin: Origin::Default,
                name: key.env.to_owned(),
                file: None,
            }),
            Fallback::Derived(_) => None,
        });
        let Some(setting) = setting else { return Some(None) };
        // As of files: editors and YAML blocks end a value with a line end.
        let text = setting.text.trim_end_matches(['\r', '\n']);
        // A list may be written on several lines.
        let is_list_space = |c: char| key.secrecy == Secrecy::Public && matches!(c, '\n' | '\r' | '\t');
        if text.contains(|c: char| c.is_control() && !is_list_space(c)) {
            let problem = "must not have line ends or other control characters";
            self.reject(setting.name, setting.origin, problem);
            return None;
        }
        match parse(text) {
            Ok(value) => Some(Some(value)),
            Err(expected) => {
                let problem = match key.secrecy {
                    Secrecy::Public => format!("{expected}, not {:?}", setting.text),
                    Secrecy::Url | Secrecy::Secret => expected,
                };
                self.reject(setting.name, setting.origin, &problem);
                None
            }
        }
    }

    /// Records an error of a key that parses but contradicts other keys. `problem` follows the name of the key.
    pub fn fail(&mut self, key: &'static Key, problem: &str) {
        let (name, origin) = self.settings.get(key.path).map_or_else(
            || (key.env.to_owned(), Origin::Default),
            |setting| (setting.name.clone(), setting.origin.clone()),
        );
        self.reject(name, origin, problem);
    }

    /// Records a warning of a key that was set. `problem` follows its name.
    pub fn warn(&mut self, key: &'static Key, problem: &str) {
        let name = self.settings.get(key.path).map_or(key.env, |setting| &*setting.name);
        self.in_vain.push(format!("{name} {problem}"));
    }

    /// Sets the value that [`Self::entries`] shows for a key without a fixed default when it is not set.
    pub fn set_derived(&mut self, key: &'static Key, text: String) {
        self.derived.insert(key.path, text);
    }

    /// Records that a file holds a secret. `part`: the part of the key's value that names it, if not all of it.
    pub fn add_secret_file(&mut self, key: &'static Key, part: Option<&str>, path: PathBuf) {
        let name = self.settings.get(key.path).map_or(key.env, |setting| &*setting.name);
        let name = part.map_or_else(|| name.to_owned(), |part| format!("{name} ({part})"));
        self.secret_files.push((name, path));
    }

    fn reject(&mut self, name: String, origin: Origin, problem: &str) {
        self.errors.push(ConfigError::Invalid {
            name,
            origin,
            problem: problem.to_owned(),
        });
    }

    fn reject_unknown(&mut self, name: String, origin: Origin, notation: Notation) {
        let nearest = self.table.nearest(&name, notation);
        self.errors.push(ConfigError::Unknown { name, origin, nearest });
    }

    /// Every key with its value for `config print`.
    pub fn entries(&self) -> Vec<Entry> {
        let entry = |key: &'static Key| {
            let setting = self.settings.get(key.path);
            let origin = setting.map_or(Origin::Default, |setting| setting.origin.clone());
            let text = setting
                .map(|setting| setting.text.clone())
                .or_else(|| match key.default {
                    Fallback::Value(text) => Some(text.to_owned()),
                    Fallback::Derived(_) => self.derived.get(key.path).cloned(),
                });
            let value = text.map(|text| match key.secrecy {
                Secrecy::Public => text,
                Secrecy::Url => without_password(&text),
                Secrecy::Secret => "<redacted>".to_owned(),
            });
            Entry { key, value, origin }
        };
        self.table.keys().map(entry).collect()
    }

    /// The files that secrets were read from, and a configuration file that holds some.
    pub fn secret_files(&self) -> Vec<PathBuf> {
        self.secret_files.iter().map(|(_, path)| path.clone()).collect()
    }

    /// A warning for each file with a secret that other users can read or replace, for each key that was set in vain, and one if keys are
    /// set that this version does not use.
    pub fn warnings(&self, input: &Input) -> Vec<String> {
        let exposed = self.secret_files.iter().filter_map(|(name, path)| {
            let problem = (input.exposure)(path)?;
            Some(format!("{name}: {} {problem}", path.display()))
        });
        exposed
            .chain(self.in_vain.iter().cloned())
            .chain(self.without_effect())
            .collect()
    }

    fn without_effect(&self) -> Option<String> {
        let names: Vec<_> = self
            .table
            .keys()
            .filter(|key| !key.used)
            .filter_map(|key| Some(self.settings.get(key.path)?.name.as_str()))
            .collect();
        (!names.is_empty()).then(|| format!("these keys have no effect in this version: {}", names.join(", ")))
    }

    /// The errors, in the order in which they were found.
    pub fn into_errors(self) -> Vec<ConfigError> {
        self.errors
    }
}
