//! The changes of clients, groups and keys in audit rows that were kept outside of the store: lines of the application log, or rows of
//! `audit list`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::sync::Arc;

use oauth2_store::model::{AuditRow, Client, ClientSecret, GroupLimits};
use serde::Deserialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::service::authenticate::foreign_secrets::UPGRADED;
use crate::service::clients::metadata::ClientRequest;
use crate::service::clients::registration;
use crate::service::error::{InvalidMetadata, Result, ServiceError};
use crate::tokens::secret;

/// Members that are merged member by member: their new value stands for all of them.
const OBJECTS: [&str; 3] = ["rate_limits", "quotas", "claims"];

const SECOND: i128 = 1_000_000_000;

/// By how much the clock of a node, which is in its log, may differ from that of the store, which is in its rows.
const CLOCKS_DIFFER_BY: i128 = 30 * SECOND;

/// The action of changes that are made again.
pub(super) const RESTORED: &str = "client.restore";

/// The rows of one or several files.
#[derive(Debug, Default)]
pub struct History {
    /// Of each client, by its id.
    pub clients: BTreeMap<String, ClientHistory>,
    /// The last change of each group's limits; `None`: they were removed.
    pub groups: BTreeMap<String, GroupChange>,
    /// Keys that were revoked.
    pub revoked_keys: BTreeSet<String>,
    /// Rows that were read.
    pub rows: u64,
    /// Lines that are no JSON objects, and last lines that are incomplete, as a crash leaves them.
    pub skipped: u64,
}

/// The last change of a group.
#[derive(Debug, Clone)]
pub struct GroupChange {
    at: i128,
    /// Its limits; `None`: they were removed.
    pub limits: Option<GroupLimits>,
}

/// The changes of a client, oldest first.
#[derive(Debug, Clone, Default)]
pub struct ClientHistory(Vec<Event>);

#[derive(Debug, Clone)]
struct Event {
    /// Unix nanoseconds.
    at: i128,
    what: What,
}

#[derive(Debug, Clone, PartialEq)]
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
            // The log of a service has lines of other programs, and what the server prints at its start.
            if !text.starts_with(b"{") {
                self.skipped += u64::from(!text.is_empty());
                continue;
            }
            let row: Row = match serde_json::from_slice(text) {
                Ok(row) => row,
                Err(_) if !line.ends_with(b"\n") => {
                    self.skipped += 1;
                    return Ok(());
                }
                Err(error) => {
                    return Err(format!(
                        "line {number} is not a JSON object of an audit row or a log: {error}"
                    ));
                }
            };
            self.add(row).map_err(|problem| format!("line {number} {problem}"))?;
        }
    }

    /// A page of `audit list --json`.
    fn read_document(&mut self, begun: Vec<u8>, mut rest: impl BufRead) -> std::result::Result<(), String> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<Row>,
            next_cursor: Option<String>,
        }
        let mut text = begun;
        rest.read_to_end(&mut text)
            .map_err(|error| format!("cannot be read: {error}"))?;
        let page: Page =
            serde_json::from_slice(&text).map_err(|error| format!("is not a page of audit list --json: {error}"))?;
        if page.next_cursor.is_some() {
            return Err("is not the last page: add the output of audit list --cursor for each further page".to_owned());
        }
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
            (Some(at), _) => i128::from(at) * SECOND,
            (None, Some(text)) => OffsetDateTime::parse(text, &Rfc3339)
                .map_err(|_| "has a timestamp that is not RFC 3339".to_owned())?
                .unix_timestamp_nanos(),
            (None, None) => return Err("has neither at nor timestamp".to_owned()),
        };
        let detail = match row.detail {
            Value::String(text) => {
                serde_json::from_str(&text).map_err(|_| "has a detail that is not JSON".to_owned())?
            }
            other => other,
        };
        match action {
            "key.revoke" => {
                self.rows += 1;
                self.revoked_keys.insert(row.target_id);
                return Ok(());
            }
            "group.update" | "group.delete" => return self.add_group(row.target_id, at, &detail),
            _ if !action.starts_with("client.") || action == UPGRADED => return Ok(()),
            _ => {}
        }
        let what = What::of(action, &detail);
        self.rows += 1;
        let events = &mut self.clients.entry(row.target_id).or_default().0;
        // Rows of several nodes come in several files.
        let place = events.partition_point(|event| event.at <= at);
        events.insert(place, Event { at, what });
        Ok(())
    }
}

impl History {
    fn add_group(&mut self, name: String, at: i128, detail: &Value) -> std::result::Result<(), String> {
        let limits = serde_json::from_value(detail["changes"]["limits"]["new"].clone());
        let limits = limits.map_err(|error| format!("has limits that cannot be read: {error}"))?;
        self.rows += 1;
        let change = GroupChange { at, limits };
        match self.groups.entry(name) {
            Entry::Vacant(vacant) => _ = vacant.insert(change),
            Entry::Occupied(mut known) if known.get().at <= at => _ = known.insert(change),
            Entry::Occupied(_) => {}
        }
        Ok(())
    }
}

impl GroupChange {
    /// Whether it is later than what the store has, which was set at this time, Unix seconds.
    pub fn is_later_than(&self, known_at: i64) -> bool {
        self.at >= i128::from(known_at) * SECOND
    }
}

impl What {
    fn of(action: &str, detail: &Value) -> Self {
        let new = |(name, change): (&String, &Value)| (name.clone(), change["new"].clone());
        let changes = detail["changes"].as_object();
        match action {
            "client.delete" => Self::Deleted,
            _ => Self::Changed(
                changes
                    .map(|changes| changes.iter().map(new).collect())
                    .unwrap_or_default(),
            ),
        }
    }
}

impl ClientHistory {
    /// The events that the store has not seen. `known`: its newest rows about the client, newest first. `None`: there are none.
    pub(super) fn since(&self, known: &[AuditRow]) -> Option<Self> {
        // A repeated change of this command is no news of the client, nor is a replaced hash.
        let is_change = |row: &&AuditRow| ![RESTORED, UPGRADED].contains(&&*row.action);
        let mut known = known.iter().filter(is_change);
        let newest = known.clone().next();
        let from = newest.map_or(i128::MIN, |row| i128::from(row.at) * SECOND - CLOCKS_DIFFER_BY);
        let is_known = |event: &Event| known.any(|row| What::of(&row.action, &row.detail) == event.what);
        let is_known = std::cell::RefCell::new(is_known);
        let later = self.0.iter().filter(|event| event.at >= from);
        let events: Vec<_> = later.filter(|event| !(is_known.borrow_mut())(event)).cloned().collect();
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
    pub(super) fn applied_to(&self, client: &Client) -> Result<Client> {
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
        // An empty list is not written to the audit log, and `null` would mean the grants of its kind.
        if let Some(grants) = members.get_mut("grant_types").filter(|grants| grants.is_null()) {
            *grants = Value::Array(Vec::new());
        }
        let objects = members.keys().filter(|name| OBJECTS.contains(&name.as_str()));
        let without: Map<_, _> = objects.map(|name| (name.clone(), Value::Null)).collect();
        for members in [without, members] {
            let request: ClientRequest = serde_json::from_value(Value::Object(members)).map_err(|error| {
                let problem = format!("an audit row of client {}: {error}", client.client_id);
                ServiceError::InvalidRequest(problem)
            })?;
            changed = registration::reapply(&request, &changed)?;
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
        let id = secret::fingerprint(known.id());
        let found = listed.iter().find(|listed| listed.id == id)?;
        Some(ClientSecret {
            verifier: known.verifier.clone(),
            expires_at: found.expires_at,
        })
    });
    Ok(kept.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(at: i64, action: &str, detail: Value) -> AuditRow {
        AuditRow {
            position: (at, 0),
            at,
            actor: "server".to_owned(),
            action: action.to_owned(),
            target_kind: "client".to_owned(),
            target_id: "moved".to_owned(),
            detail,
        }
    }

    /// A server on the restored store replaces hashes before the command runs: these rows are later than the lost changes.
    #[test]
    fn replaced_hash_does_not_hide_changes_before_it() {
        let disabled = json!({"changes": {"disabled": {"old": false, "new": true}}});
        let mut history = History::default();
        let lines = [
            json!({"at": 5000, "action": "client.update", "target_id": "moved", "detail": disabled}),
            json!({"at": 5001, "action": UPGRADED, "target_id": "moved", "detail": {"secret": "0"}}),
        ];
        let lines = lines.map(|line| line.to_string()).join("\n");
        history.read(lines.as_bytes()).unwrap();
        let known = [
            row(9000, UPGRADED, json!({"secret": "0"})),
            row(1000, "client.import", json!({})),
        ];
        let lost = history.clients["moved"].since(&known).expect("a change is lost");
        assert_eq!(lost.0.len(), 1, "a replaced hash is no change: {lost:?}");
        let known = [
            row(9000, "client.update", disabled),
            row(1000, "client.import", json!({})),
        ];
        assert!(history.clients["moved"].since(&known).is_none(), "it was made again");
    }
}
