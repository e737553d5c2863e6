//! What changed of a client, for the audit log: each changed field with its old and new value, secrets by their fingerprints.

use std::collections::BTreeSet;

use oauth2_store::model::{Client, ClientSecret};
use serde_json::{Map, Value, json};

use super::metadata::ClientView;
use crate::tokens::secret;

/// Members that identify a client or follow from its creation.
const NOT_LISTED: [&str; 2] = ["client_id", "created_at"];

/// A client before and after a change.
#[derive(Debug, Clone)]
pub struct Change {
    /// As it is stored.
    pub before: Client,
    /// As it is to be.
    pub after: Client,
}

impl Change {
    /// Whether more than the fields changes: only an overwrite writes that.
    pub fn is_overwrite(&self) -> bool {
        self.before.secrets != self.after.secrets || self.before.created_at != self.after.created_at
    }

    /// As [`detail`].
    pub fn detail(&self) -> Value {
        detail(Some(&self.before), Some(&self.after))
    }
}

/// `{"changes": {field: {"old": …, "new": …}}}`. A client that does not exist yet, or any more, has `null` fields. No secret is in it.
pub fn detail(before: Option<&Client>, after: Option<&Client>) -> Value {
    let (before, after) = (members(before), members(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut changes = Map::new();
    for name in names {
        let (old, new) = (before.get(name), after.get(name));
        if old != new && !NOT_LISTED.contains(&name.as_str()) {
            changes.insert(name.clone(), json!({"old": old, "new": new}));
        }
    }
    json!({ "changes": changes })
}

/// The fields that are set.
fn members(client: Option<&Client>) -> Map<String, Value> {
    let Some(client) = client else {
        return Map::new();
    };
    let Ok(Value::Object(mut members)) = serde_json::to_value(ClientView::new(client, None)) else {
        return Map::new();
    };
    members.insert("secrets".to_owned(), secrets(&client.secrets));
    members.retain(|_, value| is_set(value));
    members
}

/// `[{"id": …, "expires_at": …}]`, the newest first. `null`: the secret does not expire.
fn secrets(secrets: &[ClientSecret]) -> Value {
    let view = |known: &ClientSecret| json!({"id": secret::fingerprint(known.id()), "expires_at": known.expires_at});
    secrets.iter().map(view).collect()
}

/// The detail of a rotation at `now` that adds a secret with this hash; the others expire after `overlap` seconds, if not before.
pub fn rotation(client: &Client, new: [u8; 32], overlap: i64, now: i64) -> Value {
    let left = client
        .secrets
        .iter()
        .filter(|known| known.expires_at.is_none_or(|at| at > now));
    let expiring = left.map(|known| ClientSecret {
        verifier: known.verifier.clone(),
        expires_at: Some(known.expires_at.map_or(now + overlap, |at| at.min(now + overlap))),
    });
    let added = ClientSecret::fast(new, None);
    let after: Vec<_> = std::iter::once(added).chain(expiring).collect();
    json!({
        "overlap_seconds": overlap,
        "changes": {"secrets": {"old": secrets(&client.secrets), "new": secrets(&after)}},
    })
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::clients::registration::tests::registered_client;

    #[test]
    fn a_detail_names_what_changed_and_nothing_else() {
        let before = registered_client(json!({"client_id": "ci", "scope": "read"}));
        let mut after = before.clone();
        assert_eq!(detail(Some(&before), Some(&after)), json!({"changes": {}}));
        after.scope = "read write".into();
        after.disabled = true;
        let expected = json!({
            "changes": {
                "disabled": {"old": null, "new": true},
                "scope": {"old": "read", "new": "read write"},
            },
        });
        assert_eq!(detail(Some(&before), Some(&after)), expected);
    }

    #[test]
    fn creation_and_deletion_list_the_fields_that_are_set() {
        let client = registered_client(json!({"client_id": "ci", "scope": "read"}));
        let grants = json!(["client_credentials"]);
        let secrets = json!([{"id": secret::fingerprint(client.secrets[0].id()), "expires_at": null}]);
        let created = json!({
            "changes": {
                "grant_types": {"old": null, "new": grants},
                "scope": {"old": null, "new": "read"},
                "secrets": {"old": null, "new": secrets},
            },
        });
        assert_eq!(detail(None, Some(&client)), created);
        let deleted = json!({
            "changes": {
                "grant_types": {"old": grants, "new": null},
                "scope": {"old": "read", "new": null},
                "secrets": {"old": secrets, "new": null},
            },
        });
        assert_eq!(detail(Some(&client), None), deleted);
    }

    #[test]
    fn a_rotation_names_which_secret_expires_when() {
        let mut client = registered_client(json!({"client_id": "ci"}));
        let secret = |byte, expires_at| ClientSecret::fast([byte; 32], expires_at);
        client.secrets = [secret(1, None), secret(2, Some(1005)), secret(3, Some(999))].into();
        let id = |byte| secret::fingerprint(&[byte; 32]);
        let changes = &rotation(&client, [9; 32], 60, 1000)["changes"]["secrets"];
        let expected = json!([
            {"id": id(9), "expires_at": null},
            {"id": id(1), "expires_at": 1060},
            {"id": id(2), "expires_at": 1005},
        ]);
        assert_eq!(changes["new"], expected);
        assert_eq!(changes["old"].as_array().map(Vec::len), Some(3));
    }
}
