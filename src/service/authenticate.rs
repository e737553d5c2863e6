//! Authenticates the client of a request, and counts failures.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth2_actors::directory::Directory;
use oauth2_actors::runtime::clock::{Clock, StoreClock};
use oauth2_actors::runtime::spans;
use oauth2_store::model::{Client, Mode};

use super::error::{Limit, LimitExceeded, Result, ServiceError};
use crate::protocol::client_auth::Credentials;
use crate::protocol::client_auth::client_secret::ClientSecret;
use crate::protocol::error::OAuthError;

pub mod failures;
pub mod foreign_secrets;
mod pool;

use failures::{Caller, FailureCount};
use foreign_secrets::{Attempt, ForeignSecrets};

/// How long a request waits for slow verifications, all together: it must be answered within a second. One may take a second
/// (`foreign_hash/cost.rs`), and a client may have several such hashes: a retry finds the outcome of the one, and goes on with the next.
const SLOW_LIMIT: Duration = Duration::from_millis(800);

/// The use case of client authentication.
#[derive(Debug)]
pub struct Authenticate {
    /// The clients of this node.
    pub directory: Arc<Directory>,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// Verifies secrets by hashes of other products.
    pub foreign: ForeignSecrets,
    /// Counts failures.
    pub failures: FailureCount,
}

impl Authenticate {
    /// Authenticates a client. `address` is asked only if no fast hash matches. A client of which another product's hash is stored may
    /// wait for its verification: at most [`SLOW_LIMIT`].
    pub async fn client(&self, credentials: &Credentials<'_>, address: impl FnOnce() -> IpAddr) -> Result<Arc<Client>> {
        let mut span = spans::child("authenticate client");
        let (mut authenticated, mut client_id) = (None, "");
        // Every reading is compared, so that the time depends on the header alone. A failure counts against the known client.
        for secret in credentials.secrets() {
            let client = self.directory.client(&secret.client_id);
            if client_id.is_empty() || client.is_some() {
                client_id = &secret.client_id;
            }
            if secret.matches(client.as_deref(), self.now()) && authenticated.is_none() {
                authenticated = client;
            }
        }
        match authenticated {
            Some(client) => {
                span.set_with("oauth2.client_id", || client.client_id.to_string());
                Ok(client)
            }
            // A directory that was never loaded knows no client: that is our fault, not the caller's.
            None if self.directory.freshness().age().is_none() => {
                span.fail("stale");
                Err(ServiceError::Stale)
            }
            None => {
                let address = address();
                match self.by_foreign_hash(credentials, address).await {
                    Ok(Some(client)) => {
                        span.set_with("oauth2.client_id", || client.client_id.to_string());
                        Ok(client)
                    }
                    Ok(None) => {
                        span.fail("invalid_client");
                        Err(self.failed(client_id, address))
                    }
                    Err(error) => {
                        span.fail("foreign_hash");
                        Err(error)
                    }
                }
            }
        }
    }

    /// The client whose secret matches a hash of another product.
    async fn by_foreign_hash(&self, credentials: &Credentials<'_>, address: IpAddr) -> Result<Option<Arc<Client>>> {
        let deadline = Instant::now() + SLOW_LIMIT;
        for secret in credentials.secrets() {
            let Some(client) = self.directory.client(&secret.client_id) else {
                continue;
            };
            // A right secret that was verified before is not rejected for the failures of others. An unknown secret waits for its turn.
            let caller = Caller {
                failures: &self.failures,
                client_id: &client.client_id,
                address,
            };
            for hash in secret.foreign_hashes(&client, self.now()) {
                let attempt = Attempt {
                    client_id: &client.client_id,
                    hash,
                    presented: secret.expose(),
                };
                if self.foreign.verify(attempt, caller, deadline).await?
                    && let Some(client) = self.still_has(&client.client_id, secret, &hash.id)
                {
                    return Ok(Some(client));
                }
            }
        }
        Ok(None)
    }

    /// The client as it is after a wait, if it still has the secret: by the hash with this id, or by the hash that replaced it.
    fn still_has(&self, client_id: &str, secret: &ClientSecret<'_>, hash: &[u8; 32]) -> Option<Arc<Client>> {
        let (client, now) = (self.directory.client(client_id)?, self.now());
        let has_hash = secret.foreign_hashes(&client, now).any(|known| known.id == *hash);
        (has_hash || secret.matches(Some(&client), now)).then_some(client)
    }

    /// Counts a failure and rejects what exceeds the bucket. The secret was compared before: a right one is never rejected, so
    /// nobody can lock a client out by failing in its name.
    fn failed(&self, client_id: &str, address: IpAddr) -> ServiceError {
        match self.failures.record(client_id, address) {
            Some(retry_after) if self.failures.mode == Mode::Enforce => {
                ServiceError::LimitExceeded(Box::new(LimitExceeded {
                    limit: Limit::AuthFailures,
                    retry_after,
                    status: Vec::new(),
                }))
            }
            _ => OAuthError::INVALID_CLIENT.into(),
        }
    }

    fn now(&self) -> i64 {
        (self.clock.unix_ms() / 1000) as i64
    }
}
