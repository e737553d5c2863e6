//! Turns a decided token into its record and its text. HTTP and the command line both mint here.

use std::sync::Arc;
use std::time::Instant;

use oauth2_actors::metrics::Instruments;
use oauth2_actors::runtime::spans;
use oauth2_actors::token_store::CommitFlag;
use oauth2_store::model::{Ledger, LedgerEntry, TokenFormat, TokenRecord};

use super::slow_signer::SlowSigner;
use crate::protocol::token_spec::TokenSpec;
use crate::service::error::Result;
use crate::service::published_keys::KeysHandle;
use crate::tokens::fingerprint::Fingerprints;
use crate::tokens::issued::IssuedTokens;
use crate::tokens::{opaque, secret};

/// Signs tokens with the published keys.
#[derive(Debug)]
pub struct Mint {
    /// The keys of this node.
    pub keys: KeysHandle,
    /// Makes RSA signatures off the worker threads.
    pub slow_signer: SlowSigner,
    /// The tokens that this process signed.
    pub issued: Arc<IssuedTokens>,
    /// The key of that set.
    pub fingerprints: Arc<Fingerprints>,
    /// Metrics.
    pub instruments: Arc<Instruments>,
}

/// A token whose content is fixed and whose text is not made yet.
#[derive(Debug)]
pub struct Unsigned<'a> {
    spec: &'a TokenSpec,
    /// The random part of an opaque token.
    secret: Option<[u8; 32]>,
}

impl Unsigned<'_> {
    /// The ledger entry of the token; `None` for a stateless one.
    pub fn entry(&self) -> Option<LedgerEntry> {
        if self.spec.ledger == Ledger::Stateless {
            return None;
        }
        let claims = &self.spec.claims;
        Some(LedgerEntry::Issue(TokenRecord {
            jti: claims.jti,
            expires_at: claims.exp,
            client_id: claims.client_id.clone(),
            scope: claims.scope.clone(),
            audience: claims.aud.clone(),
            format: self.spec.format,
            secret_hash: self.secret.map(secret::hash),
        }))
    }
}

impl Mint {
    /// Fixes the token.
    pub fn prepare<'a>(&self, spec: &'a TokenSpec) -> Result<Unsigned<'a>> {
        let secret = match spec.format {
            TokenFormat::Opaque => Some(secret::random_bytes()?),
            TokenFormat::Paseto | TokenFormat::Jwt => None,
        };
        Ok(Unsigned { spec, secret })
    }

    /// Makes the text of the token. RSA signatures wait for a thread of their own, until the deadline at most. `committing` is that of
    /// the token store that records the token.
    pub async fn sign(
        &self,
        unsigned: Unsigned<'_>,
        committing: Option<&CommitFlag>,
        deadline: Instant,
    ) -> Result<String> {
        let Unsigned { spec, secret } = unsigned;
        let claims = &spec.claims;
        let mut span = spans::child("sign token");
        span.set("oauth2.token.format", spec.format.as_str());
        if let Some(secret) = secret {
            return Ok(opaque::format(claims.jti, claims.exp, &secret));
        }
        let token = match spec.format {
            TokenFormat::Jwt if spec.signing_alg.is_slow() => {
                let (keys, claims) = (self.keys.load_full(), claims.clone());
                let (alg, typ) = (spec.signing_alg, spec.typ);
                let (instruments, committing) = (Arc::clone(&self.instruments), committing.cloned());
                let sign = move || {
                    timed(&instruments, committing.as_ref(), || {
                        keys.keyring.sign_jwt(&claims, alg, typ)
                    })
                };
                self.slow_signer.run(sign, deadline).await??
            }
            TokenFormat::Jwt => {
                let keys = self.keys.load();
                timed(&self.instruments, committing, || {
                    keys.keyring.sign_jwt(claims, spec.signing_alg, spec.typ)
                })?
            }
            TokenFormat::Paseto | TokenFormat::Opaque => {
                let keys = self.keys.load();
                timed(&self.instruments, committing, || keys.keyring.sign_paseto(claims))?
            }
        };
        self.issued.insert(&self.fingerprints.of(&token));
        Ok(token)
    }
}

/// Signs, and records the time. Whether a commit is in flight is read once: the worker that signs is also the one that ends a commit, unless
/// the signature is made on another thread.
fn timed<T>(instruments: &Instruments, committing: Option<&CommitFlag>, sign: impl FnOnce() -> T) -> T {
    let overlapped = committing.is_some_and(CommitFlag::is_set);
    let started = Instant::now();
    let signed = sign();
    instruments.signed(started.elapsed(), overlapped);
    signed
}
