//! Prints a client.

use oauth2_store::model::Client;
use serde_json::{Map, Value};

use crate::cli::arguments::Json;
use crate::cli::{output, stderr};
use crate::failure::Failure;
use crate::service::clients::metadata::{COLUMNS, ClientView, ColumnKind};

/// Fields without a server default: unset means none.
const WITHOUT_DEFAULT: [&str; 4] = ["client_name", "group", "reuse_percent", "managed_by"];

/// Prints a client. A secret is printed once: if nobody can have read it, that is a failure, though the client is stored.
pub(super) fn show(client: &Client, secret: Option<&str>, json: Json) -> Result<(), Failure> {
    let printed = print(client, secret, json);
    if secret.is_none() || (printed.is_ok() && !output::is_closed()) {
        return printed;
    }
    let reason = printed
        .err()
        .map_or_else(|| "nobody reads stdout".to_owned(), |failure| failure.to_string());
    let id = &client.client_id;
    Err(Failure::Environment(format!(
        "{reason}: the client {id} is stored, but its new secret was not delivered; for another one: oauth2_server client rotate-secret {id} --overlap 0"
    )))
}

/// Prints every field of [`ClientView`], in the order of the CSV columns.
fn print(client: &Client, secret: Option<&str>, json: Json) -> Result<(), Failure> {
    let view = ClientView::new(client, secret);
    if let Some(notice) = &view.notice {
        stderr::line(&format!("note: {notice}"));
    }
    if json.json {
        return output::json(&view);
    }
    let view = serde_json::to_value(view).map_err(|error| Failure::Environment(error.to_string()))?;
    let field = |(column, kind): &(&'static str, ColumnKind)| {
        let name = match kind {
            ColumnKind::TextMember(object, _) | ColumnKind::NumberMember(object, _) => object,
            _ => column,
        };
        view.get(name).map(|value| (*name, text(name, value)))
    };
    let mut fields: Vec<_> = COLUMNS.iter().filter_map(field).collect();
    fields.dedup();
    output::fields(&fields)
}

fn text(name: &str, value: &Value) -> String {
    match (name, value) {
        ("client_secret", Value::String(secret)) => format!("{secret}  (not shown again)"),
        ("created_at", Value::Number(seconds)) => output::date(seconds.as_i64().unwrap_or_default()),
        (_, Value::Null) if !WITHOUT_DEFAULT.contains(&name) => output::or_default(None::<&str>),
        (_, Value::Null) => output::or_dash(None::<&str>),
        ("grant_types", Value::Array(list)) if list.is_empty() => "none".to_owned(),
        (_, Value::Array(list)) => or_dash(joined(list.iter().map(plain))),
        (_, Value::Object(members)) => or_dash(pairs(members)),
        (_, other) => or_dash(plain(other)),
    }
}

/// The members of an object as `name=value`.
fn pairs(members: &Map<String, Value>) -> String {
    let pair = |(name, value): (&String, &Value)| format!("{name}={}", plain(value));
    joined(members.iter().map(pair))
}

fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

/// A string without its quotes; any other value as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn or_dash(text: String) -> String {
    output::or_dash(Some(text).filter(|text| !text.is_empty()))
}
