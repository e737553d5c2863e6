//! The text of files that describe clients: YAML, with any number of documents, or JSON.
//!
//! ```yaml
//! owner: payments
//! clients:
//!   - client_id: ci
//!     scope: read write
//!     secret_file: /run/secrets/ci
//! ```

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use super::declaration::{Declaration, DeclaredSecret, Location};
use crate::service::clients::checks;
use crate::service::clients::import::ImportRow;
use crate::tokens::unique_json;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentFormat {
    /// YAML 1.2, one or more documents.
    Yaml,
    /// One JSON document.
    Json,
}

/// What files describe.
#[derive(Default)]
pub struct Documents {
    /// The clients, in the order of the files.
    pub clients: Vec<Declaration>,
    /// The owners of all documents.
    pub owners: BTreeSet<Arc<str>>,
    /// What is wrong, as sentences with their locations.
    pub errors: Vec<String>,
}

/// Members that a client of the admin API has, and a file does not.
const NOT_IN_FILES: [(&str, &str); 3] = [
    ("created_at", "is set by the server"),
    (
        "managed_by",
        "is the owner of the document: name it there, or with --owner",
    ),
    (
        "previous_secrets",
        "cannot be declared: name secret_overlap to rotate a secret",
    ),
];

/// A document. `C`: one of its clients.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<C> {
    owner: Option<String>,
    clients: Vec<C>,
}

/// A client, with the line of each member where that is known.
struct Entry {
    line: Option<u64>,
    members: Vec<(String, Value, Option<u64>)>,
}

/// The members of an object, each once. `V`: a value.
struct Members<V>(Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Members<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Reader<V> {
            type Value = Members<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the fields of a client")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<V>, A::Error> {
                let mut members: Vec<(String, V)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, V>()? {
                    if members.iter().any(|(known, _)| *known == name) {
                        let shown = if unique_json::may_show(&name) {
                            &*name
                        } else {
                            "(name not shown)"
                        };
                        return Err(A::Error::custom(format_args!("duplicate field `{shown}`")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

impl Documents {
    /// Reads a file. `name`: as errors call it; `owner`: of documents that name none.
    pub fn read(&mut self, name: &str, text: &str, format: DocumentFormat, owner: Option<&str>) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let documents = match format {
            DocumentFormat::Yaml => yaml(text),
            DocumentFormat::Json => json(text),
        };
        let documents = match documents {
            Ok(documents) => documents,
            Err((line, error)) => {
                let line = line.map_or_else(String::new, |line| format!(":{line}"));
                self.errors.push(format!("{name}{line}: {error}"));
                return;
            }
        };
        if documents.is_empty() {
            self.errors.push(format!("{name}: there is no document in it"));
        }
        let several = documents.len() > 1;
        for (index, document) in documents.into_iter().enumerate() {
            let of = if several {
                format!("document {}, ", index + 1)
            } else {
                String::new()
            };
            self.add(name, &of, document, owner);
        }
    }

    fn add(&mut self, name: &str, of: &str, document: Document<Entry>, default_owner: Option<&str>) {
        let owner = match (document.owner.as_deref(), default_owner) {
            (Some(owner), Some(flag)) if owner != flag => {
                self.errors
                    .push(format!("{name}: {of}owner {owner:?} is not that of --owner, {flag:?}"));
                return;
            }
            (Some(owner), _) | (None, Some(owner)) => owner,
            (None, None) => {
                self.errors.push(format!(
                    "{name}: {of}owner is missing: name it in the file, or with --owner"
                ));
                return;
            }
        };
        if let Err(error) = checks::owner(owner) {
            self.errors.push(format!("{name}: {of}owner {}", error.reason));
            return;
        }
        let owner: Arc<str> = owner.into();
        self.owners.insert(Arc::clone(&owner));
        let file: Arc<str> = name.into();
        for (index, entry) in document.clients.into_iter().enumerate() {
            let location = Location {
                file: Arc::clone(&file),
                line: entry.line,
                path: format!("{of}clients[{index}]"),
                members: entry
                    .members
                    .iter()
                    .map(|(name, _, line)| (name.clone(), *line))
                    .collect(),
            };
            match declare(entry) {
                Ok((row, secret, overlap)) => self.clients.push(Declaration {
                    owner: Arc::clone(&owner),
                    location,
                    row,
                    secret,
                    overlap,
                }),
                Err(error) => self.errors.push(location.error(&error)),
            }
        }
    }

    /// Adds an error for each client that is described twice.
    pub fn reject_duplicates(&mut self) {
        let mut known = HashMap::new();
        for one in &self.clients {
            let id = one.row.client_id();
            if let Some(first) = known.insert(id, &one.location) {
                let error = format!("client_id {id} occurs at {first} already");
                self.errors.push(one.location.error(&error));
            }
        }
    }
}

/// Reads the members of a client: its fields, its secret, and the overlap of a rotation.
fn declare(entry: Entry) -> Result<(ImportRow, DeclaredSecret, Option<i64>), String> {
    let members = entry.members.into_iter().map(|(name, value, _)| (name, value));
    let mut members: Map<String, Value> = members.collect();
    for (name, why) in NOT_IN_FILES {
        if members.contains_key(name) {
            return Err(format!("{name} {why}"));
        }
    }
    let file = match members.remove("secret_file") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) if !path.is_empty() => Some(path),
        Some(_) => return Err("secret_file must be the path of a file".to_owned()),
    };
    let overlap = match members.remove("secret_overlap") {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_i64().ok_or("secret_overlap must be a number of seconds")?),
    };
    let row = ImportRow::parse(members).map_err(name_fields)?;
    let secret = match (file, row.newest_secret()) {
        (Some(_), Some(_)) => return Err("secret_file and a secret are both given; keep one of them".to_owned()),
        (Some(path), None) => DeclaredSecret::InFile(path),
        (None, _) => DeclaredSecret::OfRow,
    };
    Ok((row, secret, overlap))
}

/// Replaces the list of known fields in the error of an unknown one: it lacks those that only files have.
fn name_fields(error: String) -> String {
    let field = error
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once('`'));
    match field {
        Some((name, _)) => {
            format!("unknown field `{name}`; a client has the fields of the admin API, secret_file and secret_overlap")
        }
        None => error,
    }
}

/// A client in YAML.
type YamlClient = Spanned<Members<Spanned<Value>>>;

/// The line of an error, and what it says.
type Unreadable = (Option<u64>, String);

fn yaml(text: &str) -> Result<Vec<Document<Entry>>, Unreadable> {
    let options = serde_saphyr::options! {
        // An error must not quote the text around it: a secret may be there.
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        // Room for a hundred thousand clients. What anchors may multiply stays bounded.
        budget: serde_saphyr::budget! {
            max_events: 20_000_000,
            max_nodes: 10_000_000,
            max_recorded_anchor_events: 100_000,
        },
    };
    let documents = serde_saphyr::from_multiple_with_options::<Document<YamlClient>>(text, options);
    let documents = documents.map_err(|error| {
        let text = first_line(&error.to_string());
        (error.location().map(|at| at.line()), without_secret_name(text))
    })?;
    let line = |spanned: serde_saphyr::Location| Some(spanned.line()).filter(|line| *line > 0);
    let entry = |client: YamlClient| Entry {
        line: line(client.referenced),
        members: client
            .value
            .0
            .into_iter()
            .map(|(name, value)| (name, value.value, line(value.referenced)))
            .collect(),
    };
    let document = |document: Document<YamlClient>| Document {
        owner: document.owner,
        clients: document.clients.into_iter().map(entry).collect(),
    };
    Ok(documents.into_iter().map(document).collect())
}

fn json(text: &str) -> Result<Vec<Document<Entry>>, Unreadable> {
    let document: Document<Members<Value>> = serde_json::from_str(text).map_err(|error| {
        let line = error.line() as u64;
        let text = error.to_string();
        // These quote the value, which may be a secret.
        let quotes = ["invalid type", "invalid value", "invalid length"];
        let text = quotes
            .iter()
            .find(|kind| text.starts_with(**kind))
            .map_or(text.clone(), ToString::to_string);
        (Some(line), without_secret_name(text))
    })?;
    let entry = |Members(members)| Entry {
        line: None,
        members: members.into_iter().map(|(name, value)| (name, value, None)).collect(),
    };
    Ok(vec![Document {
        owner: document.owner,
        clients: document.clients.into_iter().map(entry).collect(),
    }])
}

/// The sentence of an error without the name of a field that may be a secret in the wrong place.
fn without_secret_name(text: String) -> String {
    let unknown = text.strip_prefix("unknown field `");
    let twice = text.strip_prefix("duplicate mapping key: ");
    let name = unknown
        .and_then(|rest| rest.rsplit_once("`, expected "))
        .or_else(|| twice?.rsplit_once(" at line "))
        .map(|(name, _)| name);
    match name {
        Some(name) if !name.is_empty() && !unique_json::may_show(name) => text.replacen(name, "(name not shown)", 1),
        _ => text,
    }
}

/// The sentence of an error, without advice for programmers.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.replace(", set DuplicateKeyPolicy in Options if acceptable", "")
}
