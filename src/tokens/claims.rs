//! What an access token says, and its two JSON forms: RFC 9068 with integer times for JWT, RFC 3339 times for PASETO.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::json::Object;

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
    /// Issued at and not before, Unix seconds: the stamp of `jti`, rounded down.
    pub iat: i64,
    /// Token id, a UUIDv7.
    pub jti: Uuid,
    /// The client it was issued to.
    pub client_id: Arc<str>,
    /// Granted scope, space-separated.
    pub scope: Arc<str>,
    /// What the client's tokens say beside: members of a JSON object, without its braces, none of which has a name from above.
    pub extra: Option<Arc<str>>,
}

impl Claims {
    /// The user that the token stands for, if it is not the client itself.
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
        let extra = extra(payload, &self.scope)?;
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

/// Appends the claims as PASETO wants them: times as RFC 3339 strings.
pub fn write_paseto(claims: &Claims, out: &mut Vec<u8>) {
    let (exp, iat) = (Timestamp::new(claims.exp), Timestamp::new(claims.iat));
    write(claims, out, |object| {
        object
            .text("exp", exp.as_str())
            .text("nbf", iat.as_str())
            .text("iat", iat.as_str())
    });
}

/// Appends the claims as JWT wants them: times as integers (RFC 7519 section 2, `NumericDate`).
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

/// What a payload says after `scope`, which is the last of the claims that this server knows. `None`: it is not laid out so.
fn extra<'a>(payload: &'a [u8], scope: &str) -> Option<&'a str> {
    const NAME: &[u8] = br#""scope":""#;
    // A scope holds nothing that JSON would escape; and in a string that comes before, the quotes of this would be escaped.
    let ends_with_scope = payload
        .strip_suffix(br#""}"#)
        .and_then(|rest| rest.strip_suffix(scope.as_bytes()))
        .is_some_and(|rest| rest.ends_with(NAME));
    if ends_with_scope {
        return Some("");
    }
    let wanted = [NAME, scope.as_bytes(), b"\","].concat();
    let at = memchr::memmem::find(payload, &wanted)? + wanted.len();
    let members = payload.get(at..)?.strip_suffix(b"}")?;
    str::from_utf8(members).ok()
}

/// Reads the claims of a PASETO whose signature holds; `None` when they are not ones this server writes.
pub fn parse_paseto(payload: &[u8]) -> Option<Claims> {
    let parsed: Parsed<'_, &str> = serde_json::from_slice(payload).ok()?;
    parsed.into_claims(payload, |text| {
        OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .map(OffsetDateTime::unix_timestamp)
    })
}

/// Reads the claims of a JWT whose signature holds; `None` when they are not ones this server writes.
pub fn parse_jwt(payload: &[u8]) -> Option<Claims> {
    let parsed: Parsed<'_, i64> = serde_json::from_slice(payload).ok()?;
    parsed.into_claims(payload, |seconds| Some(*seconds))
}

/// `YYYY-MM-DDTHH:MM:SSZ` on the stack. Written digit by digit: a token carries three of them.
struct Timestamp([u8; 20]);

impl Timestamp {
    fn new(unix_seconds: i64) -> Self {
        let t = OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = t.to_calendar_date();
        let (hour, minute, second) = t.to_hms();
        let mut text = *b"0000-00-00T00:00:00Z";
        put(&mut text[0..2], year.unsigned_abs() / 100);
        put(&mut text[2..4], year.unsigned_abs() % 100);
        put(&mut text[5..7], u8::from(month).into());
        put(&mut text[8..10], day.into());
        put(&mut text[11..13], hour.into());
        put(&mut text[14..16], minute.into());
        put(&mut text[17..19], second.into());
        Self(text)
    }

    fn as_str(&self) -> &str {
        // Only ASCII digits and separators were put there.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn put(two: &mut [u8], value: u32) {
    two[0] = b'0' + (value / 10 % 10) as u8;
    two[1] = b'0' + (value % 10) as u8;
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use oauth2_actors::model::StaticClaims;
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
    fn both_forms_read_back_what_was_written() {
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
        /// Whatever is said beside the claims comes back as it was, and changes none of them.
        #[test]
        fn what_is_said_beside_comes_back(
            names in prop::collection::vec("[a-z_:/]{1,12}", 0..5), text in any::<String>(), number in any::<i64>(), aud in any::<String>(),
        ) {
            let known = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope"];
            let value = serde_json::json!({"scope": text, "list": [number, text, null]});
            let members = names.into_iter().filter(|name| !known.contains(&name.as_str())).map(|name| (name, value.clone()));
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
