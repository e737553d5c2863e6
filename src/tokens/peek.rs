//! What a token says of itself, read without any verification: for revoking a token that somebody holds in hand.

use base64::Engine;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{BASE64URL, MAX_TOKEN_BYTES, opaque};

/// The id and expiry that a token claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glimpse {
    /// Token id.
    pub jti: Uuid,
    /// Expiry, Unix seconds.
    pub expires_at: i64,
}

/// Looks into a PASETO `v4.public`, a JWT or an opaque token; `None` when it is none of them. Nothing here is to be trusted.
pub fn peek(token: &str) -> Option<Glimpse> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    if let Some(reference) = opaque::parse(token) {
        return Some(Glimpse {
            jti: reference.jti,
            expires_at: reference.expires_at,
        });
    }
    if let Some(rest) = token.strip_prefix("v4.public.") {
        let body = BASE64URL.decode(rest.split('.').next()?).ok()?;
        return claims(body.get(..body.len().checked_sub(64)?)?);
    }
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    claims(&BASE64URL.decode(payload).ok()?)
}

fn claims(json: &[u8]) -> Option<Glimpse> {
    let claims: Value = serde_json::from_slice(json).ok()?;
    let expires_at = match claims.get("exp")? {
        Value::String(text) => OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp(),
        number => number.as_i64()?,
    };
    let jti = claims.get("jti")?.as_str()?.parse().ok()?;
    Some(Glimpse { jti, expires_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JTI: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);

    #[test]
    fn each_format_shows_its_id_and_expiry() {
        let expected = Some(Glimpse {
            jti: JTI,
            expires_at: 1_800_000_000,
        });
        let jwt = BASE64URL.encode(format!(r#"{{"jti":"{JTI}","exp":1800000000}}"#));
        assert_eq!(peek(&format!("e30.{jwt}.AA")), expected);
        let mut body = format!(r#"{{"jti":"{JTI}","exp":"2027-01-15T08:00:00Z"}}"#).into_bytes();
        body.extend([0; 64]);
        assert_eq!(peek(&format!("v4.public.{}.e30", BASE64URL.encode(&body))), expected);
        assert_eq!(peek(&opaque::format(JTI, 1_800_000_000, &[1; 32])), expected);
    }

    proptest! {
        #[test]
        fn nothing_panics(token in "(v4\\.public\\.|oas_at_|[A-Za-z0-9_-]*\\.)?[A-Za-z0-9_.-]{0,120}|\\PC*") {
            let _ = peek(&token);
        }
    }
}
