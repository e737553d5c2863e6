//! The rows of the metrics of requests.

use oauth2_actors::metrics::Label;
use oauth2_actors::metrics::catalogue::{LabelSet, SECONDS, Values, counter, histogram};

use crate::http::client_address::Ignored;
use crate::http::connection::Closed;
use crate::http::endpoint::Group;
use crate::http::reason::{RejectReason, ShedReason};

/// The values of `status`.
pub const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// The values of `listener`.
pub const LISTENERS: [&str; 2] = ["public", "management"];

/// The values of `endpoint` of requests that missed a deadline.
pub const DEADLINE_GROUPS: [Group; 4] = [Group::Token, Group::Introspection, Group::Revocation, Group::Admin];

const METHOD: LabelSet = LabelSet::closed("method", || vec!["DELETE", "GET", "PATCH", "POST", "PUT", "other"]);
const ROUTE: LabelSet = LabelSet {
    name: "route",
    values: Values::From("the paths of the API document, and `unmatched`"),
};
const STATUS: LabelSet = LabelSet::closed("status", || CLASSES.to_vec());
const TIMED_METHOD: LabelSet = LabelSet::closed("method", || vec!["POST", "any"]);
const TIMED_ROUTE: LabelSet = LabelSet::closed("route", || {
    vec![
        "/oauth/introspect",
        "/oauth/introspect/batch",
        "/oauth/revoke",
        "/oauth/token",
        "admin",
        "metadata",
        "other",
    ]
});
const ENDPOINT: LabelSet = LabelSet::closed("endpoint", || Group::ALL.iter().map(|group| group.as_str()).collect());
const DEADLINE_ENDPOINT: LabelSet = LabelSet::closed("endpoint", || {
    DEADLINE_GROUPS.iter().map(|group| group.as_str()).collect()
});
const REJECT_REASON: LabelSet = LabelSet::closed("reason", || RejectReason::values().collect());
const SHED_REASON: LabelSet = LabelSet::closed("reason", || ShedReason::values().collect());
const CLOSED: LabelSet = LabelSet::closed("reason", || Closed::values().collect());
const IGNORED: LabelSet = LabelSet::closed("reason", || Ignored::values().collect());
const LISTENER: LabelSet = LabelSet::closed("listener", || LISTENERS.to_vec());

oauth2_actors::catalogue! {
    REQUESTS = counter("http_requests", &[METHOD, ROUTE, STATUS], "Requests answered, by class of status").notes(
        "Routes of the admin API are exported once they were used. `unmatched`, with the method `other`, stands for requests that match no endpoint \
         of their listener.");
    DURATION = histogram("http_request_duration_seconds", &[TIMED_METHOD, TIMED_ROUTE], SECONDS,
        "Time from the head of a request to its response").notes(
        "`route` is that of the token, introspection and revocation endpoints; all others are grouped: `metadata` (public keys included), \
         `admin`, and `other` with the method `any`.");
    REJECTS = counter("reject", &[ENDPOINT, REJECT_REASON], "Requests rejected because of their content or a limit (4xx)").notes(
        "Only the pairs listed below exist.");
    SHEDS = counter("shed", &[ENDPOINT, SHED_REASON], "Requests shed because of the state of the server (5xx)").notes(
        "Only the pairs listed below exist.");
    DEADLINES_MISSED = counter("deadlines_missed", &[DEADLINE_ENDPOINT], "Requests answered 503 because a time limit passed").notes(
        "Their deadline (reason `deadline` of `shed_total`: 1 s, admin API 5 s), or a shorter one of the store (`store_timeout`).");
    CONNECTIONS_CLOSED = counter("connections_closed", &[LISTENER, CLOSED], "Connections that the server closed").notes(
        "`handshake`: TLS failed or did not end; `cancelled`: too many cancelled requests; `head` or `body`: a request that did not end; `write`: a client that did not read; `idle`; `evicted`: too many connections.");
    PROXY_HEADER_IGNORED = counter("proxy_header_ignored", &[IGNORED],
        "Failed authentications whose forwarding header was ignored").notes(
        "`X-Forwarded-For` or `Forwarded`: the peer is `untrusted`, the header is `malformed`, or the two are `contradictory`.");
}
