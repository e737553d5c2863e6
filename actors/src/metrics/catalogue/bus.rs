//! Hints between nodes. Exported where a server may have other nodes: on Postgres.

use super::row::{LabelSet, counter, gauge};
use crate::hints::Rejection;

const REASON: LabelSet = LabelSet::closed("reason", || REASONS.to_vec());

/// The values of `reason`: why a message of the bus was dropped, and `full` for hints of this node of which too many waited.
pub const REASONS: [&str; 5] = [
    Rejection::Malformed.as_str(),
    Rejection::Version.as_str(),
    Rejection::Forged.as_str(),
    Rejection::Old.as_str(),
    FULL,
];

/// Of hints that were dropped because too many waited.
pub const FULL: &str = "full";

crate::catalogue! {
    BUS_UP = gauge("bus_up", &[], "1 if the hints that this node sends arrive").notes(
        "They travel by Redis or by notifications of Postgres. At 0 changes of other nodes are read from the store each 100 ms. Postgres only.")
        .postgres_only();
    BUS_NODES = gauge("bus_nodes", &[], "Nodes that are heard on the bus, this one included").notes("Postgres only.").postgres_only();
    HINTS_SENT = counter("bus_hints_sent", &[], "Hints of committed changes that this node sent").notes("Postgres only.").postgres_only().detail();
    HINTS_RECEIVED = counter("bus_hints_received", &[], "Hints of committed changes that this node received from others")
        .notes("Postgres only.").postgres_only().detail();
    HINTS_DELAY = counter("bus_hints_delay_seconds", &[], "Time from sending to receiving of the received hints, added up").notes(
        "By the store's clock as both nodes know it. Postgres only.").postgres_only().detail();
    MESSAGES_DROPPED = counter("bus_messages_dropped", &[REASON], "Messages of the bus that were dropped, by reason").notes(
        "`forged` has another key encryption key: an issuer with the same `OAUTH2_REDIS_PREFIX`, or an attacker. None of them does harm. Postgres only.")
        .postgres_only();
}
