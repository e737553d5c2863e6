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
            self.heard()
        }
    }

    /// Nodes that were heard lately; this one counts whether it is or not.
    fn heard(&self) -> u32 {
        let mut nodes = self.lock();
        let now = Instant::now();
        nodes.retain(|_, heard| now.duration_since(*heard) <= SILENT);
        nodes.len() as u32 + 1
    }

    /// The number of nodes that share limits: nodes heard up to the last time that this node received its own message. An outage of the bus does not
    /// change it.
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

    pub(super) fn hear_own(&self) {
        self.known.store(self.heard(), Ordering::Relaxed);
        self.own.stamp(Instant::now());
    }

    pub(super) fn hear(&self, node: u64, hints: usize, delay_ms: u64) {
        self.received.fetch_add(hints as u64, Ordering::Relaxed);
        if hints > 0 {
            self.delay_ms.fetch_add(delay_ms * hints as u64, Ordering::Relaxed);
        }
        if node == NO_NODE {
            return;
        }
        let mut nodes = self.lock();
        if nodes.len() < MAX_NODES || nodes.contains_key(&node) {
            nodes.insert(node, Instant::now());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Instant>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
