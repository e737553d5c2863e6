//! Authenticates the client of a request, and counts failures.

use std::net::IpAddr;
use std::sync::Arc;

use oauth2_actors::audit_writer::{Failures, Rejection, RejectionKind, Source};
use oauth2_actors::directory::Directory;
use oauth2_actors::metrics::Instruments;
use oauth2_actors::runtime::clock::{Clock, StoreClock};
use oauth2_actors::runtime::spans;
use oauth2_store::model::{Client, Mode};
use serde_json::json;

use super::buckets::Buckets;
use super::error::{Limit, LimitExceeded, Result, ServiceError};
use crate::protocol::client_auth::Credentials;
use crate::protocol::error::OAuthError;

/// The use case of client authentication.
#[derive(Debug)]
pub struct Authenticate {
    /// The clients of this node.
    pub directory: Arc<Directory>,
    /// The buckets of failed authentications.
    pub buckets: Buckets,
    /// Whether those buckets are enforced.
    pub mode: Mode,
    /// Rejections on their way into the audit log.
    pub failures: Arc<Failures>,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// Metrics.
    pub instruments: Arc<Instruments>,
}

impl Authenticate {
    /// Authenticates a client. `address` is asked only after a failure. Other methods than a secret may wait for I/O, so this is
    /// asynchronous.
    #[expect(clippy::unused_async, reason = "assertions and certificates will wait for I/O")]
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
                span.fail("invalid_client");
                Err(self.failed(client_id, address()))
            }
        }
    }

    /// Counts a failure and rejects what exceeds the bucket. The secret was compared before: a right one is never rejected, so
    /// nobody can lock a client out by failing in its name.
    fn failed(&self, client_id: &str, address: IpAddr) -> ServiceError {
        let wait = self.buckets.record_failure(client_id, address);
        self.instruments.auth_failure(wait.is_some());
        let known = self.directory.client(client_id);
        let named = known.as_ref().map(|client| &*client.client_id);
        let source = Source {
            subject: named.map(str::to_owned),
            address,
        };
        let row = || Rejection {
            actor: "server".to_owned(),
            target_kind: if named.is_some() { "client" } else { "issuer" },
            target_id: named.unwrap_or_default().to_owned(),
            detail: json!({"address": address}),
        };
        if !self.failures.record(RejectionKind::Client, source, self.now(), row) {
            self.instruments.rejection_folded();
        }
        match wait {
            Some(retry_after) if self.mode == Mode::Enforce => ServiceError::LimitExceeded(Box::new(LimitExceeded {
                limit: Limit::AuthFailures,
                retry_after,
                status: Vec::new(),
            })),
            _ => OAuthError::INVALID_CLIENT.into(),
        }
    }

    fn now(&self) -> i64 {
        (self.clock.unix_ms() / 1000) as i64
    }
}
