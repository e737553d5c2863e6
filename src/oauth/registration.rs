//! What may be said of a client: registration and updates, checked (RFC 7591 section 2 for the names).
//!
//! A [`ClientRequest`] is the JSON of the admin API and the flags of the command line alike. [`register`] makes a client of
//! it; [`update`] lays it over one as a JSON merge patch (RFC 7396): absent = unchanged, null = the server's default.

use std::str::FromStr;
use std::sync::Arc;

use oauth2_actors::model::{
    Client, ClientSecret, GrantType, Ledger, MAX_TOKEN_LIFETIME, Policy, SigningAlg, TokenFormat,
};
use thiserror::Error;
use url::Url;

mod field;
mod policy;
mod request;

pub use field::Field;
pub use policy::quota_below;
pub use request::ClientRequest;

use super::scope::is_scope_token;
use crate::tokens::secret::{self, NoRandomness};

const MAX_ID: usize = 128;
const MAX_NAME: usize = 256;
const MAX_SCOPE_TOKEN: usize = 128;
const MAX_SCOPE: usize = 2048;
const MAX_URIS: usize = 64;
const MAX_URI: usize = 512;
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 32..=256;

/// A field that must not be so.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field} {reason}")]
pub struct Invalid {
    /// Which field.
    pub field: &'static str,
    /// Why, as the rest of a sentence that begins with the field.
    pub reason: String,
}

fn invalid(field: &'static str, reason: impl Into<String>) -> Invalid {
    Invalid {
        field,
        reason: reason.into(),
    }
}

/// What the server does where a client does not say.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// Format of access tokens.
    pub format: TokenFormat,
    /// Whether they are recorded.
    pub ledger: Ledger,
    /// Whether there is a secret for HS256.
    pub shares_secret: bool,
}

/// Randomness for a registration.
#[derive(Clone)]
pub struct Fresh {
    /// Used when no id is given.
    pub client_id: String,
    /// Used when no secret is given.
    pub secret: String,
}

impl Fresh {
    /// From the operating system's randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        use base64::Engine;
        let bytes = secret::random_bytes()?;
        let client_id = format!("c_{}", crate::tokens::BASE64URL.encode(&bytes[..15]));
        Ok(Self {
            client_id,
            secret: secret::generate_client_secret()?,
        })
    }
}

/// A client to be stored, and the secret that is told once.
#[derive(Clone)]
pub struct Registered {
    /// The client, version 1.
    pub client: Client,
    /// Its secret in clear.
    pub secret: String,
}

/// Checks a registration. `now`: Unix seconds.
pub fn register(request: &ClientRequest, defaults: &Defaults, fresh: Fresh, now: i64) -> Result<Registered, Invalid> {
    refuse_created_at(request)?;
    let client_id = request.client_id.value().cloned().unwrap_or(fresh.client_id);
    check_id(&client_id)?;
    let secret = request.client_secret.value().cloned().unwrap_or(fresh.secret);
    check_secret(&secret)?;
    let mut client = Client {
        client_id: client_id.into(),
        client_name: None,
        grant_types: [GrantType::ClientCredentials].into(),
        scope: "".into(),
        token_format: None,
        signing_alg: None,
        audience: Arc::default(),
        resource_server: Arc::default(),
        token_ledger: None,
        access_token_lifetime: None,
        policy: None,
        disabled: false,
        created_at: now,
        version: 1,
        secrets: [ClientSecret {
            hash: secret::hash(&secret),
            expires_at: None,
        }]
        .into(),
    };
    apply(request, &mut client)?;
    check_together(&client, *defaults)?;
    Ok(Registered { client, secret })
}

/// Lays an update over a client as it was read; the answer keeps the version that was read.
pub fn update(request: &ClientRequest, current: &Client, defaults: &Defaults) -> Result<Client, Invalid> {
    if request.client_id != Field::Absent {
        return Err(invalid("client_id", "cannot be changed: register another client"));
    }
    if request.client_secret != Field::Absent {
        return Err(invalid("client_secret", "cannot be changed by an update: rotate it"));
    }
    refuse_created_at(request)?;
    let mut client = current.clone();
    apply(request, &mut client)?;
    check_together(&client, *defaults)?;
    Ok(client)
}

fn refuse_created_at(request: &ClientRequest) -> Result<(), Invalid> {
    match request.created_at {
        Field::Absent => Ok(()),
        _ => Err(invalid("created_at", "is set by the server")),
    }
}

/// Checks a secret that somebody chose.
pub fn check_secret(secret: &str) -> Result<(), Invalid> {
    if !SECRET_LENGTH.contains(&secret.len()) || !secret.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        let reason =
            "must be 32 to 256 printable ASCII characters: it is kept as a fast hash, which only a long secret resists";
        return Err(invalid("client_secret", reason));
    }
    Ok(())
}

/// Whether a client may be called so.
pub fn is_client_id(id: &str) -> bool {
    // Without characters that form-encoding touches, the id is the same in the Authorization header and in a form.
    let plain = id
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._~:-".contains(&byte));
    (1..=MAX_ID).contains(&id.len()) && plain && !matches!(id, "." | "..")
}

/// What a list may ask ids to begin with: nothing, or what an id may be.
pub fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    if prefix.is_empty() || is_client_id(prefix) || matches!(prefix, "." | "..") {
        Ok(())
    } else {
        Err("prefix is no beginning of a client_id: letters, digits and ._~:-, 128 at the most")
    }
}

fn check_id(id: &str) -> Result<(), Invalid> {
    if !is_client_id(id) {
        return Err(invalid(
            "client_id",
            format!("must be 1 to {MAX_ID} characters of A-Z a-z 0-9 . _ ~ : -"),
        ));
    }
    Ok(())
}

fn apply(request: &ClientRequest, client: &mut Client) -> Result<(), Invalid> {
    set(&mut client.client_name, &request.client_name, |name| check_name(name))?;
    set_or(
        &mut client.grant_types,
        &request.grant_types,
        [GrantType::ClientCredentials].into(),
        |names| grants(names).map(Into::into),
    )?;
    set_or(&mut client.scope, &request.scope, "".into(), |text| scope(text))?;
    set(&mut client.token_format, &request.token_format, |name| {
        named("token_format", name)
    })?;
    set(&mut client.signing_alg, &request.signing_alg, |name| {
        named("signing_alg", name)
    })?;
    set_or(&mut client.audience, &request.audience, Arc::default(), |list| {
        uris("audience", list).map(Into::into)
    })?;
    set_or(
        &mut client.resource_server,
        &request.resource_server,
        Arc::default(),
        |list| uris("resource_server", list).map(Into::into),
    )?;
    set(&mut client.token_ledger, &request.token_ledger, |name| {
        named("token_ledger", name)
    })?;
    set(
        &mut client.access_token_lifetime,
        &request.access_token_lifetime,
        |seconds| lifetime(*seconds),
    )?;
    let mut policy = client.policy().clone();
    policy::apply(request, &mut policy)?;
    client.policy = (policy != *Policy::none()).then(|| Arc::new(policy));
    set_or(&mut client.disabled, &request.disabled, false, |flag| Ok(*flag))
}

fn set<T, U>(place: &mut Option<U>, field: &Field<T>, check: impl Fn(&T) -> Result<U, Invalid>) -> Result<(), Invalid> {
    set_or(place, field, None, |value| check(value).map(Some))
}

fn set_or<T, U>(
    place: &mut U,
    field: &Field<T>,
    default: U,
    check: impl Fn(&T) -> Result<U, Invalid>,
) -> Result<(), Invalid> {
    match field {
        Field::Absent => {}
        Field::Null => *place = default,
        Field::Value(value) => *place = check(value)?,
    }
    Ok(())
}

fn check_name(name: &str) -> Result<Box<str>, Invalid> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(invalid(
            "client_name",
            format!("must be 1 to {MAX_NAME} bytes without control characters"),
        ));
    }
    Ok(name.into())
}

fn named<T: FromStr<Err = String>>(field: &'static str, name: &str) -> Result<T, Invalid> {
    name.parse().map_err(|reason: String| invalid(field, reason))
}

fn grants(names: &[String]) -> Result<Vec<GrantType>, Invalid> {
    let mut grants = Vec::new();
    for name in names {
        let grant = named("grant_types", name)?;
        if !grants.contains(&grant) {
            grants.push(grant);
        }
    }
    if grants.is_empty() {
        return Err(invalid("grant_types", "must name at least one grant"));
    }
    Ok(grants)
}

/// Scopes, each once, in the order given (RFC 6749 section 3.3).
fn scope(text: &str) -> Result<Arc<str>, Invalid> {
    if text.len() > MAX_SCOPE {
        return Err(invalid("scope", format!("must be at most {MAX_SCOPE} characters")));
    }
    let mut scopes: Vec<&str> = Vec::new();
    for token in text.split(' ').filter(|token| !token.is_empty()) {
        if !is_scope_token(token) || token.len() > MAX_SCOPE_TOKEN {
            let reason = format!(
                "must be names separated by spaces, each at most {MAX_SCOPE_TOKEN} visible ASCII characters without \" and \\"
            );
            return Err(invalid("scope", reason));
        }
        if !scopes.contains(&token) {
            scopes.push(token);
        }
    }
    Ok(scopes.join(" ").into())
}

/// Absolute URIs without fragment (RFC 8707 section 2).
fn uris(field: &'static str, list: &[String]) -> Result<Vec<Arc<str>>, Invalid> {
    if list.len() > MAX_URIS {
        return Err(invalid(field, format!("must have at most {MAX_URIS} entries")));
    }
    let mut uris: Vec<Arc<str>> = Vec::with_capacity(list.len());
    for uri in list {
        if !is_absolute_uri(uri) {
            let reason = format!("must be absolute URIs without fragment, each at most {MAX_URI} characters");
            return Err(invalid(field, reason));
        }
        if uris.iter().any(|known| **known == **uri) {
            return Err(invalid(field, format!("names {uri} twice")));
        }
        uris.push(uri.as_str().into());
    }
    Ok(uris)
}

fn is_absolute_uri(uri: &str) -> bool {
    // Characters that RFC 3986 does not know would be repaired by the parser, and then never compare equal.
    let plain = uri
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte));
    uri.len() <= MAX_URI && plain && Url::parse(uri).is_ok()
}

fn lifetime(seconds: i64) -> Result<u32, Invalid> {
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| (1..=MAX_TOKEN_LIFETIME).contains(&i64::from(*seconds)))
        .ok_or_else(|| {
            invalid(
                "access_token_lifetime",
                format!("must be 1 to {MAX_TOKEN_LIFETIME} seconds"),
            )
        })
}

/// What only shows when the fields stand together.
fn check_together(client: &Client, defaults: Defaults) -> Result<(), Invalid> {
    let format = client.token_format.unwrap_or(defaults.format);
    if client.signing_alg.is_some() && format != TokenFormat::Jwt {
        let reason = format!("is for token_format jwt only, and this client's is {format}");
        return Err(invalid("signing_alg", reason));
    }
    if client.policy().reuse_percent.is_some() && format == TokenFormat::Opaque {
        let reason = "is for self-contained tokens only: of an opaque one the server keeps no more than a hash";
        return Err(invalid("reuse_percent", reason));
    }
    if client.signing_alg == Some(SigningAlg::Hs256) && !defaults.shares_secret {
        let reason = "cannot be HS256 here: no secret for it is given in OAUTH2_JWT_SECRET";
        return Err(invalid("signing_alg", reason));
    }
    let ledger = client.token_ledger.unwrap_or(defaults.ledger);
    if format == TokenFormat::Opaque && ledger == Ledger::Stateless {
        return Err(invalid(
            "token_ledger",
            "must be durable for token_format opaque: an opaque token must be recorded",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
