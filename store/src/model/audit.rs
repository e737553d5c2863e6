//! The audit log: one row per change, written in the transaction of the change.

use uuid::Uuid;

/// The audit row of a change. Its time and target are taken from the change itself.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// Who made the change: `admin` (the static admin token), `client:<id>` (an access token), `cli:<system user>`, `server`.
    pub actor: String,
    /// The kind of change, as `<object>.<verb>`: `client.create`, `client.update`, `client.delete`, `client.rotate_secret`, `client.restore`,
    /// `key.create`, `key.rotate`, `key.import`, `key.revoke`, `key.remove`, `key.rewrap`, `token.issue`, `token.revoke`,
    /// `revocation.cutoff`, `revocation.correct`, `group.update`, `group.delete`; or a rejection: `auth.failed`, `operator.rejected`, `change.rejected`.
    pub action: &'static str,
    /// Further details as JSON; never a secret or a token.
    pub detail: serde_json::Value,
}

/// A change that running servers must apply, read from the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// The client with this id was created, changed or deleted.
    Client(String),
    /// A signing key was created, changed or deleted.
    Keys,
    /// The limits of a group were set or removed.
    Groups,
}

/// Filter of audit rows; a field that is `None` matches every row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Rows at or after this time, Unix seconds.
    pub since: Option<i64>,
    /// Rows before this time, Unix seconds.
    pub until: Option<i64>,
    /// Rows about this client, and rows about a token whose detail names this client.
    pub client_id: Option<String>,
    /// Rows with this action, or with an action of this object: `client.create` or `client`.
    pub kind: Option<String>,
    /// Rows of this actor.
    pub actor: Option<String>,
    /// Rows whose detail names this credential.
    pub credential: Option<String>,
    /// Rows about this token: it was issued by an operator, was revoked, or is the credential.
    pub jti: Option<Uuid>,
}

/// Start and direction of a read of the audit log. Positions are those of [`AuditRow::position`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditPosition {
    /// Starts at the newest row; newest first.
    Newest,
    /// Starts before a row; newest first.
    Before(i64, i64),
    /// Starts after a row; oldest first.
    After(i64, i64),
}

/// A row of the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Position in the order of the log.
    pub position: (i64, i64),
    /// Time of the change, Unix seconds.
    pub at: i64,
    /// Who made the change; see [`AuditEntry::actor`].
    pub actor: String,
    /// The kind of change; see [`AuditEntry::action`].
    pub action: String,
    /// The kind of object that was changed: `client`, `group`, `key`, `token`, `user` or `issuer`.
    pub target_kind: String,
    /// Id of the object that was changed; empty for the issuer.
    pub target_id: String,
    /// Further details as JSON.
    pub detail: serde_json::Value,
}
