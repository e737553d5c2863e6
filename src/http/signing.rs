//! Signatures, and keys for them.

use std::time::{Duration, Instant};

use actix_web::web;
use oauth2_actors::model::{KeyAlgorithm, SigningAlg, TokenFormat};
use serde_json::json;

use super::State;
use super::admin::Operator;
use super::error::Failure;
use crate::oauth::grants::Grant;
use crate::tokens::generate::{self, Times};

impl State {
    /// Signs a self-contained token: here, or where the signature takes long, on a signer's thread.
    pub async fn sign(&self, grant: &Grant, deadline: Instant) -> Result<String, Failure> {
        if grant.format != TokenFormat::Jwt {
            return Ok(self.keys.load().keyring.sign_paseto(&grant.claims)?);
        }
        let alg = grant.signing_alg;
        if !alg.is_slow() {
            return Ok(self.keys.load().keyring.sign_jwt(&grant.claims, alg)?);
        }
        let (keys, claims) = (self.keys.load_full(), grant.claims.clone());
        let signed = self
            .signers
            .ask(move || keys.keyring.sign_jwt(&claims, alg), deadline)?
            .await?;
        Ok(signed?)
    }

    /// Sees to it that there is a key for what a client's tokens are signed with. RSA keys are not made before.
    pub async fn ensure_key(
        &self,
        alg: Option<SigningAlg>,
        operator: &Operator,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let Some(algorithm) = alg.and_then(SigningAlg::key) else {
            return Ok(());
        };
        if alg.is_some_and(|alg| self.keys.load().keyring.has(alg)) {
            return Ok(());
        }
        let key = self.make_key(algorithm, Duration::ZERO).await?;
        let audit = operator.audit("key.create", json!({"algorithm": algorithm}));
        self.tokens
            .change(deadline, move |store| async move {
                store.ensure_keys(std::slice::from_ref(&key), &audit).await
            })
            .await?;
        Ok(())
    }

    /// Makes a key that signs after so long. Off the worker: a prime may take a second to find.
    pub async fn make_key(
        &self,
        algorithm: KeyAlgorithm,
        wait: Duration,
    ) -> Result<oauth2_actors::model::StoredKey, Failure> {
        let (seals, times) = (self.seals.clone(), self.key_times(wait));
        let made = web::block(move || generate::generate(algorithm, &seals, times)).await;
        match made {
            Ok(Ok(key)) => Ok(key),
            _ => Err(Failure::Internal("a key could not be made")),
        }
    }

    fn key_times(&self, wait: Duration) -> Times {
        Times {
            now_ms: self.now_ms() as i64,
            wait,
            token_lifetime: i64::from(self.directory.longest_lifetime().max(self.defaults.lifetime)),
        }
    }
}
