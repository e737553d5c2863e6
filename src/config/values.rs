//! The values that were given, by key, and the mistakes found on the way.

use std::collections::HashMap;
use std::path::Path;

use super::error::{ConfigError, Origin};
use super::keys::{self, Fallback, KEYS, Key, Secrecy};
use super::print::{Entry, without_password};
use super::{Input, environment, file};

/// One value and where it came from.
#[derive(Debug, Clone)]
struct Given {
    text: String,
    origin: Origin,
    /// The key's name where it was given: variable or TOML path.
    name: String,
}

/// What was given for each key. Reading a key that is missing or wrong records the mistake.
#[derive(Debug, Default)]
pub struct Values {
    given: HashMap<&'static str, Given>,
    errors: Vec<ConfigError>,
}

impl Values {
    /// Gathers the file's values and lays those of the environment over them.
    pub fn collect(input: &Input) -> Self {
        let mut values = Self::default();
        if let Some((path, text)) = &input.file {
            values.add_file(path, text, input);
        }
        values.add_environment(input);
        values
    }

    fn add_file(&mut self, path: &Path, text: &str, input: &Input) {
        let found = match file::parse(path, text) {
            Ok(found) => found,
            Err(error) => return self.errors.push(error),
        };
        let mut layer = HashMap::new();
        for value in found {
            let origin = Origin::File {
                path: path.to_owned(),
                line: value.line,
            };
            let Some((key, as_file)) = lookup(&value.path, |key| key.path, "_file") else {
                // An empty table that holds known keys says nothing, and does no harm.
                let is_section = KEYS.iter().any(|key| key.path.starts_with(&format!("{}.", value.path)));
                if value.text.is_some() || !is_section {
                    let nearest = keys::nearest(&value.path, names(|key| key.path, "_file"));
                    self.errors.push(ConfigError::Unknown {
                        name: value.path,
                        origin,
                        nearest,
                    });
                }
                continue;
            };
            let Some(text) = value.text else {
                self.fail(value.path, origin, "must be a string or a number");
                continue;
            };
            self.add(
                &mut layer,
                key,
                as_file,
                Given {
                    text,
                    origin,
                    name: value.path,
                },
                input,
            );
        }
        self.given.extend(layer);
    }

    fn add_environment(&mut self, input: &Input) {
        let mut layer = HashMap::new();
        for (name, value) in &input.environment {
            let name = name.to_string_lossy();
            if !environment::concerns_us(&name) {
                continue;
            }
            let known = lookup(&name, |key| key.env, "_FILE");
            if environment::injected_by_kubernetes(&name, &value.to_string_lossy(), known.is_some()) {
                continue;
            }
            let origin = Origin::Environment(name.to_string());
            let Some((key, as_file)) = known else {
                let nearest = keys::nearest(&name, names(|key| key.env, "_FILE"));
                self.errors.push(ConfigError::Unknown {
                    name: name.into_owned(),
                    origin,
                    nearest,
                });
                continue;
            };
            let Some(text) = value.to_str() else {
                self.fail(name.into_owned(), origin, "must be valid UTF-8");
                continue;
            };
            let given = Given {
                text: text.to_owned(),
                origin,
                name: name.into_owned(),
            };
            self.add(&mut layer, key, as_file, given, input);
        }
        self.given.extend(layer);
    }

    /// Puts a value into its layer; of the two forms of a key, a layer may hold one.
    fn add(
        &mut self,
        layer: &mut HashMap<&'static str, Given>,
        key: &'static Key,
        as_file: bool,
        mut given: Given,
        input: &Input,
    ) {
        if let Some(other) = layer.get(key.path) {
            let problem = format!("and {} are both given; keep one of them", other.name);
            return self.fail(given.name, given.origin, &problem);
        }
        if as_file {
            let path = input.directory.join(&given.text);
            match (input.read_secret)(&path) {
                Ok(text) => given.text.replace_range(.., text.trim_end_matches(['\r', '\n'])),
                Err(error) => {
                    let problem = format!("names {}, which cannot be read: {error}", path.display());
                    return self.fail(given.name, given.origin, &problem);
                }
            }
        }
        layer.insert(key.path, given);
    }

    /// The value of a key that has a default. `parse` answers what is expected ("must be …") when it is wrong.
    pub fn get<T>(&mut self, path: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.optional(path, parse)?
    }

    /// The value of a key that may be left out: `None` = wrong (and recorded), `Some(None)` = not given.
    #[expect(
        clippy::option_option,
        reason = "wrong and absent are different answers, used on the same line"
    )]
    pub fn optional<T>(&mut self, path: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<Option<T>> {
        let key = keys::by_path(path)?;
        let given = self.given.get(path).cloned().or_else(|| match key.default {
            Fallback::Value(text) => Some(Given {
                text: text.to_owned(),
                origin: Origin::Default,
                name: key.env.to_owned(),
            }),
            Fallback::Derived(_) => None,
        });
        let Some(given) = given else { return Some(None) };
        match parse(&given.text) {
            Ok(value) => Some(Some(value)),
            Err(expected) => {
                let problem = match key.secrecy {
                    Secrecy::Public => format!("{expected}, not {:?}", given.text),
                    Secrecy::Url | Secrecy::Secret => expected,
                };
                self.fail(given.name, given.origin, &problem);
                None
            }
        }
    }

    fn fail(&mut self, name: String, origin: Origin, problem: &str) {
        self.errors.push(ConfigError::Invalid {
            name,
            origin,
            problem: problem.to_owned(),
        });
    }

    /// Records a mistake that only shows in the company of other keys.
    pub fn fail_key(&mut self, path: &'static str, problem: &str) {
        let Some(key) = keys::by_path(path) else { return };
        let (name, origin) = self.given.get(path).map_or_else(
            || (key.env.to_owned(), Origin::Default),
            |given| (given.name.clone(), given.origin.clone()),
        );
        self.fail(name, origin, problem);
    }

    /// Every key as `config print` shows it.
    pub fn entries(&self, issuer: Option<&str>, parallelism: usize) -> Vec<Entry> {
        let derived = |key: &Key| match key.path {
            "issuer" => issuer.map(str::to_owned),
            "server.workers" => Some(parallelism.to_string()),
            _ => None,
        };
        let entry = |key: &'static Key| {
            let given = self.given.get(key.path);
            let origin = given.map_or(Origin::Default, |given| given.origin.clone());
            let text = given.map(|given| given.text.clone()).or_else(|| match key.default {
                Fallback::Value(text) => Some(text.to_owned()),
                Fallback::Derived(_) => derived(key),
            });
            let value = text.map(|text| match key.secrecy {
                Secrecy::Public => text,
                Secrecy::Url => without_password(&text),
                Secrecy::Secret => "<redacted>".to_owned(),
            });
            Entry { key, value, origin }
        };
        KEYS.iter().map(entry).collect()
    }

    /// One sentence when keys are given that nothing uses yet.
    pub fn warnings(&self) -> Vec<String> {
        let idle = KEYS.iter().filter(|key| !key.used);
        let names: Vec<_> = idle
            .filter_map(|key| Some(self.given.get(key.path)?.name.as_str()))
            .collect();
        if names.is_empty() {
            return Vec::new();
        }
        vec![format!(
            "accepted, but without effect in this version: {}",
            names.join(", ")
        )]
    }

    /// The mistakes, in the order they were found.
    pub fn into_errors(self) -> Vec<ConfigError> {
        self.errors
    }
}

/// The key of this name, and whether the name is its `…_FILE` form.
fn lookup(name: &str, of: fn(&Key) -> &'static str, suffix: &str) -> Option<(&'static Key, bool)> {
    if let Some(key) = KEYS.iter().find(|key| of(key) == name) {
        return Some((key, false));
    }
    let base = name.strip_suffix(suffix)?;
    KEYS.iter()
        .find(|key| key.has_file_form() && of(key) == base)
        .map(|key| (key, true))
}

fn names(of: fn(&Key) -> &'static str, suffix: &str) -> impl Iterator<Item = String> {
    KEYS.iter().flat_map(move |key| {
        let file = key.has_file_form().then(|| format!("{}{suffix}", of(key)));
        std::iter::once(of(key).to_owned()).chain(file)
    })
}

/// A whole number within bounds.
pub fn number<T>(text: &str, least: T, most: T) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
{
    match text.parse::<T>() {
        Ok(number) if number >= least && number <= most => Ok(number),
        _ => Err(format!("must be a whole number from {least} to {most}")),
    }
}

/// Seconds, fractions allowed, perhaps with `s` or `ms`; at most `most` seconds.
pub fn duration(text: &str, most: u32) -> Result<std::time::Duration, String> {
    let (digits, scale) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    digits
        .parse::<f64>()
        .ok()
        .map(|number| number * scale)
        .filter(|seconds| plain && *seconds <= f64::from(most))
        .and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("must be a number of seconds from 0 to {most}, like 1, 0.5, 2s or 500ms"))
}
