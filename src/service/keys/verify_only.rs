//! Import of keys of the issuer that this server replaces: they verify its tokens until these expire, and never sign.

use std::time::Instant;

use oauth2_store::model::{MAX_TOKEN_LIFETIME, VerifyOnlyKey};
use serde_json::json;

use super::SigningKeys;
use crate::keys::import::PublicKey;
use crate::service::error::{Result, ServiceError};
use crate::service::operator::Operator;
use crate::service::parameter::{time, without_controls};

/// How long keys are kept by default, seconds: as long as the longest-lived tokens of this server.
const DEFAULT_TERM: i64 = MAX_TOKEN_LIFETIME;

/// The longest that keys are kept, seconds. A holder of the private keys can make tokens until then.
const MAX_TERM: i64 = 400 * 24 * 3600;

/// Longest issuer, bytes.
const MAX_ISSUER_BYTES: usize = 512;

/// The imported keys.
#[derive(Debug, Clone)]
pub struct VerifyOnlyImport<'a> {
    /// The keys.
    pub keys: &'a [PublicKey],
    /// The `iss` of their tokens; `None`: that of this server, which took it over.
    pub issuer: Option<&'a str>,
    /// When they stop verifying: Unix seconds or RFC 3339. `None`: as before for keys that are stored already, or in 30 days.
    pub until: Option<&'a str>,
    /// Whether they are published in the JWK set. `None`: as before for keys that are stored already, or if the issuer is that of this
    /// server: verifiers trust a key of the set for the tokens of its issuer.
    pub published: Option<bool>,
}

impl SigningKeys {
    /// Imports keys that verify and never sign, all of them or none. Importing the same again changes nothing. Returns their ids.
    pub async fn import_verify_only(
        &self,
        operator: &Operator,
        import: VerifyOnlyImport<'_>,
        deadline: Instant,
    ) -> Result<Vec<String>> {
        let now = (self.store.now_ms().await? / 1000) as i64;
        let issuer = import.issuer.unwrap_or(&self.issuer);
        check_issuer(issuer)?;
        let until = import.until.map(|text| term(text, now)).transpose()?;
        let known = self.verify_only(deadline).await?;
        let new = |key: &PublicKey| {
            let stored = known.iter().find(|stored| stored.kid == key.kid);
            VerifyOnlyKey {
                kid: key.kid.clone(),
                algorithm: key.algorithm,
                public_key: key.public.clone(),
                issuer: issuer.to_owned(),
                published: import
                    .published
                    .or(stored.map(|stored| stored.published))
                    .unwrap_or(issuer == &*self.issuer),
                created_at: now,
                kept_until: until
                    .or(stored.map(|stored| stored.kept_until))
                    .unwrap_or(now + DEFAULT_TERM),
            }
        };
        let with_audit = |key: VerifyOnlyKey| {
            let detail = json!({
                "algorithm": key.algorithm, "verify_only": true, "issuer": key.issuer, "published": key.published,
                "kept_until": key.kept_until,
            });
            (key, operator.audit("key.import", detail))
        };
        let keys: Vec<_> = import.keys.iter().map(new).map(with_audit).collect();
        let kids = import.keys.iter().map(|key| key.kid.clone()).collect();
        self.store
            .change(deadline, move |store| async move {
                store.put_verify_only_keys(&keys, now).await
            })
            .await?;
        Ok(kids)
    }

    /// All verify-only keys.
    pub(super) async fn verify_only(&self, deadline: Instant) -> Result<Vec<VerifyOnlyKey>> {
        self.store
            .call(deadline, |store| async move { store.verify_only_keys().await })
            .await
    }
}

fn check_issuer(issuer: &str) -> Result<()> {
    without_controls("issuer", issuer)?;
    if (1..=MAX_ISSUER_BYTES).contains(&issuer.len()) {
        return Ok(());
    }
    let reason =
        format!("must be the iss of the tokens, such as https://old.example, of at most {MAX_ISSUER_BYTES} bytes");
    Err(ServiceError::parameter("issuer", reason))
}

/// The end of a term, Unix seconds.
fn term(text: &str, now: i64) -> Result<i64> {
    let until = time("until", text)?;
    if until > now && until <= now + MAX_TERM {
        return Ok(until);
    }
    let reason = format!("must be in the future, and at most {} days from now", MAX_TERM / 86_400);
    Err(ServiceError::parameter("until", reason))
}
