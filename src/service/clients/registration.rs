//! Registration and update of a client, without the store (RFC 7591 section 2 for the names of its fields).

use base64::Engine;
use oauth2_store::model::{Client, ClientSecret, Ledger, SecretVerifier, SigningAlg, TokenFormat};

use super::field::Field;
use super::metadata::ClientRequest;
use super::{checks, foreign_hashes, secrets};
use crate::service::error::InvalidMetadata;
use crate::tokens::BASE64URL;
use crate::tokens::secret::{self, NoRandomness};

/// The server's settings that decide what a client may be registered with.
#[derive(Debug, Clone, Copy)]
pub struct RegistrationDefaults {
    /// Format of access tokens.
    pub format: TokenFormat,
    /// Whether they are recorded.
    pub ledger: Ledger,
    /// Whether a secret for HS256 is configured.
    pub has_shared_secret: bool,
}

/// A generated id and secret, for a registration that brings none.
#[derive(Clone)]
pub struct GeneratedCredentials {
    /// Client identifier.
    pub client_id: String,
    /// Client secret.
    pub secret: String,
}

impl GeneratedCredentials {
    /// From the operating system's randomness.
    pub fn generate() -> Result<Self, NoRandomness> {
        let bytes = secret::random_bytes()?;
        Ok(Self {
            client_id: format!("c_{}", BASE64URL.encode(&bytes[..15])),
            secret: secret::generate_client_secret()?,
        })
    }
}

/// A client that is not stored yet, and its secret.
#[derive(Clone)]
pub struct Registered {
    /// The client, version 1.
    pub client: Client,
    /// Its secret in clear, shown once; `None` if only a hash of it was given.
    pub secret: Option<String>,
}

/// Checks a registration. `now`: Unix seconds.
pub fn register(
    request: &ClientRequest,
    defaults: RegistrationDefaults,
    generated: GeneratedCredentials,
    now: i64,
) -> Result<Registered, InvalidMetadata> {
    reject_created_at(request)?;
    let client_id = request.client_id.value().cloned().unwrap_or(generated.client_id);
    checks::id(&client_id)?;
    let (verifier, secret) = if let Some(verifier) = given_hash(request)? {
        (verifier, None)
    } else {
        let secret = request.client_secret.value().cloned().unwrap_or(generated.secret);
        checks::secret(&secret)?;
        (SecretVerifier::Fast(secret::hash(&secret)), Some(secret))
    };
    let mut client = Client {
        secrets: [ClientSecret {
            verifier,
            expires_at: None,
        }]
        .into(),
        ..Client::new(client_id, now)
    };
    request.apply(&mut client)?;
    if request.grant_types == Field::Absent {
        client.grant_types = client.default_grant_types();
    }
    check_combination(&client, defaults)?;
    Ok(Registered { client, secret })
}

/// The hash that a request gives instead of a secret.
fn given_hash(request: &ClientRequest) -> Result<Option<SecretVerifier>, InvalidMetadata> {
    let scheme = request.client_secret_hash_scheme.value();
    let Some(hash) = request.client_secret_hash.value() else {
        return match scheme {
            None => Ok(None),
            Some(_) => Err(InvalidMetadata::new(
                foreign_hashes::SCHEME,
                "requires client_secret_hash",
            )),
        };
    };
    if request.client_secret.value().is_some() {
        let reason = "and client_secret_hash are both given; keep one of them";
        return Err(InvalidMetadata::new("client_secret", reason));
    }
    let read = foreign_hashes::read(hash, scheme.map(String::as_str))?;
    Ok(Some(read.verifier))
}

/// Applies an update to a client as it was read. The result keeps the version that was read.
pub fn update(
    request: &ClientRequest,
    current: &Client,
    defaults: RegistrationDefaults,
) -> Result<Client, InvalidMetadata> {
    if request.client_id != Field::Absent {
        let reason = "cannot be changed: register another client";
        return Err(InvalidMetadata::new("client_id", reason));
    }
    if request.client_secret != Field::Absent {
        let reason = "cannot be changed by an update: rotate it";
        return Err(InvalidMetadata::new("client_secret", reason));
    }
    if request.client_secret_hash != Field::Absent || request.client_secret_hash_scheme != Field::Absent {
        let reason = "cannot be changed by an update: rotate the secret, or import the client with overwrite";
        return Err(InvalidMetadata::new(foreign_hashes::HASH, reason));
    }
    reject_created_at(request)?;
    let mut client = current.clone();
    request.apply(&mut client)?;
    check_combination(&client, defaults)?;
    Ok(client)
}

/// Makes a client what a request says: what it leaves out gets the server's default, and the secrets stay. The answer of a read is
/// accepted as it is. The result keeps the version that was read.
pub fn replace(
    request: &ClientRequest,
    current: &Client,
    defaults: RegistrationDefaults,
) -> Result<Client, InvalidMetadata> {
    let unchangeable = |field| Err(InvalidMetadata::new(field, "cannot be changed by PUT: rotate it"));
    let is_known = |verifier: &SecretVerifier| secrets::find(current, verifier).is_some();
    match (given_hash(request)?, request.client_secret.value()) {
        (Some(verifier), _) if !is_known(&verifier) => return unchangeable(foreign_hashes::HASH),
        (None, Some(secret)) if !is_known(&SecretVerifier::Fast(secret::hash(secret))) => {
            return unchangeable("client_secret");
        }
        _ => {}
    }
    if let Some(at) = request.created_at.value()
        && *at != current.created_at
    {
        return Err(InvalidMetadata::new("created_at", "is set by the server"));
    }
    let unset = Client::new(current.client_id.clone(), current.created_at);
    let mut client = Client {
        version: current.version,
        secrets: current.secrets.clone(),
        ..unset
    };
    request.apply(&mut client)?;
    if request.grant_types == Field::Absent {
        client.grant_types = client.default_grant_types();
    }
    check_combination(&client, defaults)?;
    Ok(client)
}

/// Applies changes that were accepted before, whatever the settings of this process are. The result keeps the version that was read.
pub fn reapply(request: &ClientRequest, current: &Client) -> Result<Client, InvalidMetadata> {
    let mut client = current.clone();
    request.apply(&mut client)?;
    Ok(client)
}

fn reject_created_at(request: &ClientRequest) -> Result<(), InvalidMetadata> {
    match request.created_at {
        Field::Absent => Ok(()),
        _ => Err(InvalidMetadata::new("created_at", "is set by the server")),
    }
}

/// Checks that concern several fields.
fn check_combination(client: &Client, defaults: RegistrationDefaults) -> Result<(), InvalidMetadata> {
    let format = client.token_format.unwrap_or(defaults.format);
    if client.signing_alg.is_some() && format != TokenFormat::Jwt {
        let reason = format!("requires token_format jwt; this client's is {format}");
        return Err(InvalidMetadata::new("signing_alg", reason));
    }
    if client.token_typ.is_some() && format != TokenFormat::Jwt {
        let reason = format!("requires token_format jwt; this client's is {format}");
        return Err(InvalidMetadata::new("token_typ", reason));
    }
    if client.policy().reuse_percent.is_some() && format == TokenFormat::Opaque {
        let reason = "requires a self-contained token_format: the server keeps only a hash of an opaque token";
        return Err(InvalidMetadata::new("reuse_percent", reason));
    }
    if client.signing_alg == Some(SigningAlg::Hs256) && !defaults.has_shared_secret {
        let reason = "cannot be HS256: OAUTH2_JWT_SECRET is not set";
        return Err(InvalidMetadata::new("signing_alg", reason));
    }
    let ledger = client.token_ledger.unwrap_or(defaults.ledger);
    if format == TokenFormat::Opaque && ledger == Ledger::Stateless {
        let reason = "must be durable for token_format opaque: an opaque token must be recorded";
        return Err(InvalidMetadata::new("token_ledger", reason));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
