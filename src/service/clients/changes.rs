//! What changed of a client, for the audit log: each changed field with its old and new value.

use std::collections::BTreeSet;

use oauth2_store::model::Client;
use serde_json::{Map, Value, json};

use super::metadata::ClientView;

/// Members that identify a client or follow from its creation.
const NOT_LISTED: [&str; 2] = ["client_id", "created_at"];

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
    let view = client.map(|client| serde_json::to_value(ClientView::new(client, None)));
    let Some(Ok(Value::Object(mut members))) = view else {
        return Map::new();
    };
    members.retain(|_, value| is_set(value));
    members
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
        let created = json!({
            "changes": {"grant_types": {"old": null, "new": grants}, "scope": {"old": null, "new": "read"}},
        });
        assert_eq!(detail(None, Some(&client)), created);
        let deleted = json!({
            "changes": {"grant_types": {"old": grants, "new": null}, "scope": {"old": "read", "new": null}},
        });
        assert_eq!(detail(Some(&client), None), deleted);
    }
}
