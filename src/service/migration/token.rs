//! A token as a verifier sees it. Its signature is checked by [`super::keys`].

use base64::Engine;
use serde_json::{Map, Value};

use crate::tokens::BASE64URL;

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// A JWT: its header and claims.
    Jwt {
        /// The JOSE header.
        header: Map<String, Value>,
        /// The claims.
        claims: Map<String, Value>,
    },
    /// An encrypted JWT.
    Jwe,
    /// A PASETO, by its version and purpose.
    Paseto(String),
    /// A reference, or a format that is not known.
    Opaque,
}

impl Token {
    /// Decodes a token.
    pub fn decode(text: &str) -> Self {
        let parts: Vec<&str> = text.split('.').collect();
        match parts.as_slice() {
            ["v1" | "v2" | "v3" | "v4", "public" | "local", ..] => Self::Paseto(format!("{}.{}", parts[0], parts[1])),
            [header, claims, _signature] => match (object(header), object(claims)) {
                (Some(header), Some(claims)) => Self::Jwt { header, claims },
                _ => Self::Opaque,
            },
            [header, _, _, _, _] if object(header).is_some() => Self::Jwe,
            _ => Self::Opaque,
        }
    }

    /// Whether verifiers need a published key for it: JWTs of HMAC are signed with a shared secret.
    pub fn is_signed_with_published_key(&self) -> bool {
        let Self::Jwt { header, .. } = self else {
            return false;
        };
        let alg = header.get("alg").and_then(Value::as_str);
        alg.is_some_and(|alg| !alg.starts_with("HS") && alg != "none")
    }

    /// The name of its format.
    pub fn format(&self) -> &str {
        match self {
            Self::Jwt { .. } => "jwt",
            Self::Jwe => "encrypted jwt",
            Self::Paseto(version) => version,
            Self::Opaque => "opaque",
        }
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&BASE64URL.decode(part).ok()?).ok()
}
