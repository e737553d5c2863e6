//! The outcome of spending.

use std::time::Duration;

/// The outcome of spending from a client's bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Requests left in the bucket.
    pub remaining: u32,
    /// `None` if the cost was taken; otherwise how long until the bucket holds it.
    pub wait: Option<Duration>,
}
