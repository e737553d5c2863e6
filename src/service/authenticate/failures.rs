//! Counts failures: against the client and the address, and the work that they are for slow hashes against the address alone.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use oauth2_actors::audit_writer::{Failures, Rejection, RejectionKind, Source};
use oauth2_actors::directory::Directory;
use oauth2_actors::metrics::Instruments;
use oauth2_actors::runtime::clock::{Clock, StoreClock};
use oauth2_store::model::Mode;
use serde_json::json;

use crate::service::buckets::Buckets;

/// Counts failures. Clones share everything.
#[derive(Debug, Clone)]
pub struct FailureCount {
    /// The clients of this node.
    pub directory: Arc<Directory>,
    /// The buckets of failed authentications.
    pub buckets: Buckets,
    /// Whether those buckets are enforced.
    pub mode: Mode,
    /// Rejections on their way into the audit log.
    pub rejections: Arc<Failures>,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// Metrics.
    pub instruments: Arc<Instruments>,
}

impl FailureCount {
    /// Counts a failure. `Some` if it exceeds the limit, with the wait until one more would not, whether or not the limit is enforced.
    pub(super) fn record(&self, client_id: &str, address: IpAddr) -> Option<Duration> {
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
        let now = (self.clock.unix_ms() / 1000) as i64;
        if !self.rejections.record(RejectionKind::Client, source, now, row) {
            self.instruments.rejection_folded();
        }
        wait
    }
}

/// The caller that presented a secret to a client with a slow hash.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) failures: &'a FailureCount,
    pub(super) client_id: &'a Arc<str>,
    pub(super) address: IpAddr,
}

impl Caller<'_> {
    /// Whether the client failed too often from this address, or the address caused too much work in vain, for whichever clients.
    pub(super) fn is_over_limit(&self) -> bool {
        let buckets = &self.failures.buckets;
        self.failures.mode == Mode::Enforce
            && (buckets.are_failures_exhausted(self.client_id, self.address)
                || buckets.is_slow_work_exhausted(self.address))
    }

    /// Counts a verification that found no match, or for which there was no place.
    pub(super) fn charge(&self) {
        self.failures.buckets.record_slow_work(self.address);
    }

    /// Counts a mismatch, once it is known: its work, and the failure if no request awaits it any more. A request that does counts its own.
    pub(super) fn on_mismatch(&self) -> impl FnOnce(bool) + use<> {
        let (failures, client_id, address) = (self.failures.clone(), Arc::clone(self.client_id), self.address);
        move |is_awaited| {
            failures.buckets.record_slow_work(address);
            if !is_awaited {
                failures.record(&client_id, address);
            }
        }
    }
}
