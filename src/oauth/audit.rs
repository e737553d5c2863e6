//! The audit log as it is asked for and shown: one form for the admin API, the command line and the log.

use oauth2_actors::model::{AuditFilter, AuditPlace, AuditRow};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use super::cursor::{self, BadCursor};
use super::registration::is_client_id;

/// The name of the list in its cursors.
const LIST: &str = "audit";

/// A row of the audit log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditRow)]
pub struct AuditView<'a> {
    /// When it happened, Unix seconds.
    pub at: i64,
    /// Who: `admin`, `client:<id>`, `cli:<system user>`, `server`.
    pub actor: &'a str,
    /// What, as `<object>.<verb>`.
    pub action: &'a str,
    /// What kind of thing it was done to: `client`, `key`, `token`, `user`, `issuer`.
    pub target_kind: &'a str,
    /// Which one.
    pub target_id: &'a str,
    /// What else is worth keeping.
    #[schema(value_type = Object)]
    pub detail: &'a Value,
}

impl<'a> AuditView<'a> {
    /// A row of the log.
    pub fn new(row: &'a AuditRow) -> Self {
        Self {
            at: row.at,
            actor: &row.actor,
            action: &row.action,
            target_kind: &row.target_kind,
            target_id: &row.target_id,
            detail: &row.detail,
        }
    }
}

/// Checks what is asked for; an error names the parameter.
pub fn filter(
    since: Option<&str>,
    until: Option<&str>,
    client_id: Option<String>,
    kind: Option<String>,
) -> Result<AuditFilter, String> {
    if client_id.as_deref().is_some_and(|id| !is_client_id(id)) {
        return Err("client_id is none that a client may have".to_owned());
    }
    let plain = |kind: &str| {
        !kind.is_empty()
            && kind
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte))
    };
    if kind.as_deref().is_some_and(|kind| !plain(kind)) {
        return Err(
            "kind must be an action such as client.create, or what comes before its dot, such as client".to_owned(),
        );
    }
    Ok(AuditFilter {
        since: since.map(|text| moment("since", text)).transpose()?,
        until: until.map(|text| moment("until", text)).transpose()?,
        client_id,
        kind,
    })
}

fn moment(name: &str, text: &str) -> Result<i64, String> {
    let seconds = text
        .parse::<i64>()
        .ok()
        .filter(|seconds| (0..=253_402_300_799).contains(seconds));
    let date = || {
        OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .map(OffsetDateTime::unix_timestamp)
    };
    seconds
        .or_else(date)
        .ok_or_else(|| format!("{name} must be Unix seconds, or a time such as 2026-11-25T14:00:00Z"))
}

/// The place that a cursor names.
pub fn place(cursor: Option<&str>) -> Result<AuditPlace, BadCursor> {
    let Some(cursor) = cursor else {
        return Ok(AuditPlace::Newest);
    };
    let place = cursor::decode(LIST, cursor)?;
    let parsed = place
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parsed
        .map(|(major, minor)| AuditPlace::Before(major, minor))
        .ok_or(BadCursor::Damaged)
}

/// The cursor behind a row.
pub fn cursor(row: &AuditRow) -> String {
    cursor::encode(LIST, &format!("{}.{}", row.place.0, row.place.1))
}
