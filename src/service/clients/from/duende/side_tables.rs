//! Tables whose rows belong to clients, by the key of their client.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use crate::service::clients::from::export::Row;
use crate::service::clients::from::report::Carried;
use crate::service::clients::from::translator::Context;
use crate::service::clients::from::values;

/// Rows by the key of their client.
pub(super) type ByClient = HashMap<String, Vec<Value>>;

/// Tables without which clients would lose their secrets, scopes or grants, and the member that a client of `appsettings.json` has instead.
const REQUIRED: [(&str, &str); 3] = [
    ("ClientSecrets", "ClientSecrets"),
    ("ClientScopes", "AllowedScopes"),
    ("ClientGrantTypes", "AllowedGrantTypes"),
];

const ORPHAN: &str =
    "its ClientId is the Id of no client of the export: check that Clients is complete and of the same database";

/// Rejects an export whose clients are rows of a database, without the tables that belong to them.
pub(super) fn require(context: &Context<'_>, clients: &[Row]) -> Result<(), String> {
    for (table, own) in REQUIRED {
        let needs_table = clients.iter().any(|(_, members)| {
            members.contains_key("Id") && members.contains_key("ClientId") && !members.contains_key(own)
        });
        if !needs_table || context.export.table(&[table])?.is_some() {
            continue;
        }
        let unread = context.export.unread();
        let unread = if unread.is_empty() {
            String::new()
        } else {
            format!("; not read: {}", unread.join(", "))
        };
        return Err(format!(
            "has no table {table}: Clients, ClientSecrets, ClientScopes and ClientGrantTypes are required, each as a file of a directory, such \
             as {table}.csv, or as a member of a document{unread}"
        ));
    }
    Ok(())
}

/// Reads a table; empty if the export does not have it. Rows of clients that the export does not have are reported.
pub(super) fn by_client(
    context: &mut Context<'_>,
    table: &'static str,
    clients: &HashSet<String>,
) -> Result<ByClient, String> {
    let (mut grouped, mut orphans) = (ByClient::new(), BTreeSet::new());
    for row in context.export.table(&[table])?.unwrap_or_default() {
        let client = row.required("ClientId")?;
        if !clients.contains(&client) {
            orphans.insert(client);
            continue;
        }
        grouped
            .entry(client)
            .or_default()
            .push(Value::Object(row.members.clone()));
    }
    for client in orphans {
        let example = format!("ClientId {client}");
        context.report.add(&example, table, None, Carried::Not, Some(ORPHAN));
    }
    Ok(grouped)
}

/// The keys of the clients.
pub(super) fn keys(clients: &[Row]) -> HashSet<String> {
    let key = |(_, members): &Row| values::text("Id", members.get("Id")?.clone()).ok();
    clients.iter().filter_map(key).collect()
}
