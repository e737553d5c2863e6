//! Rows of the tables that belong to clients, such as their grants. A value of another type is an error with the position of its row.

use serde_json::{Map, Value};

use super::draft::UNKNOWN;
use super::values;

/// A row.
#[derive(Clone)]
pub(super) struct SideRow<'a> {
    /// Where it is in the export, such as `client_grants: entry 3`.
    pub(super) at: String,
    pub(super) members: &'a Map<String, Value>,
}

impl SideRow<'_> {
    /// A value; `None` if it is absent, null or empty text.
    fn get(&self, field: &str) -> Option<&Value> {
        let is_given = |value: &&Value| !value.is_null() && value.as_str() != Some("");
        self.members.get(field).filter(is_given)
    }

    fn read<T>(&self, field: &str, read: impl Fn(&str, Value) -> Result<T, String>) -> Result<Option<T>, String> {
        let read = self.get(field).map(|value| read(field, value.clone())).transpose();
        read.map_err(|error| self.error(&error))
    }

    /// A text, or a number as text.
    pub(super) fn text(&self, field: &str) -> Result<Option<String>, String> {
        self.read(field, values::text)
    }

    /// A text that every row has.
    pub(super) fn required(&self, field: &str) -> Result<String, String> {
        self.text(field)?
            .ok_or_else(|| self.error(&format!("{field} is missing")))
    }

    /// A list of texts.
    pub(super) fn list(&self, field: &str) -> Result<Vec<String>, String> {
        Ok(self.read(field, values::list)?.unwrap_or_default())
    }

    /// An integer.
    pub(super) fn integer(&self, field: &str) -> Result<Option<i64>, String> {
        self.read(field, |field, value| values::integer(field, &value))
    }

    /// A truth value.
    pub(super) fn flag(&self, field: &str) -> Result<Option<bool>, String> {
        self.read(field, |field, value| values::flag(field, &value))
    }

    /// An object; empty if it is absent.
    pub(super) fn object(&self, field: &str) -> Result<Map<String, Value>, String> {
        Ok(self.read(field, values::object)?.unwrap_or_default())
    }

    /// A list of objects; empty if it is absent.
    pub(super) fn objects(&self, field: &str) -> Result<Vec<Value>, String> {
        let objects = self.read(field, |field, value| match value {
            Value::Array(items) if items.iter().all(Value::is_object) => Ok(items),
            _ => Err(format!("{field} must be a list of objects")),
        });
        Ok(objects?.unwrap_or_default())
    }

    /// A sentence about the row.
    pub(super) fn error(&self, reason: &str) -> String {
        format!("{}: {reason}", self.at)
    }
}

/// A setting that is not carried over: the names of its table and of itself, and the reason.
pub(super) type NotCarried = (String, &'static str);

/// The settings of a row that are not carried over: all settings except `read`, each with its reason from `reasons`.
pub(super) fn not_carried(
    members: &Map<String, Value>,
    table: &str,
    read: &[&str],
    reasons: &[(&str, &'static str)],
) -> Vec<NotCarried> {
    let is_left = |(name, value): &(&String, &Value)| !read.contains(&name.as_str()) && values::is_set(value);
    let reason = |name: &str| {
        reasons
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(UNKNOWN, |(_, why)| *why)
    };
    members
        .iter()
        .filter(is_left)
        .map(|(name, _)| (format!("{table}.{name}"), reason(name)))
        .collect()
}
