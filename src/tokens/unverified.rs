//! The id and expiry of a token, read without verification: to look up or revoke a token that a caller presents.

use base64::Engine;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{BASE64URL, MAX_TOKEN_BYTES, opaque};

/// The unverified id and expiry of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnverifiedClaims {
    /// Token id.
    pub jti: Uuid,
    /// Expiry, Unix seconds.
    pub expires_at: i64,
}

/// Reads a PASETO `v4.public`, a JWT or an opaque token. `None` for anything else. The result must not be trusted.
pub fn read(token: &str) -> Option<UnverifiedClaims> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    if let Some(reference) = opaque::parse(token) {
        return Some(UnverifiedClaims {
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

fn claims(json: &[u8]) -> Option<UnverifiedClaims> {
    let claims: Value = serde_json::from_slice(json).ok()?;
    let expires_at = match claims.get("exp")? {
        Value::String(text) => OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp(),
        number => number.as_i64()?,
    };
    let jti = claims.get("jti")?.as_str()?.parse().ok()?;
    Some(UnverifiedClaims { jti, expires_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JTI: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);

    #[test]
    fn id_and_expiry_are_read_from_every_format() {
        let expected = Some(UnverifiedClaims {
            jti: JTI,
            expires_at: 1_800_000_000,
        });
        let jwt = BASE64URL.encode(format!(r#"{{"jti":"{JTI}","exp":1800000000}}"#));
        assert_eq!(read(&format!("e30.{jwt}.AA")), expected);
        let mut body = format!(r#"{{"jti":"{JTI}","exp":"2027-01-15T08:00:00Z"}}"#).into_bytes();
        body.extend([0; 64]);
        assert_eq!(read(&format!("v4.public.{}.e30", BASE64URL.encode(&body))), expected);
        assert_eq!(read(&opaque::format(JTI, 1_800_000_000, &[1; 32])), expected);
    }

    proptest! {
        #[test]
        fn no_input_panics(token in "(v4\\.public\\.|oas_at_|[A-Za-z0-9_-]*\\.)?[A-Za-z0-9_.-]{0,120}|\\PC*") {
            let _ = read(&token);
        }
    }
}
