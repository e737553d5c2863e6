//! A client that is being translated: the fields of the product that nobody has read yet, and the members of the record so far.

use serde_json::{Map, Value};

use super::report::{Carried, FieldReport};
use super::values;
use crate::service::clients::import::RowError;

/// Why a field that no translator knows is not carried over.
pub(super) const UNKNOWN: &str = "unknown to this version; check what it does";

/// Members of a record, and the fields of the export from which they come.
pub type FieldNames = Vec<(&'static str, String)>;

/// The client.
pub(super) struct Draft {
    client_id: String,
    fields: Map<String, Value>,
    record: Map<String, Value>,
    /// The fields that were read. They are reported once the client turns out to have a counterpart.
    read: Vec<(String, Option<&'static str>, Carried, Option<String>)>,
}

impl Draft {
    /// Reads the id from the first of `id_fields` that the client has.
    pub(super) fn new(mut fields: Map<String, Value>, id_fields: &[&str]) -> Result<Self, RowError> {
        let found = id_fields.iter().find(|field| fields.contains_key(**field));
        let field = found.ok_or_else(|| format!("{} is missing", id_fields.first().unwrap_or(&"the id")))?;
        let client_id = match fields.remove(*field) {
            Some(Value::String(id)) if !id.is_empty() => id,
            _ => return Err(format!("{field} must be a string that is not empty")),
        };
        let mut draft = Self {
            record: Map::new(),
            client_id: client_id.clone(),
            fields,
            read: Vec::new(),
        };
        draft.exactly(field, "client_id", client_id);
        Ok(draft)
    }

    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Takes a field; `None` if it is absent, null or empty text.
    pub(super) fn take(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field).filter(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            _ => true,
        })
    }

    /// Takes a field whose empty text differs from an absent field.
    pub(super) fn take_as_it_is(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field)
    }

    /// Takes a text.
    pub(super) fn text(&mut self, field: &str) -> Result<Option<String>, RowError> {
        self.take(field).map(|value| values::text(field, value)).transpose()
    }

    /// Takes a list: of JSON, or as text of JSON, or separated by commas.
    pub(super) fn list(&mut self, field: &str) -> Result<Vec<String>, RowError> {
        let taken = self.take(field).map(|value| values::list(field, value)).transpose()?;
        Ok(taken.unwrap_or_default())
    }

    /// Takes an integer.
    pub(super) fn integer(&mut self, field: &str) -> Result<Option<i64>, RowError> {
        self.take(field).map(|value| values::integer(field, &value)).transpose()
    }

    /// Takes a truth value.
    pub(super) fn flag(&mut self, field: &str) -> Result<Option<bool>, RowError> {
        self.take(field).map(|value| values::flag(field, &value)).transpose()
    }

    /// Takes an object, also as text of JSON. Its members are read as fields named `FIELD.MEMBER`.
    pub(super) fn flatten(&mut self, field: &str) -> Result<(), RowError> {
        let Some(value) = self.take(field) else { return Ok(()) };
        for (name, value) in values::object(field, value)? {
            self.fields.insert(format!("{field}.{name}"), value);
        }
        Ok(())
    }

    /// Sets a member, which behaves as the field.
    pub(super) fn exactly(&mut self, field: &str, member: &'static str, value: impl Into<Value>) {
        self.set(field, member, value.into(), Carried::Exactly, None);
    }

    /// Sets a member, which behaves as the field in most requests.
    pub(super) fn approximately(&mut self, field: &str, member: &'static str, value: impl Into<Value>, reason: &str) {
        self.set(field, member, value.into(), Carried::Approximately, Some(reason));
    }

    /// Reports a field that needs no member: the server behaves so for every client.
    pub(super) fn covered(&mut self, field: &str, reason: &str) {
        self.read(field, None, Carried::Exactly, Some(reason));
    }

    /// Sets a member that takes part in no report, such as the scheme of a hash.
    pub(super) fn put(&mut self, member: &'static str, value: impl Into<Value>) {
        self.record.insert(member.to_owned(), value.into());
    }

    /// Reports a field that was read and has no counterpart.
    pub(super) fn not(&mut self, field: &str, reason: &str) {
        self.read(field, None, Carried::Not, Some(reason));
    }

    /// Reports the fields that have no counterpart and differ from "not set".
    pub(super) fn not_carried(&mut self, fields: &[(&str, &str)]) {
        for (field, reason) in fields {
            if self.fields.remove(*field).is_some_and(|value| values::is_set(&value)) {
                self.not(field, reason);
            }
        }
    }

    /// Reports every field whose name begins so as not carried over.
    pub(super) fn not_carried_below(&mut self, prefix: &str, reason: &str) {
        let names = self.fields.keys().filter(|name| name.starts_with(prefix));
        let names: Vec<String> = names.cloned().collect();
        for name in names {
            if self.fields.remove(&name).is_some_and(|value| values::is_set(&value)) {
                self.not(&name, reason);
            }
        }
    }

    fn read(&mut self, field: &str, member: Option<&'static str>, carried: Carried, reason: Option<&str>) {
        self.read
            .push((field.to_owned(), member, carried, reason.map(str::to_owned)));
    }

    /// The record, after all fields were reported, including unread fields; and the fields from which its members with another name come.
    pub(super) fn finish(mut self, report: &mut FieldReport) -> (Map<String, Value>, FieldNames) {
        for name in self.fields.keys().cloned().collect::<Vec<_>>() {
            self.not(&name, UNKNOWN);
        }
        for (field, member, carried, reason) in &self.read {
            report.add(&self.client_id, field, *member, *carried, reason.as_deref());
        }
        let named = self
            .read
            .into_iter()
            .filter_map(|(field, member, ..)| Some((member?, field)));
        (self.record, named.filter(|(member, field)| member != field).collect())
    }

    fn set(&mut self, field: &str, member: &'static str, value: Value, carried: Carried, reason: Option<&str>) {
        self.read(field, Some(member), carried, reason);
        self.record.insert(member.to_owned(), value);
    }
}
