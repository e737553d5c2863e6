//! Who changed what, written in the transaction of its effect.

/// What a verb that changes something is told for the audit log. Time and target come from the change itself.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// Who: `admin` (the static admin token), `client:<id>` (an access token), `cli:<system user>`, `server`.
    pub actor: String,
    /// What, as `<object>.<verb>`: `client.create`, `client.update`, `client.delete`, `client.rotate_secret`, `key.create`,
    /// `key.rotate`, `key.import`, `key.revoke`, `key.remove`, `key.rewrap`, `token.issue`, `token.revoke`, `revocation.cutoff`.
    pub action: &'static str,
    /// What else is worth keeping; never a secret or a token.
    pub detail: serde_json::Value,
}

/// A change that a running server must take over, read from the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// The client with this id was made, changed or deleted.
    Client(String),
    /// Some signing key was made or changed.
    Keys,
}

/// Which rows of the audit log are asked for; `None` = any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// From this moment on, Unix seconds.
    pub since: Option<i64>,
    /// Before this moment.
    pub until: Option<i64>,
    /// Done to this client, or to a token of it where the row says whose it is.
    pub client_id: Option<String>,
    /// An action, or what comes before its dot.
    pub kind: Option<String>,
}

/// From where, and in which direction, the audit log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditPlace {
    /// From the newest row backwards.
    Newest,
    /// From before a row backwards.
    Before(i64, i64),
    /// From behind a row onwards.
    After(i64, i64),
}

/// A row of the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Its place in the order of the log.
    pub place: (i64, i64),
    /// When it happened.
    pub at: i64,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// What kind of thing it was done to.
    pub target_kind: String,
    /// Which one.
    pub target_id: String,
    /// What else is worth keeping.
    pub detail: serde_json::Value,
}
