//! The counters and histograms of handlers and actors. They are bound to closed sets of labels before the first request, so
//! that an addition costs one or two atomic operations and no request can create a series.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Meter};

use super::labels::{ByLabel, bind};
use super::operators::OperatorRejection;
use crate::runtime::permits::{Sheds, WatchedMailbox};
use oauth2_store::model::{self, Decision, GrantType, RevocationTarget, TokenFormat};

/// Bucket bounds of durations, seconds. None is a whole number: Prometheus 3 would rewrite its label.
pub const SECONDS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.001, 2.5, 5.001,
];

/// Bucket bounds of a mailbox wait, in seconds.
const WAIT_SECONDS: [f64; 9] = [0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5];

/// Bucket bounds of a commit's rows. Halves, since rows are whole.
const ROWS: [f64; 10] = [1.5, 2.5, 4.5, 8.5, 16.5, 32.5, 64.5, 128.5, 256.5, 1024.5];

const TARGETS: [&str; 5] = ["token", "client", "user", "key", "issuer"];

/// How a self-contained token was recognized as issued by this server. The order is that of the labels.
#[derive(Debug, Clone, Copy)]
pub enum Proof {
    /// Its signature was verified earlier.
    Hit,
    /// It was signed by this process.
    Issued,
    /// Its signature has to be verified.
    Miss,
}

/// The instruments of the domain; those of HTTP are with the endpoints.
#[derive(Debug)]
pub struct Instruments {
    issued: Vec<Vec<BoundCounter<u64>>>,
    revoked: Vec<BoundCounter<u64>>,
    introspections: [BoundCounter<u64>; 2],
    proofs: [BoundCounter<u64>; 3],
    auth_failures: [BoundCounter<u64>; 2],
    rate_limits: Vec<Vec<BoundCounter<u64>>>,
    quotas: Vec<BoundCounter<u64>>,
    quota_saves: [BoundCounter<u64>; 2],
    quota_save: BoundHistogram<f64>,
    reused: BoundCounter<u64>,
    folded: BoundCounter<u64>,
    operator_rejections: ByLabel<OperatorRejection>,
    batch_size: BoundHistogram<f64>,
    commit_duration: BoundHistogram<f64>,
}

impl Instruments {
    /// The instruments of a server on this kind of store.
    pub fn new(meter: &Meter, store: &'static str) -> Self {
        let counter = |name, help| meter.u64_counter(name).with_description(help).build();
        let issued = counter("oauth_token_issued", "Access tokens issued");
        let revoked = counter("oauth_token_revoked", "Revocations committed, by kind of target");
        let introspections = counter("oauth_introspections", "Tokens introspected");
        let verified = counter("verified_token_cache", "Lookups in the cache of verified tokens");
        let failures = counter(
            "auth_failures",
            "Failed client authentications, within and over the rate per client and address",
        );
        let limits = counter(
            "rate_limit_decisions",
            "Requests of clients with a rate limit, by decision",
        );
        let quotas = counter("quota_decisions", "Token requests of clients with a quota, by decision");
        let saves = counter("quota_saves", "Saves of used quotas, by outcome");
        let folded = counter(
            "audit_folded",
            "Failed authentications and rejected changes without an audit row of their own, which are counted in one row per minute",
        );
        let operators = counter(
            "operator_rejections",
            "Requests to the admin API of callers that are no operators, by reason",
        );
        let reused = counter("reused_tokens", "Token responses that reused an earlier token");
        let histogram = |name, help, bounds: &[f64]| {
            meter
                .f64_histogram(name)
                .with_description(help)
                .with_boundaries(bounds.to_vec())
                .build()
        };
        let save = histogram(
            "quota_save_duration_seconds",
            "Duration of a save of used quotas",
            &SECONDS,
        );
        let batch_size = histogram("token_commit_batch_size", "Tokens per commit", &ROWS);
        let commit = histogram(
            "token_commit_duration_seconds",
            "Duration of a commit of tokens",
            &SECONDS,
        );
        Self {
            issued: GrantType::ALL
                .iter()
                .map(|grant| {
                    let bound = |format: &TokenFormat| {
                        bind(&issued, &[("grant_type", grant.as_str()), ("format", format.as_str())])
                    };
                    TokenFormat::ALL.iter().map(bound).collect()
                })
                .collect(),
            revoked: TARGETS.iter().map(|kind| bind(&revoked, &[("kind", kind)])).collect(),
            introspections: ["false", "true"].map(|active| bind(&introspections, &[("active", active)])),
            proofs: ["hit", "issued", "miss"].map(|result| bind(&verified, &[("result", result)])),
            rate_limits: model::Endpoint::ALL
                .iter()
                .map(|endpoint| {
                    let bound = |decision: &Decision| {
                        bind(
                            &limits,
                            &[("endpoint", endpoint.as_str()), ("decision", decision.as_str())],
                        )
                    };
                    Decision::ALL.iter().map(bound).collect()
                })
                .collect(),
            quotas: Decision::ALL
                .iter()
                .map(|decision| bind(&quotas, &[("decision", decision.as_str())]))
                .collect(),
            quota_saves: ["failed", "done"].map(|outcome| bind(&saves, &[("outcome", outcome)])),
            quota_save: save.bind(&[KeyValue::new("store", store)]),
            reused: bind(&reused, &[]),
            folded: bind(&folded, &[]),
            operator_rejections: ByLabel::new(&operators, "reason", &[]),
            auth_failures: ["within", "over"].map(|decision| bind(&failures, &[("decision", decision)])),
            batch_size: batch_size.bind(&[KeyValue::new("store", store)]),
            commit_duration: commit.bind(&[KeyValue::new("store", store)]),
        }
    }

    /// Counts an issued token.
    pub fn token_issued(&self, grant: GrantType, format: TokenFormat) {
        self.issued[grant as usize][format as usize].add(1);
    }

    /// Counts a committed revocation.
    pub fn token_revoked(&self, target: &RevocationTarget) {
        let index = match target {
            RevocationTarget::Token { .. } => 0,
            RevocationTarget::Client(_) => 1,
            RevocationTarget::User(_) => 2,
            RevocationTarget::Key(_) => 3,
            RevocationTarget::Issuer => 4,
        };
        self.revoked[index].add(1);
    }

    /// Counts an introspected token.
    pub fn introspection(&self, active: bool) {
        self.introspections[usize::from(active)].add(1);
    }

    /// Counts a self-contained token by how it was recognized.
    pub fn proof(&self, proof: Proof) {
        self.proofs[proof as usize].add(1);
    }

    /// Counts a failed client authentication, by whether it exceeds the rate.
    pub fn auth_failure(&self, over: bool) {
        self.auth_failures[usize::from(over)].add(1);
    }

    /// Counts a request of a client with a rate limit.
    pub fn rate_limit(&self, endpoint: model::Endpoint, decision: Decision) {
        self.rate_limits[endpoint as usize][decision as usize].add(1);
    }

    /// Counts a token request of a client with a quota.
    pub fn quota(&self, decision: Decision) {
        self.quotas[decision as usize].add(1);
    }

    /// Records the duration of a save of used quotas, and whether it succeeded.
    pub fn quota_save(&self, elapsed: Duration, done: bool) {
        self.quota_save.record(elapsed.as_secs_f64());
        self.quota_saves[usize::from(done)].add(1);
    }

    /// Counts a rejection without an audit row of its own.
    pub fn rejection_folded(&self) {
        self.folded.add(1);
    }

    /// Counts a request to the admin API of a caller that is no operator.
    pub fn operator_rejected(&self, reason: OperatorRejection) {
        self.operator_rejections.of(reason).add(1);
    }

    /// Counts a token response that reused an earlier token.
    pub fn token_reused(&self) {
        self.reused.add(1);
    }

    /// Records one commit of tokens.
    pub fn commit(&self, rows: usize, elapsed: Duration) {
        self.batch_size.record(rows as f64);
        self.commit_duration.record(elapsed.as_secs_f64());
    }
}

/// Exports the figures of these mailboxes, summed up per actor name.
pub fn watch_mailboxes(meter: &Meter, mailboxes: Vec<WatchedMailbox>) {
    let wait = meter
        .f64_histogram("actor_mailbox_wait_seconds")
        .with_description("Time of messages in the queue")
        .with_boundaries(WAIT_SECONDS.to_vec())
        .build();
    let mut by_name: BTreeMap<&'static str, Vec<WatchedMailbox>> = BTreeMap::new();
    for mailbox in mailboxes {
        let wait = wait.bind(&[KeyValue::new("actor", mailbox.name())]);
        mailbox.stats().on_wait(move |time| wait.record(time.as_secs_f64()));
        by_name.entry(mailbox.name()).or_default().push(mailbox);
    }
    let by_name = Arc::new(by_name);
    let each = Arc::clone(&by_name);
    meter
        .u64_observable_gauge("actor_mailbox_depth")
        .with_description("Messages queued or in flight")
        .with_callback(move |observer| {
            for (name, mailboxes) in each.iter() {
                let depth = mailboxes.iter().map(|mailbox| mailbox.stats().depth() as u64).sum();
                observer.observe(depth, &[KeyValue::new("actor", *name)]);
            }
        })
        .build();
    let each = Arc::clone(&by_name);
    meter
        .u64_observable_counter("actor_restarts")
        .with_description("Restarts of an actor")
        .with_callback(move |observer| {
            for (name, mailboxes) in each.iter() {
                let restarts = mailboxes.iter().map(|mailbox| mailbox.stats().restarts()).sum();
                observer.observe(restarts, &[KeyValue::new("actor", *name)]);
            }
        })
        .build();
    meter
        .u64_observable_counter("actor_sheds")
        .with_description("Messages without a reply, by reason")
        .with_callback(move |observer| {
            for (name, mailboxes) in by_name.iter() {
                let sum = |of: fn(&Sheds) -> u64| mailboxes.iter().map(|mailbox| of(&mailbox.stats().sheds())).sum();
                for (reason, count) in [
                    ("full", sum(|sheds| sheds.full)),
                    ("deadline", sum(|sheds| sheds.deadline)),
                    ("crashed", sum(|sheds| sheds.crashed)),
                ] {
                    observer.observe(count, &[KeyValue::new("actor", *name), KeyValue::new("reason", reason)]);
                }
            }
        })
        .build();
}
