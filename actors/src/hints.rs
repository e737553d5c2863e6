//! Hints: a node announces each change to the others after its commit, so that they need not wait for their next poll.
//!
//! A hint is never needed: the store's logs are the truth, and every node reads them on its own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use oauth2_store::model::{Revocation, RevocationTarget};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

/// Hints that may wait to be sent. More are dropped: nodes read what they say at their next poll.
const WAITING: usize = 16_384;

/// The committed change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// A token was revoked. It carries the whole entry of the log.
    Token {
        /// The token's id.
        jti: Uuid,
        /// When it expires, Unix seconds.
        expires_at: i64,
    },
    /// The revocation log has a cut-off. It is read from there: a cut-off may be corrected, and a late hint must not bring back the
    /// uncorrected one.
    CutOff,
    /// A client or a key changed. It is read from the store: hints are authenticated, not encrypted, and a client has hashes of secrets.
    Directory,
}

impl Hint {
    /// The hint of a revocation.
    pub fn of(revocation: &Revocation) -> Self {
        match revocation.target {
            RevocationTarget::Token { jti, expires_at } => Self::Token { jti, expires_at },
            _ => Self::CutOff,
        }
    }
}

/// Why a message is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// It is not of this form, or too long.
    Malformed,
    /// It is of another version of this program.
    Version,
    /// Its sender does not know the key.
    Forged,
    /// It was sent too long ago.
    Old,
}

impl Rejection {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Malformed, Self::Version, Self::Forged, Self::Old];

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::Forged => "forged",
            Self::Old => "old",
        }
    }
}

/// The hints that wait to be sent. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    hints: Mutex<Vec<Hint>>,
    is_open: AtomicBool,
    dropped: AtomicU64,
    added: Notify,
}

impl Outbox {
    /// Begins to take hints: until then there is no one to send them.
    pub fn open(&self) {
        self.0.is_open.store(true, Ordering::Release);
    }

    /// Leaves a hint to be sent.
    pub fn push(&self, hint: Hint) {
        if !self.0.is_open.load(Ordering::Acquire) {
            return;
        }
        let mut hints = self.lock();
        if hints.len() >= WAITING {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // Several hints cause one read of the store.
        if !matches!(hint, Hint::Token { .. }) && hints.contains(&hint) {
            return;
        }
        hints.push(hint);
        drop(hints);
        self.0.added.notify_one();
    }

    /// Waits until a hint was added.
    pub async fn added(&self) {
        self.0.added.notified().await;
    }

    /// Puts back hints that could not be sent, before the others.
    pub fn put_back(&self, hints: Vec<Hint>) {
        self.lock().splice(0..0, hints);
        self.0.added.notify_one();
    }

    /// Takes up to `max` hints, the oldest first.
    pub fn take(&self, max: usize) -> Vec<Hint> {
        let mut hints = self.lock();
        let taken = hints.len().min(max);
        hints.drain(..taken).collect()
    }

    /// Hints that were dropped because too many waited.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Hint>> {
        self.0.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u128) -> Hint {
        let jti = Uuid::from_u128(number);
        Hint::Token { jti, expires_at: 1 }
    }

    #[test]
    fn reads_are_asked_for_once_and_tokens_keep_their_order() {
        let outbox = Outbox::default();
        outbox.push(token(0));
        assert_eq!(outbox.take(9), [], "no one sends them yet");
        outbox.open();
        for hint in [Hint::Directory, token(1), Hint::CutOff, Hint::Directory, token(2)] {
            outbox.push(hint);
        }
        let first = outbox.take(2);
        assert_eq!(first, [Hint::Directory, token(1)]);
        outbox.put_back(first);
        assert_eq!(outbox.take(3), [Hint::Directory, token(1), Hint::CutOff]);
        assert_eq!(outbox.take(9), [token(2)]);
    }

    #[test]
    fn a_full_outbox_drops_and_counts() {
        let outbox = Outbox::default();
        outbox.open();
        for number in 0..=WAITING {
            outbox.push(token(number as u128));
        }
        assert_eq!((outbox.take(usize::MAX).len(), outbox.dropped()), (WAITING, 1));
    }
}
