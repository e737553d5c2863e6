//! What happened during a load.

use std::time::Instant;

use reqwest::StatusCode;

/// Requests that every node serves.
const KINDS: [&str; 3] = ["token", "introspect", "revoke"];

/// A token, and when it was revoked.
#[derive(Debug, Clone)]
pub(in crate::nodes) struct Token {
    pub(in crate::nodes) value: String,
    /// When its revocation was sent first.
    pub(in crate::nodes) revoking: Option<Instant>,
    /// When that was acknowledged, and by which node.
    pub(in crate::nodes) revoked: Option<(Instant, usize)>,
}

/// A response, or none.
#[derive(Debug, Clone)]
pub(in crate::nodes) struct Answer {
    pub(in crate::nodes) what: &'static str,
    pub(in crate::nodes) node: usize,
    pub(in crate::nodes) began: Instant,
    pub(in crate::nodes) ended: Instant,
    /// `None`: the connection ended.
    pub(in crate::nodes) status: Option<StatusCode>,
    pub(in crate::nodes) has_retry_after: bool,
    /// Of an introspection: the position of the token, and whether it is active.
    pub(in crate::nodes) verdict: Option<(usize, bool)>,
}

/// A token by a secret that is rotated.
#[derive(Debug, Clone)]
pub(in crate::nodes) struct Rotated {
    pub(in crate::nodes) value: String,
    /// The number of the secret.
    pub(in crate::nodes) secret: usize,
    pub(in crate::nodes) began: Instant,
}

/// What happened.
#[derive(Debug, Default)]
pub(in crate::nodes) struct History {
    pub(in crate::nodes) tokens: Vec<Token>,
    pub(in crate::nodes) answers: Vec<Answer>,
    pub(in crate::nodes) rotated: Vec<Rotated>,
    /// When each secret was replaced and its tokens revoked: the response to the revocation of the client's tokens.
    pub(in crate::nodes) replaced: Vec<Instant>,
    /// Requests that the limits allowed.
    pub(in crate::nodes) by_rate: usize,
    pub(in crate::nodes) by_quota: usize,
}

impl History {
    /// Of the requests from this position on: the fewest of a kind that a node served.
    pub(super) fn least_served(&self, from: usize, nodes: usize) -> usize {
        let mut served = vec![[0; KINDS.len()]; nodes];
        for answer in &self.answers[from..] {
            let kind = KINDS.iter().position(|kind| *kind == answer.what);
            if let Some(kind) = kind
                && answer.status == Some(StatusCode::OK)
            {
                served[answer.node][kind] += 1;
            }
        }
        served.into_iter().flatten().min().unwrap_or(0)
    }

    /// Whether there is enough of everything to judge.
    pub(super) fn is_of_a_load(&self, nodes: usize) -> bool {
        let revoked = self.tokens.iter().filter(|token| token.revoked.is_some()).count();
        let is_rotated = self.replaced.len() >= 2 && self.rotated.len() >= 10;
        let is_limited = self.by_rate > 0 && self.by_quota > 0;
        self.least_served(0, nodes) >= 10 && revoked >= 20 && is_limited && is_rotated
    }
}
