//! The counters and histograms of handlers and actors. They are bound to closed sets of labels before the first request, so
//! that an addition costs one or two atomic operations and no request can create a series.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Histogram, Meter};

use super::catalogue::{limits, tokens};
use super::foreign_check::ForeignCheck;
use super::labels::{ByLabel, bind};
use super::operators::OperatorRejection;
use oauth2_store::model::{self, Decision, GrantType, RevocationTarget, TokenFormat};

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
    foreign_checks: ByLabel<ForeignCheck>,
    secrets_replaced: BoundCounter<u64>,
    batch_size: BoundHistogram<f64>,
    commit_duration: BoundHistogram<f64>,
    signing: Arc<SigningTime>,
}

/// The time that signatures took, nanoseconds.
#[derive(Debug, Default)]
struct SigningTime {
    overlapped: AtomicU64,
    other: AtomicU64,
}

impl SigningTime {
    fn overlapped_seconds(&self) -> f64 {
        self.overlapped.load(Ordering::Relaxed) as f64 / 1e9
    }

    fn seconds(&self) -> f64 {
        self.overlapped_seconds() + self.other.load(Ordering::Relaxed) as f64 / 1e9
    }
}

impl Instruments {
    /// The instruments of a server on this kind of store.
    pub fn new(meter: &Meter, store: &'static str) -> Self {
        let (issued, revoked) = (tokens::ISSUED.counter(meter), tokens::REVOKED.counter(meter));
        let (introspections, verified) = (
            tokens::INTROSPECTIONS.counter(meter),
            tokens::VERIFIED_CACHE.counter(meter),
        );
        let (failures, rates) = (
            limits::AUTH_FAILURES.counter(meter),
            limits::RATE_LIMIT_DECISIONS.counter(meter),
        );
        let (quotas, saves) = (
            limits::QUOTA_DECISIONS.counter(meter),
            limits::QUOTA_SAVES.counter(meter),
        );
        let by_store = |histogram: Histogram<f64>| histogram.bind(&[KeyValue::new("store", store)]);
        let signing = Arc::new(SigningTime::default());
        let (all, overlapped) = (Arc::clone(&signing), Arc::clone(&signing));
        tokens::SIGNING_SECONDS.observe(meter, move || all.seconds());
        tokens::SIGNING_OVERLAPPED.observe(meter, move || overlapped.overlapped_seconds());
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
            revoked: tokens::REVOCATION_KINDS
                .iter()
                .map(|kind| bind(&revoked, &[("kind", kind)]))
                .collect(),
            introspections: tokens::ACTIVE_VALUES.map(|active| bind(&introspections, &[("active", active)])),
            proofs: tokens::PROOFS.map(|result| bind(&verified, &[("result", result)])),
            rate_limits: model::Endpoint::ALL
                .iter()
                .map(|endpoint| {
                    let bound = |decision: &Decision| {
                        bind(
                            &rates,
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
            quota_saves: limits::OUTCOMES.map(|outcome| bind(&saves, &[("outcome", outcome)])),
            quota_save: by_store(limits::QUOTA_SAVE_DURATION.histogram(meter)),
            reused: bind(&tokens::REUSED.counter(meter), &[]),
            folded: bind(&limits::AUDIT_FOLDED.counter(meter), &[]),
            operator_rejections: ByLabel::new(&limits::OPERATOR_REJECTIONS.counter(meter), "reason", &[]),
            foreign_checks: ByLabel::new(&limits::FOREIGN_CHECKS.counter(meter), "outcome", &[]),
            secrets_replaced: bind(&limits::SECRETS_REPLACED.counter(meter), &[]),
            auth_failures: limits::AUTH_FAILURE_DECISIONS.map(|decision| bind(&failures, &[("decision", decision)])),
            batch_size: by_store(tokens::BATCH_SIZE.histogram(meter)),
            commit_duration: by_store(tokens::COMMIT_DURATION.histogram(meter)),
            signing,
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

    /// Counts a comparison of a secret with the hash of another product.
    pub fn foreign_check(&self, check: ForeignCheck) {
        self.foreign_checks.of(check).add(1);
    }

    /// Counts a hash of another product that was replaced.
    pub fn secret_replaced(&self) {
        self.secrets_replaced.add(1);
    }

    /// Counts a token response that reused an earlier token.
    pub fn token_reused(&self) {
        self.reused.add(1);
    }

    /// Records the time of a signature, and whether a commit was in flight meanwhile.
    pub fn signed(&self, elapsed: Duration, overlapped: bool) {
        let time = if overlapped {
            &self.signing.overlapped
        } else {
            &self.signing.other
        };
        time.fetch_add(elapsed.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Records one commit of tokens.
    pub fn commit(&self, rows: usize, elapsed: Duration) {
        self.batch_size.record(rows as f64);
        self.commit_duration.record(elapsed.as_secs_f64());
    }
}
