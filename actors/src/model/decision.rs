//! What the rate limiter decides.

/// What a failed authentication means for its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It was in the bucket.
    Within,
    /// The bucket was empty.
    Over,
}
