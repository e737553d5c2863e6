//! Client credentials.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A client id and a secret.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub id: String,
    pub secret: String,
}

impl Credentials {
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            secret: secret.into(),
        }
    }

    /// The credentials in the response to a registration.
    pub fn of(registered: &Value) -> Self {
        let field = |name: &str| {
            registered[name]
                .as_str()
                .unwrap_or_else(|| panic!("no {name}: {registered}"))
        };
        Self::new(field("client_id"), field("client_secret"))
    }

    /// The value of the `Authorization` header for `client_secret_basic`. Id and secret must not need form encoding.
    pub fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.id, self.secret)))
    }
}
