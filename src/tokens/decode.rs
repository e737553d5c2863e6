//! Decodes a token of any format without verifying it.

use base64::Engine;
use serde_json::{Value, json};

use super::{BASE64URL, MAX_TOKEN_BYTES, jwt, opaque, paseto};

/// The content of a token. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// `paseto`, `jwt` or `opaque`.
    pub format: &'static str,
    /// JWT: the header. PASETO: the footer. Opaque: null.
    pub header: Value,
    /// JWT and PASETO: the claims. Opaque: `jti` and `exp`.
    pub claims: Value,
}

/// Decodes a token. `None` if it is longer than [`MAX_TOKEN_BYTES`] or of no known format.
pub fn decode(token: &str) -> Option<Decoded> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    if let Some(reference) = opaque::parse(token) {
        return Some(Decoded {
            format: "opaque",
            header: Value::Null,
            claims: json!({"jti": reference.jti, "exp": reference.expires_at}),
        });
    }
    let object = |bytes: &[u8]| serde_json::from_slice(bytes).ok().filter(Value::is_object);
    if let Some(rest) = token.strip_prefix(paseto::HEADER) {
        let (body, footer) = rest.split_once('.').unwrap_or((rest, ""));
        let body = BASE64URL.decode(body).ok()?;
        let footer = BASE64URL.decode(footer).ok()?;
        return Some(Decoded {
            format: "paseto",
            header: serde_json::from_slice(&footer).unwrap_or(Value::Null),
            claims: object(body.get(..body.len().checked_sub(64)?)?)?,
        });
    }
    let header = BASE64URL.decode(jwt::header(token)?).ok()?;
    Some(Decoded {
        format: "jwt",
        header: object(&header)?,
        claims: object(&jwt::payload(token)?)?,
    })
}
