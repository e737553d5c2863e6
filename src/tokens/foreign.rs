//! JWTs of the issuer that this server replaces: their header and their claims.
//!
//! Such a token is not byte for byte what this server writes, as its own tokens have to be (`claims::canonical_jwt`), so nothing of its
//! text is passed on: the known claims are parsed, checked and written again. A token of another kind, such as an ID token, which the
//! same key may have signed, is rejected.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Number;
use thiserror::Error;
use uuid::Uuid;

use super::{BASE64URL, jwt, opaque};

/// Types of access tokens in a header (RFC 9068 section 2.1), lower case. Most issuers write `JWT`.
const TYPES: [&str; 3] = ["at+jwt", "application/at+jwt", "jwt"];

/// Longest opaque token of another issuer, bytes.
const MAX_OPAQUE_BYTES: usize = 4096;

/// The beginning of every credential of this server that is no JWT or PASETO.
const OWN_PREFIX: &str = "oas_";

/// In the header of a PASETO.
const PASETO_PURPOSES: [&str; 2] = [".public.", ".local."];

/// Base64url of `{"`.
const JSON_BEGIN: &str = "eyJ";

/// The last second of the year 9999.
const MAX_TIME: i64 = 253_402_300_799;

/// A response that is no introspection response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it answers something else than an introspection response (RFC 7662)")]
pub struct NoIntrospection;

/// The header parameters that decide which key verifies a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignHeader {
    /// The algorithm that the token claims. It has to be that of the key.
    pub alg: String,
    /// The key. Some issuers with one key do not name it.
    pub kid: Option<String>,
}

/// The claims of an access token of another issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignClaims {
    /// Identifies the token in the revocation log: a hash of `iss` and `jti`, or, without a `jti`, of what is signed, or of an opaque
    /// token. A UUID of version 8, so that no token of this server has it.
    pub id: Uuid,
    /// Issuer. Every JWT has one.
    pub iss: Option<Arc<str>>,
    /// Subject.
    pub sub: Option<Arc<str>>,
    /// Audiences.
    pub aud: Vec<Arc<str>>,
    /// Expiry, Unix seconds.
    pub exp: i64,
    /// From when it is valid, Unix seconds.
    pub nbf: Option<i64>,
    /// When it was issued, Unix seconds.
    pub iat: Option<i64>,
    /// Token id, any string.
    pub jti: Option<Arc<str>>,
    /// The client it was issued to.
    pub client_id: Arc<str>,
    /// Granted scope, space-separated.
    pub scope: Option<Arc<str>>,
}

impl ForeignClaims {
    /// The user that the client acts for; `None` if the client is the subject itself.
    pub fn user(&self) -> Option<&str> {
        self.sub.as_deref().filter(|sub| *sub != &*self.client_id)
    }

    /// When it was issued, Unix milliseconds. A token that does not say so counts as issued before every revocation cut-off.
    pub fn issued_ms(&self) -> u64 {
        // Not 0, which is the cut-off of an issuer that never revoked anything.
        self.iat.unwrap_or(0).max(0).unsigned_abs().saturating_mul(1000).max(1)
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

/// The header of a token. `None` unless it is that of a signed access token without extensions that must be understood (`crit`).
pub fn header(token: &str) -> Option<ForeignHeader> {
    let decoded = BASE64URL.decode(jwt::header(token)?).ok()?;
    let header: Header = utf8_json(&decoded)?;
    let is_access_token = header
        .typ
        .is_none_or(|typ| TYPES.iter().any(|allowed| typ.eq_ignore_ascii_case(allowed)));
    (is_access_token && header.crit.is_none()).then_some(ForeignHeader {
        alg: header.alg,
        kid: header.kid,
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// A member twice is an error of the parser.
#[derive(Deserialize)]
struct Payload {
    /// In an introspection response (RFC 7662 section 2.2).
    active: Option<bool>,
    /// In an introspection response: `Bearer`.
    token_type: Option<String>,
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<OneOrMany>,
    exp: Option<Number>,
    nbf: Option<Number>,
    iat: Option<Number>,
    jti: Option<String>,
    client_id: Option<String>,
    /// The client in tokens of Keycloak, Auth0 and others.
    azp: Option<String>,
    /// The client in tokens of UAA and Okta.
    cid: Option<String>,
    scope: Option<OneOrMany>,
    /// The scope in tokens of Hydra and Okta.
    scp: Option<OneOrMany>,
    /// `Bearer` in access tokens of Keycloak.
    typ: Option<String>,
    /// `access` in access tokens of Cognito, `access_token` in introspection responses of Hydra.
    token_use: Option<String>,
    /// Binds the token to a key, which introspection would have to answer and every caller to check.
    cnf: Option<IgnoredAny>,
    /// Of ID tokens.
    nonce: Option<IgnoredAny>,
    at_hash: Option<IgnoredAny>,
    c_hash: Option<IgnoredAny>,
    /// Of logout tokens and security events.
    events: Option<IgnoredAny>,
    /// About the authentication of a user: in ID tokens, and in access tokens of some issuers.
    auth_time: Option<IgnoredAny>,
    acr: Option<IgnoredAny>,
    amr: Option<IgnoredAny>,
    sid: Option<IgnoredAny>,
}

impl Payload {
    fn is_bearer_access_token(&self) -> bool {
        let others = [&self.cnf, &self.nonce, &self.at_hash, &self.c_hash, &self.events];
        let is_bearer = |typ: &Option<String>| typ.as_deref().is_none_or(|typ| typ.eq_ignore_ascii_case("bearer"));
        let usage = self.token_use.as_deref();
        others.into_iter().all(Option::is_none)
            && is_bearer(&self.typ)
            && is_bearer(&self.token_type)
            && usage.is_none_or(|usage| matches!(usage, "access" | "access_token"))
    }

    /// Whether it describes an authentication to its client alone, as an ID token does (OIDC Core section 2).
    fn is_authentication(&self) -> bool {
        let about_user = [&self.auth_time, &self.acr, &self.amr, &self.sid];
        let audience = match &self.aud {
            Some(OneOrMany::One(one)) => Some(one),
            Some(OneOrMany::Many(many)) => many.first().filter(|_| many.len() == 1),
            None => None,
        };
        let named = [&self.client_id, &self.azp, &self.cid].into_iter().flatten().next();
        audience.is_some_and(|audience| named.is_none_or(|named| named == audience))
            && about_user.into_iter().any(Option::is_some)
    }

    /// The client that the token was issued to. Spring names it by `sub` and `aud` alone, where it acts on its own behalf.
    fn client(&self, aud: &[Arc<str>]) -> Option<Arc<str>> {
        let named = [&self.client_id, &self.azp, &self.cid].into_iter().flatten().next();
        if let Some(named) = named {
            return Some(named.as_str().into());
        }
        let own = aud.first().filter(|_| aud.len() == 1)?;
        (self.sub.as_deref() == Some(&**own)).then(|| Arc::clone(own))
    }
}

/// The claims of a token whose signature is verified. `None` unless they are the claims of a bearer access token.
pub fn claims(token: &str) -> Option<ForeignClaims> {
    let payload: Payload = utf8_json(&jwt::payload(token)?)?;
    if payload.is_authentication() {
        return None;
    }
    let iss = payload.iss.as_ref()?;
    let id = match &payload.jti {
        Some(jti) => hash(&[b"jti", iss.as_bytes(), jti.as_bytes()]),
        // Without the signature: there may be several valid ones.
        None => hash(&[b"signed", token.rsplit_once('.')?.0.as_bytes()]),
    };
    payload.into_claims(id)
}

/// Whether a token may be an opaque token of another issuer: neither of a format of this server, nor a JWT or a PASETO, which are verified
/// by their signature. What may be one of these with a slip, such as quotes or a missing character, is none either: it would show the
/// other issuer a credential of this one.
pub fn may_be_opaque(token: &str) -> bool {
    let is_paseto = |token: &str| {
        let version = token.strip_prefix(['v', 'k']).and_then(|rest| rest.split_once('.'));
        version.is_some_and(|(version, _)| version.len() == 1 && version.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let begins_as_jose = || {
        let (first, _) = token.split_once('.')?;
        let decoded = BASE64URL.decode(first).ok()?;
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&decoded).ok()
    };
    (1..=MAX_OPAQUE_BYTES).contains(&token.len())
        && token
            .bytes()
            .all(|byte| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'"' | b'\'' | b'`'))
        && !token.contains(OWN_PREFIX)
        && !opaque::may_contain(token)
        && !is_paseto(token)
        && !PASETO_PURPOSES.iter().any(|purpose| token.contains(purpose))
        && begins_as_jose().is_none()
        && !contains_json(token)
}

/// Whether base64url of a JSON object begins anywhere in the token, as headers and claims do. Opaque tokens do not look so by chance.
fn contains_json(token: &str) -> bool {
    token.match_indices(JSON_BEGIN).any(|(at, _)| {
        let encoded: String = token[at..]
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            .take(16)
            .collect();
        let decoded = BASE64URL.decode(&encoded[..encoded.len() / 4 * 4]).unwrap_or_default();
        decoded.len() >= 6 && decoded.iter().all(|byte| matches!(byte, b' '..=b'~'))
    })
}

/// The claims in an introspection response (RFC 7662 section 2.2) about an opaque token. `Ok(None)`: it is inactive, or the response does not
/// describe a bearer access token with a client and an expiry. An error: it is no such response.
pub fn introspected(token: &str, response: &[u8]) -> Result<Option<ForeignClaims>, NoIntrospection> {
    let payload: Payload = utf8_json(response).ok_or(NoIntrospection)?;
    match payload.active {
        Some(true) => Ok(payload.into_claims(hash(&[b"opaque", token.as_bytes()]))),
        Some(false) => Ok(None),
        None => Err(NoIntrospection),
    }
}

impl Payload {
    fn into_claims(self, id: Uuid) -> Option<ForeignClaims> {
        if !self.is_bearer_access_token() {
            return None;
        }
        let aud = self.aud.as_ref().map(|aud| match aud {
            OneOrMany::One(one) => vec![one.as_str().into()],
            OneOrMany::Many(many) => many.iter().map(|aud| aud.as_str().into()).collect(),
        });
        let aud: Vec<Arc<str>> = aud.unwrap_or_default();
        let client_id = self.client(&aud)?;
        let optional = |time: &Option<Number>| match time {
            Some(time) => seconds(time).map(Some),
            None => Some(None),
        };
        Some(ForeignClaims {
            id,
            exp: seconds(self.exp.as_ref()?)?,
            nbf: optional(&self.nbf)?,
            iat: optional(&self.iat)?,
            iss: self.iss.map(Into::into),
            sub: self.sub.map(Into::into),
            jti: self.jti.map(Into::into),
            client_id,
            aud,
            scope: match self.scope.or(self.scp) {
                Some(scope) => Some(space_separated(scope)?),
                None => None,
            },
        })
    }
}

/// Parses JSON, which is UTF-8 (RFC 7519 section 7.2) also where a member is ignored.
fn utf8_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    serde_json::from_str(str::from_utf8(bytes).ok()?).ok()
}

/// A `NumericDate` (RFC 7519 section 2) in whole seconds. Fractions are cut off.
fn seconds(number: &Number) -> Option<i64> {
    let seconds = number.as_i64().or_else(|| {
        let fractional = number.as_f64()?;
        (fractional.abs() <= MAX_TIME as f64).then_some(fractional.floor() as i64)
    })?;
    (-MAX_TIME..=MAX_TIME).contains(&seconds).then_some(seconds)
}

/// The scope as RFC 6749 section 3.3 writes it. `None` if it has characters that no scope has.
fn space_separated(scope: OneOrMany) -> Option<Arc<str>> {
    let is_scope_character = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    let joined = scope.into_vec().join(" ");
    let names: Vec<&str> = joined.split(' ').filter(|name| !name.is_empty()).collect();
    let is_valid = names.iter().all(|name| name.bytes().all(is_scope_character));
    is_valid.then(|| names.join(" ").into())
}

/// 122 bits of the SHA-256 of byte strings, as a UUID of version 8 (RFC 9562 section 5.8).
fn hash(parts: &[&[u8]]) -> Uuid {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&context.finish().as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests;
