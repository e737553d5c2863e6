//! Rate limits, quotas and failed authentications.

use oauth2_store::model::{Decision, Endpoint};

use super::row::{LabelSet, SECONDS, counter, gauge, histogram};
use crate::metrics::{ForeignCheck, Label, OperatorRejection};

const DECISION: LabelSet = LabelSet::closed("decision", || Decision::ALL.iter().map(|one| one.as_str()).collect());
const ENDPOINT: LabelSet = LabelSet::closed("endpoint", || Endpoint::ALL.iter().map(|one| one.as_str()).collect());
const FAILURE: LabelSet = LabelSet::closed("decision", || AUTH_FAILURE_DECISIONS.to_vec());
const REASON: LabelSet = LabelSet::closed("reason", || OperatorRejection::values().collect());
const CHECK: LabelSet = LabelSet::closed("outcome", || ForeignCheck::values().collect());
pub(super) const OUTCOME: LabelSet = LabelSet::closed("outcome", || OUTCOMES.to_vec());
pub(super) const STORE: LabelSet = LabelSet::closed("store", || vec!["postgres", "sqlite"]);

/// The values of `decision` of failed authentications, in the order of `false` and `true`.
pub const AUTH_FAILURE_DECISIONS: [&str; 2] = ["within", "over"];

/// The values of `outcome`, in the order of `false` and `true`.
pub const OUTCOMES: [&str; 2] = ["failed", "done"];

crate::catalogue! {
    AUTH_FAILURES = counter("auth_failures", &[FAILURE], "Failed client authentications, within and over their limit").notes(
        "The limit is per client and address, 100 per minute. Those `over` it are answered 429 where it is enforced.");
    RATE_LIMIT_DECISIONS = counter("rate_limit_decisions", &[DECISION, ENDPOINT], "Checks of the rate limits of clients and of their groups, by decision").notes(
        "`observed` is over the limit and allowed, `limited` is answered 429.");
    RATE_LIMIT_LEASES = counter("rate_limit_leases", &[], "Leases of buckets of rate limits that were asked of Redis").notes(
        "0 without `OAUTH2_REDIS_URL`.").detail();
    RATE_LIMIT_SHARES = counter("rate_limit_shares", &[], "Requests decided by this node's share of a rate, as Redis did not respond");
    RATE_LIMITER_KEYS = gauge("rate_limiter_keys", &[], "Pairs of client and address with failed authentications").notes(
        "Bounded by `OAUTH2_LIMITS_AUTH_FAILURE_KEYS`.").detail();
    RATE_LIMITER_EVICTIONS = counter("rate_limiter_evictions", &[],
        "Buckets of failed authentications evicted before they were full again").detail();
    RATE_LIMITED_CLIENTS = gauge("rate_limited_clients", &[], "Buckets of clients with a rate limit, without full ones").detail();
    OPERATOR_REJECTIONS = counter("operator_rejections", &[REASON], "Requests to the admin API of callers that are no operators");
    FOREIGN_CHECKS = counter("foreign_hash_checks", &[CHECK], "Secrets compared with hashes that other products made, by outcome").notes(
        "`remembered` was verified before; `shed` was answered 503, because the queue was full or the verification did not end in time. Clients \
         whose hash was replaced are not counted any more.");
    FOREIGN_QUEUE = gauge("foreign_hash_queue", &[], "Secrets that wait for the verification by a hash of another product, or are verified");
    SECRETS_REPLACED = counter("secrets_replaced", &[], "Hashes of other products that this node replaced with fast ones");
    QUOTA_DECISIONS = counter("quota_decisions", &[DECISION], "Checks of the quotas of clients and of their groups, by decision").notes(
        "`observed` is over the quota and allowed, `limited` is answered 429.");
    QUOTA_SAVES = counter("quota_saves", &[OUTCOME], "Saves of quota usage to the store, by outcome");
    QUOTA_SAVE_DURATION = histogram("quota_save_duration_seconds", &[STORE], SECONDS, "Duration of a save of quota usage").detail();
    CLIENTS_OVER_QUOTA = gauge("clients_over_quota", &[], "Clients that have used up a quota of the current hour, day or month").notes(
        "As this node counts, every 5 s; whether the quota is enforced or observed.");
    CLIENTS_NOT_CACHING = gauge("clients_not_caching", &[], "Clients with more unexpired tokens than the threshold").notes(
        "The threshold is `OAUTH2_QUOTAS_STILL_VALID_TOKENS`. `oauth2_server client top` lists them.");
    BUSIEST_CLIENT_SHARE = gauge("busiest_client_share", &[], "Share of the busiest client in the tokens issued in the last full minute").notes(
        "By this node; 0 if it issued none. `oauth2_server client top` lists clients with the most unexpired tokens.").experimental();
    BUSIEST_TEN_CLIENTS_SHARE = gauge("busiest_ten_clients_share", &[],
        "Share of the ten busiest clients in the tokens issued in the last full minute").experimental();
    AUDIT_FOLDED = counter("audit_folded", &[], "Rejections that share a summary row in the audit log").notes(
        "Failed authentications and rejected changes, beyond those of a minute that have a row of their own.");
    AUDIT_BACKLOG = gauge("audit_backlog", &[], "Audit rows of rejections in memory, not written yet").notes(
        "The summary of the running minute is one of them. Audit rows of changes are written with the change.");
}
