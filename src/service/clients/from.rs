//! Clients of other authorization servers: reads what a product exports, and translates each client into the record that `client
//! import` reads. One file per product; they share the export as tables ([`export`]), a client that is being translated ([`draft`]) and
//! the report of what was carried over ([`report`]).
//!
//! A translator reads the fields of a client one by one. What it did not read is reported by name at the end, so nothing is dropped in
//! silence.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::import::{ImportRow, LineRange, RowError};

mod auth0;
mod cognito;
mod documents;
mod draft;
mod duende;
mod export;
mod hydra;
mod keycloak;
mod oidc_provider;
mod report;
mod secret;
mod shared;
mod side_row;
mod spring;
mod tables;
mod translator;
mod uaa;
mod values;

pub use draft::FieldNames;
use export::Export;
use report::{Carried, FieldReport};
use translator::{Becomes, Context, Translator};

/// A product whose exports can be read.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::Display, strum::VariantNames, strum::EnumIter,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Product {
    /// Ory Hydra.
    Hydra,
    /// Keycloak.
    Keycloak,
    /// Spring Authorization Server.
    Spring,
    /// Duende `IdentityServer`.
    Duende,
    /// Cloud Foundry UAA.
    Uaa,
    /// Auth0.
    Auth0,
    /// Amazon Cognito.
    Cognito,
    /// node-oidc-provider.
    OidcProvider,
}

/// A client as it was translated.
pub struct TranslatedClient {
    /// Its id; empty if the export has none.
    pub client_id: String,
    /// Where it is in the export, such as `line 3` or `client 3`.
    pub position: String,
    /// Members of the record, and the fields of the export from which they come.
    pub fields: FieldNames,
    /// The record that an import reads, or why the client cannot be imported.
    pub record: Result<Map<String, Value>, RowError>,
}

/// A client of the export that an import does not create, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OmittedClient {
    /// Its id.
    pub client_id: String,
    /// Why it has no counterpart.
    pub reason: String,
}

/// The result of translating an export.
#[derive(Default)]
pub struct Translation {
    /// The clients, in the order of the export.
    pub clients: Vec<TranslatedClient>,
    /// Clients without a counterpart.
    pub omitted: Vec<OmittedClient>,
    /// The fields, and how each was carried over.
    pub report: FieldReport,
    /// Files of the directory, or members of the document, that were not read.
    pub unread: Vec<String>,
    /// The paths of the directory's files; empty if the export is one file.
    pub files: Vec<PathBuf>,
    /// Settings that the export does not contain, to be checked by hand.
    pub notes: &'static [&'static str],
}

impl Product {
    fn translator(self) -> Translator {
        match self {
            Self::Hydra => hydra::TRANSLATOR,
            Self::Keycloak => keycloak::TRANSLATOR,
            Self::Spring => spring::TRANSLATOR,
            Self::Duende => duende::TRANSLATOR,
            Self::Uaa => uaa::TRANSLATOR,
            Self::Auth0 => auth0::TRANSLATOR,
            Self::Cognito => cognito::TRANSLATOR,
            Self::OidcProvider => oidc_provider::TRANSLATOR,
        }
    }

    /// Translates an export: a file of JSON or CSV, or a directory of such files, each a table of its name. `now`: Unix seconds.
    ///
    /// The error is a sentence about the file.
    pub fn translate(self, path: &Path, now: i64) -> Result<Translation, String> {
        let export = match self {
            Self::Keycloak => keycloak::files::read(path)?,
            _ => Export::read(path)?,
        };
        let translator = self.translator();
        let rows = export.clients(translator.tables, translator.id_fields)?;
        if rows.is_empty() {
            return Err(format!("there is no client of {self} in it"));
        }
        let mut translation = Translation {
            notes: translator.notes,
            ..Translation::default()
        };
        let mut context = Context {
            now,
            export: &export,
            report: &mut translation.report,
        };
        let mut seen = HashMap::new();
        let outcomes = (translator.translate)(&mut context, rows)?;
        translation.unread = export.unread();
        translation.files = export.files;
        for outcome in outcomes {
            let (client_id, position) = (outcome.client_id, outcome.position);
            let mut fields = FieldNames::new();
            let record = match outcome.becomes {
                Becomes::Omitted(reason) => {
                    translation.omitted.push(OmittedClient { client_id, reason });
                    continue;
                }
                Becomes::Record(record, named) => {
                    fields = named;
                    Ok(record)
                }
                Becomes::Rejected(error) => Err(error),
            };
            let record = record.and_then(|record| match seen.entry(client_id.clone()) {
                Entry::Occupied(first) => Err(format!(
                    "the client is in the export twice: {} has the same id",
                    first.get()
                )),
                Entry::Vacant(entry) => {
                    entry.insert(position.clone());
                    Ok(record)
                }
            });
            translation.clients.push(TranslatedClient {
                client_id,
                position,
                fields,
                record,
            });
        }
        Ok(translation)
    }
}

impl Translation {
    /// Sets members of every record, and `defaults` of the records that do not have them.
    pub fn set(&mut self, members: &[(String, Value)], defaults: &[(String, Value)]) {
        const SET: &str = "set by --set";
        const REPLACED: &str = "set by --set instead of the value of the export";
        const DEFAULT: &str = "set by --set-default, as the export does not have it";
        for client in &mut self.clients {
            let (id, Ok(record)) = (&client.client_id, &mut client.record) else {
                continue;
            };
            for (name, value) in members {
                let before = record.insert(name.clone(), value.clone());
                client.fields.retain(|(member, _)| member != name);
                let reason = if before.is_some_and(|before| before != *value) {
                    REPLACED
                } else {
                    SET
                };
                self.report.add(id, "--set", Some(name), Carried::Set, Some(reason));
            }
            for (name, value) in defaults {
                if !record.contains_key(name) {
                    record.insert(name.clone(), value.clone());
                    self.report
                        .add(id, "--set-default", Some(name), Carried::Set, Some(DEFAULT));
                }
            }
        }
    }
}

impl TranslatedClient {
    /// The row that an import judges. Its number stands for the line: the position is what a person reads.
    pub fn row(&self, number: u64) -> (LineRange, Result<ImportRow, RowError>) {
        let lines = LineRange {
            first: number,
            last: number,
        };
        (lines, self.record.clone().and_then(ImportRow::parse))
    }
}
