//! What request handlers and actors add to: instruments bound to closed sets of labels before the first request, so that an
//! addition is an atomic or two, and no request can make a new series.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Meter};

use crate::model::{self, Decision, GrantType, RevocationTarget, TokenFormat};
use crate::runtime::mailbox::Mailbox;
use crate::runtime::permits::{MailboxStats, Sheds};

/// Upper bounds in seconds. None is a whole number: Prometheus 3 would rewrite its label.
const SECONDS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.001, 2.5, 5.001,
];

/// Upper bounds of a mailbox wait, in seconds.
const WAIT_SECONDS: [f64; 9] = [0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5];

/// Upper bounds of a commit's rows. Halves, since rows are whole.
const ROWS: [f64; 10] = [1.5, 2.5, 4.5, 8.5, 16.5, 32.5, 64.5, 128.5, 256.5, 1024.5];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

const TARGETS: [&str; 5] = ["token", "client", "user", "key", "issuer"];

/// How a self-contained token is found to be one of ours. The order is that of the labels.
#[derive(Debug, Clone, Copy)]
pub enum Proof {
    /// Its signature was checked before.
    Hit,
    /// It was signed by this process.
    Issued,
    /// Its signature is to be checked.
    Miss,
}

#[derive(Debug)]
struct Endpoint {
    requests: Vec<BoundCounter<u64>>,
    duration: BoundHistogram<f64>,
    rejects: Vec<(&'static str, BoundCounter<u64>)>,
    sheds: Vec<(&'static str, BoundCounter<u64>)>,
}

/// What request handlers add to.
#[derive(Debug)]
pub struct Instruments {
    endpoints: Vec<Endpoint>,
    issued: Vec<BoundCounter<u64>>,
    revoked: Vec<BoundCounter<u64>>,
    introspections: [BoundCounter<u64>; 2],
    proofs: [BoundCounter<u64>; 3],
    auth_failures: [BoundCounter<u64>; 2],
    rate_limits: Vec<Vec<BoundCounter<u64>>>,
    proxy_headers: Vec<(&'static str, BoundCounter<u64>)>,
    quotas: Vec<BoundCounter<u64>>,
    quota_saves: [BoundCounter<u64>; 2],
    quota_save: BoundHistogram<f64>,
    reused: BoundCounter<u64>,
    folded: BoundCounter<u64>,
    batch_size: BoundHistogram<f64>,
    commit_duration: BoundHistogram<f64>,
}

/// A counter that is exported at 0 from now on.
fn bind(counter: &opentelemetry::metrics::Counter<u64>, labels: &[(&'static str, &'static str)]) -> BoundCounter<u64> {
    let labels: Vec<_> = labels
        .iter()
        .map(|(name, value)| KeyValue::new(*name, *value))
        .collect();
    let bound = counter.bind(&labels);
    bound.add(0);
    bound
}

impl Instruments {
    #[expect(clippy::too_many_lines, reason = "a list, an entry for each instrument")]
    /// Instruments for these endpoints (method and route), reasons of refusal, reasons of shedding, and this kind of store.
    pub fn new(
        meter: &Meter,
        endpoints: &[(&'static str, &'static str)],
        reject_reasons: &[&'static str],
        shed_reasons: &[&'static str],
        store: &'static str,
    ) -> Self {
        let counter = |name, help| meter.u64_counter(name).with_description(help).build();
        let requests = counter("http_requests", "Requests answered, by class of status");
        let rejects = counter("reject", "Requests refused because of what they asked");
        let sheds = counter("shed", "Requests turned away because of the server's state");
        let issued = counter("oauth_token_issued", "Access tokens issued");
        let revoked = counter("oauth_token_revoked", "Revocations committed, by what they revoke");
        let introspections = counter("oauth_introspections", "Tokens introspected");
        let verified = counter("verified_token_cache", "Look-ups of tokens verified before");
        let failures = counter(
            "auth_failures",
            "Failed client authentications, within and over the client's and address's bucket",
        );
        let limits = counter(
            "rate_limit_decisions",
            "Requests of clients that have a rate, by what came of it",
        );
        let quotas = counter(
            "quota_decisions",
            "Tokens asked for by clients that have a quota, by what came of it",
        );
        let saves = counter("quota_saves", "Times that used quotas were saved");
        let folded = counter(
            "audit_folded",
            "Failed authentications that are counted in the audit log without a row of their own",
        );
        let reused = counter("reused_tokens", "Tokens that were given out again");
        let proxies = counter(
            "proxy_header_ignored",
            "Failed authentications where a header's word on the address did not count",
        );
        let histogram = |name, help, bounds: &[f64]| {
            meter
                .f64_histogram(name)
                .with_description(help)
                .with_boundaries(bounds.to_vec())
                .build()
        };
        let save = histogram(
            "quota_save_duration_seconds",
            "Time that saving used quotas took",
            &SECONDS,
        );
        let duration = histogram(
            "http_request_duration_seconds",
            "Time from the head of a request to its answer",
            &SECONDS,
        );
        let batch_size = histogram("token_commit_batch_size", "Tokens recorded by one commit", &ROWS);
        let commit = histogram(
            "token_commit_duration_seconds",
            "Time that one commit of tokens took",
            &SECONDS,
        );
        let reasons = |counter, route, reasons: &[&'static str]| {
            reasons
                .iter()
                .map(|reason| (*reason, bind(counter, &[("endpoint", route), ("reason", reason)])))
                .collect()
        };
        let endpoints = endpoints.iter().map(|&(method, route)| Endpoint {
            requests: CLASSES
                .iter()
                .map(|class| bind(&requests, &[("method", method), ("route", route), ("status", class)]))
                .collect(),
            duration: duration.bind(&[KeyValue::new("method", method), KeyValue::new("route", route)]),
            rejects: reasons(&rejects, route, reject_reasons),
            sheds: reasons(&sheds, route, shed_reasons),
        });
        Self {
            endpoints: endpoints.collect(),
            issued: TokenFormat::ALL
                .iter()
                .map(|format| {
                    let grant = GrantType::ClientCredentials.as_str();
                    bind(&issued, &[("grant_type", grant), ("format", format.as_str())])
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
            proxy_headers: ["untrusted", "malformed", "contradictory"]
                .map(|reason| (reason, bind(&proxies, &[("reason", reason)])))
                .into(),
            auth_failures: ["within", "over"].map(|decision| bind(&failures, &[("decision", decision)])),
            batch_size: batch_size.bind(&[KeyValue::new("store", store)]),
            commit_duration: commit.bind(&[KeyValue::new("store", store)]),
        }
    }

    /// Counts an answered request. `class` is the first digit of its status.
    pub fn record_http(&self, endpoint: usize, class: usize, elapsed: Duration) {
        let endpoint = &self.endpoints[endpoint];
        endpoint.requests[class.clamp(1, 5) - 1].add(1);
        endpoint.duration.record(elapsed.as_secs_f64());
    }

    /// Counts a refused request. A reason that was not declared is not counted.
    pub fn reject(&self, endpoint: usize, reason: &str) {
        count(&self.endpoints[endpoint].rejects, reason);
    }

    /// Counts a request that was turned away.
    pub fn shed(&self, endpoint: usize, reason: &str) {
        count(&self.endpoints[endpoint].sheds, reason);
    }

    /// Counts an issued token.
    pub fn token_issued(&self, format: TokenFormat) {
        self.issued[format as usize].add(1);
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

    /// Counts a self-contained token by how it was found to be ours.
    pub fn proof(&self, proof: Proof) {
        self.proofs[proof as usize].add(1);
    }

    /// Counts a failed client authentication.
    pub fn auth_failure(&self, over: bool) {
        self.auth_failures[usize::from(over)].add(1);
    }

    /// Counts a request of a client that has a rate.
    pub fn rate_limit(&self, endpoint: model::Endpoint, decision: Decision) {
        self.rate_limits[endpoint as usize][decision as usize].add(1);
    }

    /// Counts a token that a client with a quota asked for.
    pub fn quota(&self, decision: Decision) {
        self.quotas[decision as usize].add(1);
    }

    /// Records how long it took to save used quotas, and whether it was done.
    pub fn quota_save(&self, elapsed: Duration, done: bool) {
        self.quota_save.record(elapsed.as_secs_f64());
        self.quota_saves[usize::from(done)].add(1);
    }

    /// Counts a failed authentication that has no row of its own in the audit log.
    pub fn auth_failure_folded(&self) {
        self.folded.add(1);
    }

    /// Counts a token that was given out again.
    pub fn token_reused(&self) {
        self.reused.add(1);
    }

    /// Counts a header that told of the client's address in vain.
    pub fn proxy_header_ignored(&self, reason: &str) {
        count(&self.proxy_headers, reason);
    }

    /// Records one commit of tokens.
    pub fn commit(&self, rows: usize, elapsed: Duration) {
        self.batch_size.record(rows as f64);
        self.commit_duration.record(elapsed.as_secs_f64());
    }
}

fn count(counters: &[(&'static str, BoundCounter<u64>)], reason: &str) {
    if let Some((_, counter)) = counters.iter().find(|(known, _)| *known == reason) {
        counter.add(1);
    }
}

/// A mailbox whose figures are exported.
pub trait Watched: Send + Sync {
    /// The actor's name.
    fn name(&self) -> &'static str;
    /// Its figures.
    fn stats(&self) -> &MailboxStats;
}

impl<A: Actor<Context = Context<A>>> Watched for Mailbox<A> {
    fn name(&self) -> &'static str {
        Self::name(self)
    }

    fn stats(&self) -> &MailboxStats {
        Self::stats(self)
    }
}

/// Exports the figures of these actors' mailboxes; those of actors of one name together.
pub fn watch_mailboxes(meter: &Meter, actors: Vec<Box<dyn Watched>>) {
    let wait = meter
        .f64_histogram("actor_mailbox_wait_seconds")
        .with_description("Time that messages waited before an actor took them up")
        .with_boundaries(WAIT_SECONDS.to_vec())
        .build();
    let mut by_name: BTreeMap<&'static str, Vec<Box<dyn Watched>>> = BTreeMap::new();
    for actor in actors {
        let wait = wait.bind(&[KeyValue::new("actor", actor.name())]);
        actor.stats().on_wait(move |time| wait.record(time.as_secs_f64()));
        by_name.entry(actor.name()).or_default().push(actor);
    }
    let by_name = Arc::new(by_name);
    let each = Arc::clone(&by_name);
    meter
        .u64_observable_gauge("actor_mailbox_depth")
        .with_description("Messages queued or in flight")
        .with_callback(move |observer| {
            for (name, actors) in each.iter() {
                let depth = actors.iter().map(|actor| actor.stats().depth() as u64).sum();
                observer.observe(depth, &[KeyValue::new("actor", *name)]);
            }
        })
        .build();
    let each = Arc::clone(&by_name);
    meter
        .u64_observable_counter("actor_restarts")
        .with_description("Times that an actor was replaced")
        .with_callback(move |observer| {
            for (name, actors) in each.iter() {
                let restarts = actors.iter().map(|actor| actor.stats().restarts()).sum();
                observer.observe(restarts, &[KeyValue::new("actor", *name)]);
            }
        })
        .build();
    meter
        .u64_observable_counter("actor_sheds")
        .with_description("Messages that an actor did not answer")
        .with_callback(move |observer| {
            for (name, actors) in by_name.iter() {
                let sum = |of: fn(&Sheds) -> u64| actors.iter().map(|actor| of(&actor.stats().sheds())).sum();
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
