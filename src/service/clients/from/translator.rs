//! The interface of a product's translator, and its result for a client.

use serde_json::{Map, Value};

use super::draft::{Draft, FieldNames};
use super::export::{Export, Row};
use super::report::FieldReport;
use crate::service::clients::import::RowError;

/// How a product is read.
pub(super) struct Translator {
    /// The members of a JSON document, or the tables of a directory, that list clients.
    pub(super) tables: &'static [&'static str],
    /// The fields that name a client.
    pub(super) id_fields: &'static [&'static str],
    /// Reads what concerns all clients, and translates each of them. The error is a sentence about the export.
    pub(super) translate: fn(&mut Context<'_>, Vec<Row>) -> Result<Vec<Outcome>, String>,
    /// Settings that the export does not contain, to be checked by hand.
    pub(super) notes: &'static [&'static str],
}

/// Shared by all clients of an export.
pub(super) struct Context<'a> {
    /// Unix seconds.
    pub(super) now: i64,
    pub(super) export: &'a Export,
    pub(super) report: &'a mut FieldReport,
}

/// The decision of a translator about a client.
pub(super) enum Verdict {
    /// The draft is a client.
    Client,
    /// It has no counterpart.
    Omitted(String),
}

/// The result of a translator; the error is a sentence about the client.
pub(super) type Translated = Result<Verdict, RowError>;

/// A client after its translation.
pub(super) struct Outcome {
    pub(super) position: String,
    /// Empty if the export has none.
    pub(super) client_id: String,
    pub(super) becomes: Becomes,
}

/// The outcome for a client.
pub(super) enum Becomes {
    /// The record that an import reads, and the fields of the export from which its members come.
    Record(Map<String, Value>, FieldNames),
    /// Nothing: it has no counterpart.
    Omitted(String),
    /// Nothing: the export is wrong.
    Rejected(RowError),
}

/// Translates each client with `one`.
pub(super) fn each(
    context: &mut Context<'_>,
    rows: Vec<Row>,
    id_fields: &[&str],
    mut one: impl FnMut(&mut Draft, i64) -> Translated,
) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(rows.len());
    for (position, members) in rows {
        let (client_id, becomes) = match Draft::new(members, id_fields) {
            Err(error) => (String::new(), Becomes::Rejected(error)),
            Ok(mut draft) => {
                let verdict = one(&mut draft, context.now);
                let client_id = draft.client_id().to_owned();
                let becomes = match verdict {
                    Ok(Verdict::Client) => {
                        let (record, fields) = draft.finish(context.report);
                        Becomes::Record(record, fields)
                    }
                    Ok(Verdict::Omitted(reason)) => Becomes::Omitted(reason),
                    Err(error) => Becomes::Rejected(error),
                };
                (client_id, becomes)
            }
        };
        outcomes.push(Outcome {
            position,
            client_id,
            becomes,
        });
    }
    outcomes
}
