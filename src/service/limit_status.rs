//! The state of a client's limits, as its responses report it.

use oauth2_store::model::{Endpoint, Window};

/// One limit of a client, or of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitStatus {
    /// Its name: an endpoint, or the window of a quota; with `group-` before it if it is of the group.
    pub name: &'static str,
    /// Requests or tokens per window.
    pub limit: u64,
    /// The window, seconds.
    pub window: u64,
    /// What is left now.
    pub remaining: u64,
    /// Seconds until the whole limit is available again.
    pub reset: u64,
}

/// The name of a group's rate limit.
pub fn of_group(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Token => "group-token",
        Endpoint::Introspection => "group-introspection",
        Endpoint::Revocation => "group-revocation",
    }
}

/// The name of a group's quota.
pub fn of_group_window(window: Window) -> &'static str {
    match window {
        Window::Hour => "group-hour",
        Window::Day => "group-day",
        Window::Month => "group-month",
    }
}
