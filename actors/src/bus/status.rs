//! The published state of the bus.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::freshness::Freshness;
use crate::hints::Rejection;

/// A node whose last message is older is not counted, and hints that it would send do not flow. Every node sends at least each
/// [`ALIVE`](super::ALIVE).
const SILENT: Duration = Duration::from_millis(1500);

/// The most nodes that are remembered: a running node sends twice a second, so a forgotten node is remembered again.
const MAX_NODES: usize = 4096;

/// The sender of messages of a subcommand.
pub(super) const NO_NODE: u64 = 0;

/// The state of the bus.
#[derive(Debug, Default)]
pub struct BusStatus {
    /// When this node last received a message of its own: the whole way works.
    own: Freshness,
    /// When messages of its own began to arrive, after a time without.
    resumed: Freshness,
    nodes: Mutex<HashMap<u64, Instant>>,
    /// Nodes, as of the last message of this node that it received.
    known: AtomicU32,
    sent: AtomicU64,
    received: AtomicU64,
    delay_ms: AtomicU64,
    rejected: [AtomicU64; 4],
}

impl BusStatus {
    /// Whether hints flow: this node receives its own messages.
    pub fn is_flowing(&self) -> bool {
        self.own.is_within(SILENT)
    }

    /// The number of nodes, this one included: nodes that share limits while hints flow, otherwise nodes heard in the last seconds.
    pub fn nodes(&self) -> u32 {
        if self.is_flowing() {
            self.sharing()
        } else {
            self.heard(Instant::now())
        }
    }

    /// Nodes that were heard lately; this one counts whether it is or not.
    fn heard(&self, now: Instant) -> u32 {
        let mut nodes = self.lock();
        nodes.retain(|_, heard| now.duration_since(*heard) <= SILENT);
        nodes.len() as u32 + 1
    }

    /// The number of nodes that share limits: nodes heard up to the last time that this node received its own message. An outage of the bus does not
    /// change it, nor does its end: nodes that connect again later than this one count.
    pub fn sharing(&self) -> u32 {
        self.known.load(Ordering::Relaxed).max(1)
    }

    /// Hints that this node sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Hints of other nodes that this node received.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// The time from sending to receiving of all messages with hints of other nodes, added up, seconds.
    pub fn delay(&self) -> f64 {
        self.delay_ms.load(Ordering::Relaxed) as f64 / 1000.0
    }

    /// Messages that were dropped.
    pub fn rejected(&self, why: Rejection) -> u64 {
        self.rejected[why as usize].load(Ordering::Relaxed)
    }

    pub(super) fn count_sent(&self, hints: usize) {
        self.sent.fetch_add(hints as u64, Ordering::Relaxed);
    }

    pub(super) fn count_rejected(&self, why: Rejection) {
        self.rejected[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A message of this node came back.
    pub(super) fn hear_own(&self, now: Instant) {
        if !self.own.is_within_at(SILENT, now) {
            self.resumed.stamp(now);
        }
        self.own.stamp(now);
        let heard = self.heard(now);
        if self.resumed.is_within_at(SILENT, now) {
            self.known.fetch_max(heard, Ordering::Relaxed);
        } else {
            self.known.store(heard, Ordering::Relaxed);
        }
    }

    /// A message of another node.
    pub(super) fn hear(&self, node: u64, hints: usize, delay_ms: u64, now: Instant) {
        self.received.fetch_add(hints as u64, Ordering::Relaxed);
        if hints > 0 {
            self.delay_ms.fetch_add(delay_ms * hints as u64, Ordering::Relaxed);
        }
        if node == NO_NODE {
            return;
        }
        let mut nodes = self.lock();
        if nodes.len() < MAX_NODES || nodes.contains_key(&node) {
            nodes.insert(node, now);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Instant>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_and_its_end_do_not_change_how_many_share() {
        let (status, start) = (BusStatus::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        for ms in (0..3000).step_by(500) {
            status.hear(1, 0, 0, at(ms));
            status.hear(2, 0, 0, at(ms));
            status.hear_own(at(ms));
        }
        assert_eq!(status.sharing(), 3);
        // An outage; then this node is connected first.
        status.hear_own(at(9000));
        assert_eq!(status.sharing(), 3);
        status.hear(1, 0, 0, at(9400));
        for ms in (9500..=10_500).step_by(500) {
            status.hear_own(at(ms));
            assert_eq!(status.sharing(), 3);
        }
        status.hear(1, 0, 0, at(10_900));
        status.hear_own(at(11_000));
        assert_eq!(status.sharing(), 2, "a node did not come back");
    }
}
