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
