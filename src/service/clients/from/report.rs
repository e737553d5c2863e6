//! The report of a translation: one entry per field, result and reason, with the number of clients and one of them.

use std::collections::HashMap;

use serde::Serialize;

/// The most entries. An export with more different fields than products have is not a list of clients.
const MAX_ENTRIES: usize = 2000;

/// How a field was carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Carried {
    /// The server behaves as the other product does.
    Exactly,
    /// The setting has a counterpart that differs in some requests.
    Approximately,
    /// The setting has no counterpart.
    Not,
    /// Not from the export: the command line set it.
    Set,
}

/// A field of the export and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportedField {
    /// The field, as the product spells it.
    pub field: String,
    /// The member of the client that it became.
    #[serde(rename = "to", skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// How it was carried over.
    pub carried: Carried,
    /// Why, unless exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number of clients.
    pub clients: u64,
    /// One of them.
    pub example: String,
}

type Key = (String, Option<String>, Carried, Option<String>);

/// The fields of all clients.
#[derive(Debug, Default)]
pub struct FieldReport {
    fields: Vec<ReportedField>,
    index: HashMap<Key, usize>,
    /// Fields that are not listed, as there are too many.
    pub unlisted: u64,
}

impl FieldReport {
    /// The entries, in the order in which they first occurred.
    pub fn fields(&self) -> &[ReportedField] {
        &self.fields
    }

    pub(super) fn add(
        &mut self,
        client_id: &str,
        field: &str,
        member: Option<&str>,
        carried: Carried,
        reason: Option<&str>,
    ) {
        let key = (
            field.to_owned(),
            member.map(str::to_owned),
            carried,
            reason.map(str::to_owned),
        );
        if let Some(index) = self.index.get(&key) {
            self.fields[*index].clients += 1;
            return;
        }
        if self.fields.len() == MAX_ENTRIES {
            self.unlisted += 1;
            return;
        }
        self.fields.push(ReportedField {
            field: key.0.clone(),
            member: key.1.clone(),
            carried,
            reason: key.3.clone(),
            clients: 1,
            example: client_id.to_owned(),
        });
        self.index.insert(key, self.fields.len() - 1);
    }
}
