//! The export of a product: a file of JSON, JSON lines or CSV, or a directory of such files, each a table of its name.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::documents::{self, PAGE_MEMBERS};
use super::side_row::SideRow;
use super::tables;

/// The largest file, bytes. A document of JSON cannot be read in pieces, and 40 000 clients have 200 MiB at most.
const MAX_FILE: u64 = 512 * 1024 * 1024;

/// A client of the export: where it is, and its fields.
pub(super) type Row = (String, Map<String, Value>);

/// A table, or a whole document.
struct Table {
    /// The name of its file without the extension.
    name: String,
    value: Value,
    /// The line of each row of CSV, or of each document of several.
    lines: Vec<u64>,
    is_csv: bool,
}

/// The files of an export.
pub(super) struct Export {
    tables: Vec<Table>,
    is_directory: bool,
    /// The paths of the directory's files.
    pub(super) files: Vec<PathBuf>,
    /// Files next to the one that was chosen, which are not read.
    pub(super) others: Vec<String>,
    /// Files of the directory, or members of the document, that a translator read.
    read: RefCell<BTreeSet<String>>,
}

impl Export {
    /// Reads a file, or the `.json`, `.jsonl`, `.ndjson`, `.csv` and `.tsv` files of a directory.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
        if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
            return Ok(Self {
                tables: vec![Table::read(path)?],
                is_directory: false,
                files: Vec::new(),
                others: Vec::new(),
                read: RefCell::default(),
            });
        }
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if matches!(extension, Some("json" | "jsonl" | "ndjson" | "csv" | "tsv")) {
                paths.push(path);
            }
        }
        paths.sort();
        let read = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Table::read(path).map_err(|error| format!("{name}: {error}"))
        };
        let tables = paths.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if tables.is_empty() {
            return Err("is a directory without .json, .jsonl, .ndjson, .csv or .tsv files".to_owned());
        }
        for (index, table) in tables.iter().enumerate() {
            if let Some(other) = tables[..index].iter().find(|other| other.is(&table.name)) {
                return Err(format!("has two files of the table {}: keep one of them", other.name));
            }
        }
        Ok(Self {
            tables,
            is_directory: true,
            files: paths,
            others: Vec::new(),
            read: RefCell::default(),
        })
    }

    /// The clients and where each of them is. `tables`: members or tables that list them; `id_fields`: what a single client has.
    pub(super) fn clients(&self, tables: &[&str], id_fields: &[&str]) -> Result<Vec<Row>, String> {
        if self.is_directory {
            let named = self
                .tables
                .iter()
                .find(|table| tables.iter().any(|name| table.is(name)));
            let table = named.ok_or_else(|| format!("has no file {}", any_of(tables, ".json or .csv")))?;
            self.read.borrow_mut().insert(table.name.clone());
            // A file of JSON lines with one line.
            if let Value::Object(members) = &table.value
                && id_fields.iter().any(|field| members.contains_key(*field))
            {
                return Ok(vec![("client 1".to_owned(), members.clone())]);
            }
            // `{"clients": […]}`
            let value = tables.iter().find_map(|name| nested(&table.value, name));
            return table
                .rows(value.unwrap_or(&table.value), "")
                .map_err(|error| format!("{}: {error}", table.name));
        }
        let Some(table) = self.tables.first() else {
            return Ok(Vec::new());
        };
        let Value::Object(members) = &table.value else {
            return table.rows(&table.value, "");
        };
        if id_fields.iter().any(|field| members.contains_key(*field)) {
            self.read.borrow_mut().extend(members.keys().cloned());
            return Ok(vec![("client 1".to_owned(), members.clone())]);
        }
        let found = tables.iter().find_map(|name| Some((name, nested(&table.value, name)?)));
        let (name, value) = found.ok_or_else(|| {
            format!(
                "has no clients: expected a list of them, or an object with {}",
                any_of(tables, "")
            )
        })?;
        self.read.borrow_mut().insert((*name).to_owned());
        table.rows(value, name)
    }

    /// The rows of another table: a file of the directory, or a member of the document. `None` if the export does not have it.
    pub(super) fn table(&self, names: &[&'static str]) -> Result<Option<Vec<SideRow<'_>>>, String> {
        let (table, name, value) = if self.is_directory {
            let is_named = |table: &&Table| names.iter().any(|name| table.is(name));
            let Some(file) = self.tables.iter().find(is_named) else {
                return Ok(None);
            };
            self.read.borrow_mut().insert(file.name.clone());
            // `{"ResourceServers": […]}`
            let listed = names.iter().find_map(|name| file.value.get(name));
            (file, &*file.name, listed.unwrap_or(&file.value))
        } else {
            let Some(document) = self.tables.first() else {
                return Ok(None);
            };
            let member = |name: &&'static str| Some((*name, document.value.get(name)?));
            let Some((name, value)) = names.iter().find_map(member) else {
                return Ok(None);
            };
            self.read.borrow_mut().insert(name.to_owned());
            (document, name, value)
        };
        let rows = match value {
            Value::Null => return Ok(None),
            Value::Array(rows) => rows.as_slice(),
            // A file of JSON lines with one line.
            Value::Object(_) if std::ptr::eq(value, &raw const table.value) => std::slice::from_ref(value),
            _ => return Err(format!("{name} must be a list of objects")),
        };
        let mut found = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let at = match table.lines.get(index) {
                Some(line) => format!("{name}: line {line}"),
                None => format!("{name}: entry {}", index + 1),
            };
            let members = row.as_object().ok_or_else(|| format!("{at}: must be an object"))?;
            found.push(SideRow { at, members });
        }
        Ok(Some(found))
    }

    /// A member of the document, or of any document of the directory.
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        self.read.borrow_mut().insert(name.to_owned());
        self.tables.iter().find_map(|table| table.value.get(name))
    }

    /// Whether a file is a table of CSV, as databases write it.
    pub(super) fn has_lines(&self) -> bool {
        self.tables.iter().any(|table| table.is_csv)
    }

    /// The files of a directory, or the members of a document, that nobody has read.
    pub(super) fn unread(&self) -> Vec<String> {
        let read = self.read.borrow();
        if self.is_directory {
            let names = self.tables.iter().map(|table| table.name.clone());
            return names.filter(|name| !read.contains(name)).collect();
        }
        let mut unread = self.others.clone();
        let Some(Value::Object(members)) = self.tables.first().map(|table| &table.value) else {
            return unread;
        };
        for (name, value) in members {
            let below = format!("{name}.");
            if read.contains(name) || PAGE_MEMBERS.contains(&&**name) {
                continue;
            }
            match value {
                Value::Object(inner) if read.iter().any(|path| path.starts_with(&below)) => {
                    let paths = inner.keys().map(|inner| format!("{below}{inner}"));
                    unread.extend(paths.filter(|path| !read.contains(path)));
                }
                _ => unread.push(name.clone()),
            }
        }
        unread
    }
}

/// A member of an object, or of an object below it: `outer.inner`. A list, or an object that lists clients by key.
fn nested<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let found = name.split('.').try_fold(value, |value, name| value.get(name))?;
    (found.is_array() || found.is_object()).then_some(found)
}

fn any_of(names: &[&str], suffix: &str) -> String {
    names
        .iter()
        .map(|name| format!("{name}{suffix}"))
        .collect::<Vec<_>>()
        .join(" or ")
}

/// Whether a file is YAML, by its name or by its first line: `---`, `key:` or `key: value`.
fn is_yaml(path: &Path, text: &str) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let first = text
        .lines()
        .map(str::trim_end)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    let is_key = |line: &str| {
        let key = line
            .split_once(':')
            .filter(|(_, rest)| rest.is_empty() || rest.starts_with(' '));
        key.is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)))
    };
    matches!(extension, Some("yaml" | "yml")) || first.is_some_and(|line| line == "---" || is_key(line))
}

impl Table {
    fn read(path: &Path) -> Result<Self, String> {
        let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
        let mut bytes = Vec::new();
        // The length of stdin is not known beforehand.
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(format!(
                "has more than {MAX_FILE} bytes, which is the most that can be read"
            ));
        }
        let text = str::from_utf8(&bytes)
            .map_err(|_| "is not valid UTF-8; convert it, such as with iconv -f UTF-16 -t UTF-8".to_owned())?;
        let text = text.trim_start_matches('\u{feff}');
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if is_yaml(path, text) {
            return Err(
                "is YAML, which is not read: give JSON or CSV as docs/migrating.md exports it for the product, such as a directory with \
                 clients.json of Auth0's Management API"
                    .to_owned(),
            );
        }
        match text.trim_start().bytes().next() {
            None => Err("is empty".to_owned()),
            Some(b'{' | b'[') => {
                let (value, lines) = documents::read(text)?;
                Ok(Self {
                    name,
                    value,
                    lines,
                    is_csv: false,
                })
            }
            Some(_) => {
                let is_of_tabs = text
                    .lines()
                    .next()
                    .is_some_and(|header| header.contains('\t') && !header.contains(','));
                let (value, lines) = if is_of_tabs {
                    tables::tab_separated(text)?
                } else {
                    tables::records(text)?
                };
                Ok(Self {
                    name,
                    value,
                    lines,
                    is_csv: true,
                })
            }
        }
    }

    /// Whether it has this name: `client_grants` is also `client-grants` and `ClientGrants`.
    fn is(&self, name: &str) -> bool {
        let plain = |text: &str| text.replace(['-', '_'], "").to_ascii_lowercase();
        plain(&self.name) == plain(name)
    }

    fn rows(&self, value: &Value, member: &str) -> Result<Vec<Row>, String> {
        let items: Vec<Cow<'_, Value>> = match value {
            Value::Array(items) => items.iter().map(Cow::Borrowed).collect(),
            // The clients of an adapter, by their keys.
            Value::Object(members) => members.values().map(Cow::Borrowed).collect(),
            _ => return Err(format!("{member} must be a list of clients")),
        };
        let position = |index: usize| match self.lines.get(index) {
            Some(line) => format!("line {line}"),
            None => format!("client {}", index + 1),
        };
        let row = |(index, item): (usize, Cow<'_, Value>)| match item.into_owned() {
            Value::Object(members) => Ok((position(index), members)),
            _ => Err(format!("{} must be an object", position(index))),
        };
        items.into_iter().enumerate().map(row).collect()
    }
}
