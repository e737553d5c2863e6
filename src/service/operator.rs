//! Who performs an administrative use case, as the audit log names it.

use oauth2_store::model::AuditEntry;
use serde_json::Value;

/// `admin` (the static admin token), `client:<id>` (an access token), `cli:<system user>`, `server`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator(String);

impl Operator {
    /// The holder of the static admin token.
    pub fn admin() -> Self {
        Self("admin".to_owned())
    }

    /// The holder of an access token of this client.
    pub fn client(client_id: &str) -> Self {
        Self(format!("client:{client_id}"))
    }

    /// A system user on the command line.
    pub fn command_line(user: &str) -> Self {
        Self(format!("cli:{user}"))
    }

    /// The server itself.
    pub fn server() -> Self {
        Self("server".to_owned())
    }

    /// An audit entry in the operator's name. `detail` holds no secret.
    pub fn audit(&self, action: &'static str, detail: Value) -> AuditEntry {
        AuditEntry {
            actor: self.0.clone(),
            action,
            detail,
        }
    }
}
