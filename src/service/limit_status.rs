//! The state of a client's limits, as its responses report it.

/// One limit of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitStatus {
    /// Its name: an endpoint, or the window of a quota.
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
