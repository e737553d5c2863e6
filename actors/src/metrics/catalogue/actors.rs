//! Mailboxes and supervision.

use super::row::{LabelSet, counter, gauge, histogram};

const ACTOR: LabelSet = LabelSet::closed("actor", || {
    vec![
        "audit_writer",
        "bus",
        "key_keeper",
        "metrics",
        "quota_keeper",
        "rate_limiter",
        "revocation_cache",
        "store_gateway",
        "token_store",
    ]
});
const REASON: LabelSet = LabelSet::closed("reason", || SHED_REASONS.to_vec());

/// The values of `reason`.
pub const SHED_REASONS: [&str; 3] = ["full", "deadline", "crashed"];

/// Bucket bounds of a mailbox wait, in seconds.
const WAIT_SECONDS: &[f64] = &[0.000_1, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5];

crate::catalogue! {
    MAILBOX_DEPTH = gauge("actor_mailbox_depth", &[ACTOR], "Messages queued or in flight");
    MAILBOX_WAIT = histogram("actor_mailbox_wait_seconds", &[ACTOR], WAIT_SECONDS, "Time that messages waited in the mailbox");
    RESTARTS = counter("actor_restarts", &[ACTOR], "Restarts of the actor, and attempts");
    SHEDS = counter("actor_sheds", &[ACTOR, REASON], "Messages without a reply, by reason");
}
