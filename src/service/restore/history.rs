//! What happened to clients and keys, as audit rows tell that were kept outside of the store: lines of the application log, or rows of
//! `audit list`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::sync::Arc;

use oauth2_store::model::{Client, ClientSecret};
use serde::Deserialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::service::clients::metadata::ClientRequest;
use crate::service::clients::registration::{self, RegistrationDefaults};
use crate::service::error::{InvalidMetadata, Result, ServiceError};
use crate::tokens::secret;

/// Members that are merged member by member: their new value stands for all of them.
const OBJECTS: [&str; 3] = ["rate_limits", "quotas", "claims"];

/// The rows of one or several files.
#[derive(Debug, Default)]
pub struct History {
    /// Of each client, by its id.
    pub clients: BTreeMap<String, ClientHistory>,
    /// Keys that were revoked.
    pub revoked_keys: BTreeSet<String>,
    /// Rows that were read.
    pub rows: u64,
}

/// What happened to a client, oldest first.
#[derive(Debug, Clone, Default)]
pub struct ClientHistory(Vec<Event>);

#[derive(Debug, Clone)]
struct Event {
    /// Unix nanoseconds.
    at: i128,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Deleted,
    /// The new value of each changed member; `secrets` as fingerprints.
    Changed(Map<String, Value>),
}

/// An audit row, as `audit list` prints it (`at`) or as the log has it (`timestamp`, a detail that is text).
#[derive(Debug, Deserialize)]
struct Row {
    at: Option<i64>,
    timestamp: Option<String>,
    action: Option<String>,
    #[serde(default)]
    target_id: String,
    #[serde(default)]
    detail: Value,
}

/// The state of a secret after a change.
#[derive(Debug, Deserialize)]
struct Known {
    id: String,
    expires_at: Option<i64>,
}

impl History {
    /// Adds the rows of a file: a JSON object per line, or one document of `audit list --json`. Other lines of a log are skipped. The error
    /// names the line.
    pub fn read(&mut self, mut input: impl BufRead) -> std::result::Result<(), String> {
        let (mut line, mut number) = (Vec::new(), 0_u64);
        loop {
            line.clear();
            number += 1;
            let read = input.read_until(b'\n', &mut line);
            if read.map_err(|error| format!("cannot be read: {error}"))? == 0 {
                return Ok(());
            }
            let text = line.trim_ascii();
            if text == b"{" && number == 1 {
                return self.read_document(line, input);
            }
            if text.is_empty() {
                continue;
            }
            let row: Row = serde_json::from_slice(text)
                .map_err(|error| format!("line {number} is not a JSON object of an audit row or a log: {error}"))?;
            self.add(row).map_err(|problem| format!("line {number} {problem}"))?;
        }
    }

    /// A page of `audit list --json`.
    fn read_document(&mut self, begun: Vec<u8>, mut rest: impl BufRead) -> std::result::Result<(), String> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<Row>,
        }
        let mut text = begun;
        rest.read_to_end(&mut text)
            .map_err(|error| format!("cannot be read: {error}"))?;
        let page: Page =
            serde_json::from_slice(&text).map_err(|error| format!("is not a page of audit list --json: {error}"))?;
        // A page begins with the newest row.
        for row in page.items.into_iter().rev() {
            self.add(row)?;
        }
        Ok(())
    }

    fn add(&mut self, row: Row) -> std::result::Result<(), String> {
        let Some(action) = row.action.as_deref() else {
            return Ok(());
        };
        let at = match (row.at, &row.timestamp) {
            (Some(at), _) => i128::from(at) * 1_000_000_000,
            (None, Some(text)) => OffsetDateTime::parse(text, &Rfc3339)
                .map_err(|_| "has a timestamp that is not RFC 3339".to_owned())?
                .unix_timestamp_nanos(),
            (None, None) => return Err("has neither at nor timestamp".to_owned()),
        };
        if action == "key.revoke" {
            self.rows += 1;
            self.revoked_keys.insert(row.target_id);
            return Ok(());
        }
        if !action.starts_with("client.") {
            return Ok(());
        }
        let detail = match row.detail {
            Value::String(text) => {
                serde_json::from_str(&text).map_err(|_| "has a detail that is not JSON".to_owned())?
            }
            other => other,
        };
        let new = |(name, change): (&String, &Value)| (name.clone(), change["new"].clone());
        let changes = detail["changes"].as_object();
        let what = match action {
            "client.delete" => What::Deleted,
            _ => What::Changed(
                changes
                    .map(|changes| changes.iter().map(new).collect())
                    .unwrap_or_default(),
            ),
        };
        self.rows += 1;
        let events = &mut self.clients.entry(row.target_id).or_default().0;
        // Rows of several nodes come in several files.
        let place = events.partition_point(|event| event.at <= at);
        events.insert(place, Event { at, what });
        Ok(())
    }
}

impl ClientHistory {
    /// The events that the store has not seen: not before the second of the last one that it knows. `None`: there are none.
    pub(super) fn since(&self, known_until: Option<i64>) -> Option<Self> {
        let from = known_until.map_or(i128::MIN, |at| i128::from(at) * 1_000_000_000);
        let events: Vec<_> = self.0.iter().filter(|event| event.at >= from).cloned().collect();
        (!events.is_empty()).then_some(Self(events))
    }

    /// Whether it was deleted, and not created again.
    pub(super) fn is_deleted(&self) -> bool {
        matches!(
            self.0.last(),
            Some(Event {
                what: What::Deleted,
                ..
            })
        )
    }

    /// The client with everything that changed. Of its secrets, those remain that remained.
    pub(super) fn applied_to(&self, client: &Client, defaults: RegistrationDefaults) -> Result<Client> {
        let (mut members, mut changed) = (Map::new(), client.clone());
        for event in &self.0 {
            match &event.what {
                What::Deleted => {
                    members.clear();
                    changed = Client {
                        version: client.version,
                        secrets: client.secrets.clone(),
                        ..Client::new(Arc::clone(&client.client_id), client.created_at)
                    };
                }
                What::Changed(new) => members.extend(new.clone()),
            }
        }
        if let Some(secrets) = members.remove("secrets") {
            changed.secrets = remaining(client, secrets)?;
        }
        let objects = members.keys().filter(|name| OBJECTS.contains(&name.as_str()));
        let without: Map<_, _> = objects.map(|name| (name.clone(), Value::Null)).collect();
        for members in [without, members] {
            let request: ClientRequest = serde_json::from_value(Value::Object(members)).map_err(|error| {
                let problem = format!("an audit row of client {}: {error}", client.client_id);
                ServiceError::InvalidRequest(problem)
            })?;
            changed = registration::update(&request, &changed, defaults)?;
        }
        Ok(changed)
    }
}

/// The secrets of a client that an audit row lists, too.
fn remaining(client: &Client, listed: Value) -> std::result::Result<Box<[ClientSecret]>, InvalidMetadata> {
    let listed: Option<Vec<Known>> = serde_json::from_value(listed)
        .map_err(|error| InvalidMetadata::new("secrets", format!("of an audit row cannot be read: {error}")))?;
    let listed = listed.unwrap_or_default();
    let kept = client.secrets.iter().filter_map(|known| {
        let id = secret::fingerprint(&known.hash);
        let found = listed.iter().find(|listed| listed.id == id)?;
        Some(ClientSecret {
            hash: known.hash,
            expires_at: found.expires_at,
        })
    });
    Ok(kept.collect())
}
