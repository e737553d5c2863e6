//! Secrets that are given from outside.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::database::Database;
use super::secret::Secret;
use super::values::Values;

const MIN_CHARACTERS: usize = 32;

/// A key-encryption key: 32 bytes whose `Debug` form shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyEncryptionKey(pub [u8; 32]);

impl std::fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<redacted>")
    }
}

/// Secrets that were given.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Static bearer token for the admin API.
    pub admin_token: Option<Secret>,
    /// Encrypts signing keys at rest.
    pub key_encryption_key: Option<KeyEncryptionKey>,
    /// Opens what is not sealed anew yet.
    pub previous_key_encryption_key: Option<KeyEncryptionKey>,
    /// Makes the codes of HS256.
    pub jwt_secret: Option<Secret>,
}

impl Secrets {
    pub(super) fn read(values: &mut Values, database: Option<&Database>) -> Option<Self> {
        let admin_token = values.optional("admin.token", parse_token);
        let kek = values.optional("key.encryption_key", parse_key);
        let previous = values.optional("key.encryption_key_previous", parse_key);
        let jwt = values.optional("jwt.secret", parse_token);
        let session = values.optional("session.key", parse_token);
        if kek.is_some() && kek == previous && kek != Some(None) {
            let problem = "must differ from OAUTH2_KEY_ENCRYPTION_KEY: it is the one before";
            values.fail_key("key.encryption_key_previous", problem);
        }
        if kek == Some(None) && database.is_some_and(|database| database.kind() == "postgres") {
            let problem =
                "must be given on Postgres: standard base64 of 32 bytes, as `openssl rand -base64 32` makes it";
            values.fail_key("key.encryption_key", problem);
        }
        session?;
        Some(Self {
            admin_token: admin_token?,
            key_encryption_key: kek?,
            previous_key_encryption_key: previous?,
            jwt_secret: jwt?,
        })
    }
}

/// A secret of at least 32 visible ASCII characters: it travels in headers.
pub(super) fn parse_token(text: &str) -> Result<Secret, String> {
    if text.len() < MIN_CHARACTERS || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "must be at least {MIN_CHARACTERS} visible ASCII characters, without spaces"
        ));
    }
    Ok(Secret::new(text.to_owned()))
}

/// Standard base64 of exactly 32 bytes.
pub(super) fn parse_key(text: &str) -> Result<KeyEncryptionKey, String> {
    let bytes = STANDARD.decode(text).ok();
    let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    key.map(KeyEncryptionKey).ok_or_else(|| {
        "must be the standard base64 of exactly 32 bytes, as `openssl rand -base64 32` makes it".to_owned()
    })
}
