//! `[admin]`, `[jwt]`, `[session]` and the key encryption keys of `[keys]`: secrets that were set.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::database::Database;
use super::key::{Key, secret, unused};
use super::secret::Secret;
use super::values::Values;

const ADMIN_TOKEN: Key = secret(
    "OAUTH2_ADMIN_TOKEN",
    "admin.token",
    "SQLite: generated into `admin_token` next to the database; Postgres: none",
    "Static bearer token for `/admin/v1`, at least 32 characters.",
);
const PREVIOUS_ADMIN_TOKEN: Key = secret(
    "OAUTH2_ADMIN_TOKEN_PREVIOUS",
    "admin.token_previous",
    "none",
    "Previous static bearer token, while it is being replaced: it is accepted, too.",
);
const JWT_SECRET: Key = secret(
    "OAUTH2_JWT_SECRET",
    "jwt.secret",
    "none",
    "Shared secret for HS256, at least 32 characters. It signs the JWTs of clients registered with `signing_alg` HS256, for \
     verifiers that support no other algorithm.",
);
const PREVIOUS_JWT_SECRET: Key = secret(
    "OAUTH2_JWT_SECRET_PREVIOUS",
    "jwt.secret_previous",
    "none",
    "Previous shared secret for HS256, while it is being replaced: its tokens are still active, and no new ones are signed with it.",
);
const SESSION_KEY: Key = unused(secret(
    "OAUTH2_SESSION_KEY",
    "session.key",
    "none",
    "At least 32 characters. Accepted, but not used yet.",
));
/// Key encryption key.
pub(super) const KEY_ENCRYPTION_KEY: Key = secret(
    "OAUTH2_KEY_ENCRYPTION_KEY",
    "keys.encryption_key",
    "SQLite: generated into `key_encryption_key` next to the database; Postgres: required",
    "Key encryption key, which wraps the signing keys at rest: standard base64 of 32 bytes (`openssl rand -base64 32`).",
);
const PREVIOUS_KEY_ENCRYPTION_KEY: Key = secret(
    "OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS",
    "keys.encryption_key_previous",
    "none",
    "Previous key encryption key, while it is being replaced: it unwraps the signing keys that `key rewrap` has not rewrapped \
     yet.",
);

pub(super) const KEYS: &[Key] = &[
    ADMIN_TOKEN,
    PREVIOUS_ADMIN_TOKEN,
    JWT_SECRET,
    PREVIOUS_JWT_SECRET,
    SESSION_KEY,
    KEY_ENCRYPTION_KEY,
    PREVIOUS_KEY_ENCRYPTION_KEY,
];

const MIN_CHARACTERS: usize = 32;

/// A key encryption key: 32 bytes. `Debug` redacts it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyEncryptionKey(pub [u8; 32]);

impl std::fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<redacted>")
    }
}

/// Secrets that were set; `None` = not set.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Static bearer token for the admin API.
    pub admin_token: Option<Secret>,
    /// The one that it replaces, which is accepted, too.
    pub previous_admin_token: Option<Secret>,
    /// Wraps and unwraps signing keys.
    pub key_encryption_key: Option<KeyEncryptionKey>,
    /// Unwraps signing keys that are not rewrapped yet.
    pub previous_key_encryption_key: Option<KeyEncryptionKey>,
    /// Shared secret of HS256.
    pub jwt_secret: Option<Secret>,
    /// The one that it replaces, which verifies tokens.
    pub previous_jwt_secret: Option<Secret>,
}

impl Secrets {
    pub(super) fn read(values: &mut Values, database: Option<&Database>) -> Option<Self> {
        let admin_token = values.optional(&ADMIN_TOKEN, parse_secret);
        let current = values.optional(&KEY_ENCRYPTION_KEY, parse_key_encryption_key);
        let previous = values.optional(&PREVIOUS_KEY_ENCRYPTION_KEY, parse_key_encryption_key);
        let previous_admin_token = values.optional(&PREVIOUS_ADMIN_TOKEN, parse_secret);
        let jwt_secret = values.optional(&JWT_SECRET, parse_secret);
        let previous_jwt_secret = values.optional(&PREVIOUS_JWT_SECRET, parse_secret);
        let session_key = values.optional(&SESSION_KEY, parse_secret);
        let replaced = [
            (
                is_same(&current, &previous),
                &KEY_ENCRYPTION_KEY,
                &PREVIOUS_KEY_ENCRYPTION_KEY,
            ),
            (
                is_same(&admin_token, &previous_admin_token),
                &ADMIN_TOKEN,
                &PREVIOUS_ADMIN_TOKEN,
            ),
            (
                is_same(&jwt_secret, &previous_jwt_secret),
                &JWT_SECRET,
                &PREVIOUS_JWT_SECRET,
            ),
        ];
        for (_, key, previous) in replaced.into_iter().filter(|(is_same, ..)| *is_same) {
            values.fail(
                previous,
                &format!("must differ from {}: it is the one that was replaced", key.env),
            );
        }
        if current == Some(None) && database.is_some_and(|database| database.kind() == "postgres") {
            let problem =
                "must be set on Postgres: standard base64 of 32 bytes, such as `openssl rand -base64 32` prints";
            values.fail(&KEY_ENCRYPTION_KEY, problem);
        }
        session_key?;
        Some(Self {
            admin_token: admin_token?,
            previous_admin_token: previous_admin_token?,
            key_encryption_key: current?,
            previous_key_encryption_key: previous?,
            jwt_secret: jwt_secret?,
            previous_jwt_secret: previous_jwt_secret?,
        })
    }
}

/// Whether a secret is set to the same value as the one that it replaces.
#[expect(
    clippy::option_option,
    reason = "as read: the outer `None` is an error that is recorded"
)]
#[expect(clippy::ref_option, reason = "as read")]
fn is_same<T: PartialEq>(current: &Option<Option<T>>, previous: &Option<Option<T>>) -> bool {
    matches!(current, Some(Some(_))) && current == previous
}

/// A secret of at least 32 visible ASCII characters, as it may be sent in an HTTP header.
pub(super) fn parse_secret(text: &str) -> Result<Secret, String> {
    if text.len() < MIN_CHARACTERS || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "must be at least {MIN_CHARACTERS} visible ASCII characters, without spaces"
        ));
    }
    Ok(Secret::new(text.to_owned()))
}

/// Standard base64 of exactly 32 bytes.
pub(super) fn parse_key_encryption_key(text: &str) -> Result<KeyEncryptionKey, String> {
    let bytes = STANDARD.decode(text).ok();
    let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    key.map(KeyEncryptionKey).ok_or_else(|| {
        "must be the standard base64 of exactly 32 bytes, such as `openssl rand -base64 32` prints".to_owned()
    })
}
