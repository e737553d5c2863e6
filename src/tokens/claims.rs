//! The claims of an access token and their two JSON encodings: JWT (RFC 9068) with integer times, PASETO with RFC 3339 times.

use std::borrow::Cow;
use std::sync::Arc;

use oauth2_store::model::StaticClaims;
use oauth2_store::model::token::uuid_v7_ms;
use serde::Deserialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::json::Object;

/// Claims with a meaning of their own in a token (RFC 7519, 8693, 8705, 9068, `OpenID` Connect) or in an introspection response
/// (RFC 7662).
pub const RESERVED_CLAIMS: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "azp",
    "cnf",
    "act",
    "may_act",
    "auth_time",
    "acr",
    "amr",
    "nonce",
    "sid",
    "events",
    "active",
    "token_type",
    "username",
    "kid",
    "typ",
    "alg",
];

/// The claims of one access token. `nbf` equals `iat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Issuer: this server's URL.
    pub iss: Arc<str>,
    /// Subject: the client itself, or the user it acts for.
    pub sub: Arc<str>,
    /// The one audience.
    pub aud: Arc<str>,
    /// Expiry, Unix seconds.
    pub exp: i64,
    /// Issued at, Unix seconds: the timestamp of `jti`, rounded down, or the clock's if that was set back.
    pub iat: i64,
    /// Token id, a UUIDv7.
    pub jti: Uuid,
    /// The client it was issued to.
    pub client_id: Arc<str>,
    /// Granted scope, space-separated.
    pub scope: Arc<str>,
    /// Private claims registered for the client (RFC 7519 section 4.3): a JSON object without its braces. No name equals one of
    /// the other claims.
    pub extra: Option<Arc<str>>,
}

impl Claims {
    /// When the token was issued, Unix milliseconds: the timestamp of its `jti`, or, if that is ahead of the clock, the end of the second
    /// `iat`.
    pub fn issued_ms(&self) -> i64 {
        (uuid_v7_ms(&self.jti) as i64).min(self.iat.saturating_mul(1000).saturating_add(999))
    }
}

impl Claims {
    /// The user that the client acts for; `None` if the client is the subject itself.
    pub fn user(&self) -> Option<&str> {
        (self.sub != self.client_id).then_some(&*self.sub)
    }
}

#[derive(Deserialize)]
struct Parsed<'a, T> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    #[serde(borrow)]
    sub: Cow<'a, str>,
    #[serde(borrow)]
    aud: Cow<'a, str>,
    exp: T,
    iat: T,
    jti: Uuid,
    #[serde(borrow)]
    client_id: Cow<'a, str>,
    #[serde(borrow)]
    scope: Cow<'a, str>,
}

impl<T> Parsed<'_, T> {
    fn into_claims(self, payload: &[u8], seconds: impl Fn(&T) -> Option<i64>) -> Option<Claims> {
        let extra = private_claims(payload, &self.scope)?;
        let client_id: Arc<str> = self.client_id.as_ref().into();
        Some(Claims {
            exp: seconds(&self.exp)?,
            iat: seconds(&self.iat)?,
            iss: self.iss.as_ref().into(),
            sub: if self.sub == self.client_id {
                Arc::clone(&client_id)
            } else {
                self.sub.as_ref().into()
            },
            aud: self.aud.as_ref().into(),
            jti: self.jti,
            client_id,
            scope: self.scope.as_ref().into(),
            extra: (!extra.is_empty()).then(|| extra.into()),
        })
    }
}

/// Appends the claims of a PASETO: times are RFC 3339 strings.
pub fn write_paseto(claims: &Claims, out: &mut Vec<u8>) {
    let (exp, iat) = (Timestamp::new(claims.exp), Timestamp::new(claims.iat));
    write(claims, out, |object| {
        object
            .text("exp", exp.as_str())
            .text("nbf", iat.as_str())
            .text("iat", iat.as_str())
    });
}

/// Appends the claims of a JWT: times are integers (RFC 7519 section 2, `NumericDate`).
pub fn write_jwt(claims: &Claims, out: &mut Vec<u8>) {
    write(claims, out, |object| {
        object
            .number("exp", claims.exp)
            .number("nbf", claims.iat)
            .number("iat", claims.iat)
    });
}

fn write(claims: &Claims, out: &mut Vec<u8>, times: impl FnOnce(Object<'_>) -> Object<'_>) {
    let object = Object::begin(out)
        .text("iss", &claims.iss)
        .text("sub", &claims.sub)
        .text("aud", &claims.aud);
    times(object)
        .text("jti", claims.jti.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
        .text("client_id", &claims.client_id)
        .text("scope", &claims.scope)
        .members(claims.extra.as_deref())
        .end();
}

/// The private claims of a payload: the members after `scope`, which this server writes last of its own claims. `None` if the
/// payload has another layout.
fn private_claims<'a>(payload: &'a [u8], scope: &str) -> Option<&'a str> {
    const NAME: &[u8] = br#""scope":""#;
    // The first match is the claim itself: a scope needs no JSON escapes, and quotes within an earlier string are escaped.
    let ends_with_scope = payload
        .strip_suffix(br#""}"#)
        .and_then(|rest| rest.strip_suffix(scope.as_bytes()))
        .is_some_and(|rest| rest.ends_with(NAME));
    if ends_with_scope {
        return Some("");
    }
    let claim = [NAME, scope.as_bytes(), b"\","].concat();
    let end = memchr::memmem::find(payload, &claim)? + claim.len();
    let members = payload.get(end..)?.strip_suffix(b"}")?;
    str::from_utf8(members).ok()
}

/// Whether a payload is byte for byte what this server writes for its claims: in its layout, no member twice, no private claim of a
/// reserved name. Whoever shares a key with this server may have signed any other payload.
fn is_canonical(claims: &Claims, payload: &[u8], write: fn(&Claims, &mut Vec<u8>)) -> bool {
    let mut written = Vec::with_capacity(payload.len());
    write(claims, &mut written);
    written == payload && claims.extra.as_deref().is_none_or(are_private)
}

fn are_private(members: &str) -> bool {
    let Ok(map) = serde_json::from_str::<Map<String, Value>>(&format!("{{{members}}}")) else {
        return false;
    };
    !map.keys().any(|name| RESERVED_CLAIMS.contains(&name.as_str()))
        && StaticClaims::from(map).members().map(AsRef::as_ref) == Some(members)
}

/// The claims of a PASETO whose payload is byte for byte what this server writes for them.
pub fn canonical_paseto(payload: &[u8]) -> Option<Claims> {
    parse_paseto(payload).filter(|claims| is_canonical(claims, payload, write_paseto))
}

/// The claims of a JWT whose payload is byte for byte what this server writes for them.
pub fn canonical_jwt(payload: &[u8]) -> Option<Claims> {
    parse_jwt(payload).filter(|claims| is_canonical(claims, payload, write_jwt))
}

/// Parses the claims of a PASETO with a verified signature. `None` if this server does not write such claims.
pub fn parse_paseto(payload: &[u8]) -> Option<Claims> {
    let parsed: Parsed<'_, &str> = serde_json::from_slice(payload).ok()?;
    parsed.into_claims(payload, |text| {
        OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .map(OffsetDateTime::unix_timestamp)
    })
}

/// Parses the claims of a JWT with a verified signature. `None` if this server does not write such claims.
pub fn parse_jwt(payload: &[u8]) -> Option<Claims> {
    let parsed: Parsed<'_, i64> = serde_json::from_slice(payload).ok()?;
    parsed.into_claims(payload, |seconds| Some(*seconds))
}

/// `YYYY-MM-DDTHH:MM:SSZ` on the stack, without the general formatter: a token has three timestamps.
struct Timestamp([u8; 20]);

impl Timestamp {
    fn new(unix_seconds: i64) -> Self {
        let t = OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = t.to_calendar_date();
        let (hour, minute, second) = t.to_hms();
        let mut text = *b"0000-00-00T00:00:00Z";
        put_two_digits(&mut text[0..2], year.unsigned_abs() / 100);
        put_two_digits(&mut text[2..4], year.unsigned_abs() % 100);
        put_two_digits(&mut text[5..7], u8::from(month).into());
        put_two_digits(&mut text[8..10], day.into());
        put_two_digits(&mut text[11..13], hour.into());
        put_two_digits(&mut text[14..16], minute.into());
        put_two_digits(&mut text[17..19], second.into());
        Self(text)
    }

    fn as_str(&self) -> &str {
        // Always ASCII.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn put_two_digits(digits: &mut [u8], value: u32) {
    digits[0] = b'0' + (value / 10 % 10) as u8;
    digits[1] = b'0' + (value % 10) as u8;
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn sample() -> Claims {
        Claims {
            iss: "http://127.0.0.1:8080".into(),
            sub: "ci".into(),
            aud: "https://api.example.com/\"quoted\"".into(),
            exp: 1_800_000_000,
            iat: 1_799_998_200,
            jti: Uuid::from_u128(0x01a3_1840_d93b_7000_8000_0000_0000_0001),
            client_id: "ci".into(),
            scope: "read write".into(),
            extra: None,
        }
    }

    #[test]
    fn both_encodings_round_trip() {
        for extra in [
            None,
            Some(r#""tenant":"a \"quoted\" \u0001","plan":{"scope":"read write"}"#),
        ] {
            for scope in ["read write", ""] {
                let claims = Claims {
                    extra: extra.map(Into::into),
                    scope: scope.into(),
                    ..sample()
                };
                let mut out = Vec::new();
                write_paseto(&claims, &mut out);
                assert_eq!(parse_paseto(&out), Some(claims.clone()));
                out.clear();
                write_jwt(&claims, &mut out);
                assert_eq!(parse_jwt(&out), Some(claims));
            }
        }
    }

    proptest! {
        #[test]
        fn private_claims_round_trip_and_change_no_other_claim(
            names in prop::collection::vec("[a-z_:/]{1,12}", 0..5), text in any::<String>(), number in any::<i64>(), aud in any::<String>(),
        ) {
            let reserved = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope"];
            let value = serde_json::json!({"scope": text, "list": [number, text, null]});
            let members = names.into_iter().filter(|name| !reserved.contains(&name.as_str())).map(|name| (name, value.clone()));
            let extra = StaticClaims::from(members.collect::<serde_json::Map<_, _>>()).members().cloned();
            let claims = Claims { extra, aud: aud.as_str().into(), ..sample() };
            let mut out = Vec::new();
            write_jwt(&claims, &mut out);
            prop_assert_eq!(parse_jwt(&out), Some(claims.clone()));
            out.clear();
            write_paseto(&claims, &mut out);
            prop_assert_eq!(parse_paseto(&out), Some(claims));
        }
    }

    #[test]
    fn only_payloads_in_the_servers_own_layout_are_canonical() {
        let claims = Claims {
            extra: Some(r#""a":1.5,"plan":{"scope":"x"}"#.into()),
            ..sample()
        };
        let mut payload = Vec::new();
        write_jwt(&claims, &mut payload);
        assert!(is_canonical(&claims, &payload, write_jwt));
        let text = String::from_utf8(payload).unwrap();
        for (from, to) in [
            (r#""a":1.5"#, r#""username":"root""#),
            (r#""a":1.5"#, r#""cnf":{}"#),
            (r#""a":1.5"#, r#""a":1.5,"a":2"#),
            (r#""a":1.5"#, r#""a": 1.5"#),
            (r#""a":1.5"#, r#""z":1.5"#),
            (r#""iss":"#, r#""nested":{"scope":"read write","x":1},"iss":"#),
            (r#""nbf":"#, r#""nbf":1,"nbf":"#),
        ] {
            let forged = text.replacen(from, to, 1);
            assert_ne!(forged, text);
            let parsed = parse_jwt(forged.as_bytes());
            assert!(
                !parsed.is_some_and(|parsed| is_canonical(&parsed, forged.as_bytes(), write_jwt)),
                "{forged}"
            );
        }
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        for seconds in [0, 951_782_400, 1_709_164_799, 1_800_000_000, 4_102_444_799] {
            let expected = OffsetDateTime::from_unix_timestamp(seconds)
                .unwrap()
                .format(&Rfc3339)
                .unwrap();
            assert_eq!(Timestamp::new(seconds).as_str(), expected);
        }
    }
}
