//! Who performs an administrative use case, and by which credential, as the audit log names them.

use oauth2_store::model::AuditEntry;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::tokens::secret;

/// An operator: `admin` (the static admin token), `client:<id>` (an access token), `cli:<system user>`, `server`; and the credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    actor: String,
    /// `None`: the server itself.
    credential: Option<String>,
}

impl Operator {
    /// The holder of the static admin token with this hash. A fingerprint of it tells the tokens before and after its replacement apart.
    pub fn admin(hash: &[u8; 32]) -> Self {
        Self {
            actor: "admin".to_owned(),
            credential: Some(format!("admin_token:{}", secret::fingerprint(hash))),
        }
    }

    /// The holder of an access token of this client.
    pub fn client(client_id: &str, jti: Uuid) -> Self {
        Self {
            actor: client_actor(client_id),
            credential: Some(jti.to_string()),
        }
    }

    /// A client that authenticated by its secret.
    pub fn client_itself(client_id: &str) -> Self {
        Self {
            actor: client_actor(client_id),
            credential: Some("client_secret".to_owned()),
        }
    }

    /// A system user on the command line.
    pub fn command_line(user: &str) -> Self {
        Self {
            actor: format!("cli:{user}"),
            credential: Some("cli".to_owned()),
        }
    }

    /// The server itself.
    pub fn server() -> Self {
        Self {
            actor: "server".to_owned(),
            credential: None,
        }
    }

    /// The operator's name in the audit log.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// An audit entry in the operator's name. `detail`: an object without a secret; it gains the `credential`.
    pub fn audit(&self, action: &'static str, detail: Value) -> AuditEntry {
        AuditEntry {
            actor: self.actor.clone(),
            action,
            detail: self.with_credential(detail),
        }
    }

    /// Adds the `credential` to an object.
    pub fn with_credential(&self, mut detail: Value) -> Value {
        if let (Some(members), Some(credential)) = (detail.as_object_mut(), &self.credential) {
            members.insert("credential".to_owned(), json!(credential));
        }
        detail
    }
}

/// The actor of changes that are authenticated by a token of this client.
pub fn client_actor(client_id: &str) -> String {
    format!("client:{client_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_the_credential() {
        let jti = Uuid::nil();
        let entry = Operator::client("ops", jti).audit("key.rewrap", json!({"n": 1}));
        assert_eq!(entry.actor, "client:ops");
        assert_eq!(entry.detail, json!({"n": 1, "credential": jti.to_string()}));
        assert_eq!(Operator::server().audit("key.create", json!({})).detail, json!({}));
        let credential = |hash| Operator::admin(hash).with_credential(json!({}))["credential"].clone();
        assert_ne!(credential(&[1; 32]), credential(&[2; 32]));
    }
}
