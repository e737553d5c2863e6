//! Reads the audit log.

use std::time::{Duration, Instant};

use oauth2_actors::audit_writer::RejectionKind;
use oauth2_store::model::{AuditEntry, AuditFilter, AuditPosition, AuditRow, Page};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::clients::checks::is_client_id;
use super::cursor;
use super::error::{Result, ServiceError};
use super::operator::Operator;
use super::parameter::time;
use super::rejections::RejectedChange;
use super::store_access::StoreAccess;

/// The list's name in its cursors.
const LIST: &str = "audit";

/// How often a follower asks for new rows.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);

/// Rows that a follower reads at a time.
const FOLLOW_CHUNK: usize = 1000;

/// The longest name in a filter, bytes.
const MAX_NAME: usize = 512;

/// The use cases of the audit log.
#[derive(Debug)]
pub struct AuditLog {
    /// The log.
    pub store: StoreAccess,
}

/// Which rows a caller asks for, as given.
#[derive(Debug, Default)]
pub struct AuditQuery<'a> {
    /// Not before: Unix seconds or RFC 3339.
    pub since: Option<&'a str>,
    /// Before.
    pub until: Option<&'a str>,
    /// By or about this client.
    pub client_id: Option<String>,
    /// An action, or the part before its dot.
    pub kind: Option<String>,
    /// By this actor.
    pub actor: Option<String>,
    /// By this credential.
    pub credential: Option<String>,
    /// By or about this token.
    pub jti: Option<&'a str>,
}

impl AuditQuery<'_> {
    /// Checks the query.
    pub fn filter(self) -> Result<AuditFilter> {
        if self.client_id.as_deref().is_some_and(|id| !is_client_id(id)) {
            return Err(ServiceError::parameter("client_id", "is not a valid client id"));
        }
        let plain = |kind: &str| {
            !kind.is_empty()
                && kind
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte))
        };
        if self.kind.as_deref().is_some_and(|kind| !plain(kind)) {
            let reason = "must be an action such as client.create, or the part before its dot, such as client";
            return Err(ServiceError::parameter("kind", reason));
        }
        for (name, text) in [("actor", &self.actor), ("credential", &self.credential)] {
            let is_name = |text: &String| (1..=MAX_NAME).contains(&text.len()) && !text.contains(char::is_control);
            if text.as_ref().is_some_and(|text| !is_name(text)) {
                return Err(ServiceError::parameter(
                    name,
                    "must be a name as the audit log shows it",
                ));
            }
        }
        let jti = |text: &str| {
            let jti = Uuid::try_parse(text).ok();
            jti.ok_or_else(|| ServiceError::parameter("jti", "must be the id of a token, a UUID"))
        };
        Ok(AuditFilter {
            since: self.since.map(|text| time("since", text)).transpose()?,
            until: self.until.map(|text| time("until", text)).transpose()?,
            client_id: self.client_id,
            kind: self.kind,
            actor: self.actor,
            credential: self.credential,
            jti: self.jti.map(jti).transpose()?,
        })
    }
}

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
    /// The kind of object: `client`, `key`, `token`, `user`, `issuer`.
    pub target_kind: &'a str,
    /// The object.
    pub target_id: &'a str,
    /// What changed, and by which `credential`; never a secret.
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

impl AuditLog {
    /// Records a change that an operator requested on the command line and that was rejected.
    pub async fn record_rejected_change(
        &self,
        operator: &Operator,
        change: RejectedChange<'_>,
        deadline: Instant,
    ) -> Result<()> {
        let row = change.to_row(operator, None);
        let audit = AuditEntry {
            actor: row.actor,
            action: RejectionKind::Change.action(),
            detail: row.detail,
        };
        let at = (self.store.now_ms().await? / 1000) as i64;
        self.store
            .call(deadline, move |store| async move {
                store.record_audit(&audit, row.target_kind, &row.target_id, at).await
            })
            .await
    }

    /// A page of the log, newest row first.
    pub async fn list(
        &self,
        filter: AuditFilter,
        after: Option<&str>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Page<AuditRow>> {
        let from = position(after)?;
        let rows = self
            .store
            .call(deadline, move |store| async move {
                store.reads().audit(&filter, from, limit + 1).await
            })
            .await?;
        Ok(Page::cut(rows, limit, |row| {
            cursor::encode(LIST, &format!("{}.{}", row.position.0, row.position.1))
        }))
    }

    /// Passes new rows to `emit` as they come, oldest first, until it fails. With `since` it begins there, else after the newest
    /// row. Waits for a store that is unavailable.
    pub async fn follow<E: From<ServiceError>>(
        &self,
        filter: AuditFilter,
        mut emit: impl FnMut(&AuditRow) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut at = if filter.since.is_some() {
            (i64::MIN, i64::MIN)
        } else {
            let newest = self.read(AuditFilter::default(), AuditPosition::Newest, 1).await?;
            newest.first().map_or((i64::MIN, i64::MIN), |row| row.position)
        };
        loop {
            let rows = self
                .read(filter.clone(), AuditPosition::After(at.0, at.1), FOLLOW_CHUNK)
                .await;
            if let Ok(rows) = rows {
                for row in &rows {
                    at = row.position;
                    emit(row)?;
                }
                if rows.len() >= FOLLOW_CHUNK {
                    continue;
                }
            }
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        }
    }

    async fn read(&self, filter: AuditFilter, from: AuditPosition, limit: usize) -> Result<Vec<AuditRow>> {
        let deadline = Instant::now() + FOLLOW_INTERVAL * 10;
        self.store
            .call(
                deadline,
                move |store| async move { store.audit(&filter, from, limit).await },
            )
            .await
    }
}

/// The position that a cursor names.
fn position(cursor: Option<&str>) -> Result<AuditPosition> {
    let Some(cursor) = cursor else {
        return Ok(AuditPosition::Newest);
    };
    let position = cursor::decode(LIST, cursor)?;
    let parsed = position
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let (major, minor) = parsed.ok_or_else(cursor::damaged)?;
    Ok(AuditPosition::Before(major, minor))
}
