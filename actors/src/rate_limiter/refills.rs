//! Requests that wait for a lease: one request to Redis per bucket at a time serves all of them.

use std::collections::{HashMap, VecDeque};

use super::leases::{Bucket, Grant};
use super::spent::Spent;
use crate::runtime::mailbox::ReplySender;

type Waiter = (Bucket, ReplySender<Option<Spent>>);

/// Waiting requests, by the number of the bucket, in the order of asking.
#[derive(Debug, Default)]
pub(super) struct Refills(HashMap<u64, VecDeque<Waiter>>);

impl Refills {
    /// Adds a waiting request. Returns whether to ask for the bucket now: the request is the first.
    pub(super) fn wait(&mut self, bucket: Bucket, reply: ReplySender<Option<Spent>>) -> bool {
        let waiting = self.0.entry(bucket.key).or_default();
        waiting.push_back((bucket, reply));
        waiting.len() == 1
    }

    /// Whether someone waits for a bucket.
    pub(super) fn is_waited_for(&self, key: u64) -> bool {
        self.0.contains_key(&key)
    }

    /// What to ask of a bucket, so that it serves all who wait.
    pub(super) fn needed(&mut self, key: u64) -> Option<Bucket> {
        let waiting = self.0.get_mut(&key)?;
        waiting.retain(|(_, reply)| !reply.is_abandoned());
        let (first, _) = waiting.front()?;
        let costs = waiting.iter().map(|(bucket, _)| bucket.cost.get());
        let needed = costs.fold(0, u32::saturating_add);
        Some(Bucket {
            want: first.want.max(needed),
            ..first.clone()
        })
    }

    /// Gives out a grant in the order of asking. If there is none, requests that need as much as was asked for are denied; others still
    /// wait. Returns what is left of the grant.
    pub(super) fn distribute(&mut self, key: u64, grant: &Grant) -> u32 {
        let mut left = grant.granted;
        let Some(waiting) = self.0.get_mut(&key) else {
            return left;
        };
        let asked = waiting.front().map_or(0, |(bucket, _)| bucket.cost.get());
        // A lease that was asked for ahead needs no more than there is.
        let asked = if waiting.front().is_some_and(|(bucket, _)| bucket.is_ahead) {
            0
        } else {
            asked
        };
        let mut still_waiting = VecDeque::new();
        for (bucket, reply) in waiting.drain(..) {
            if reply.is_abandoned() {
                continue;
            }
            let cost = if bucket.is_ahead { 0 } else { bucket.cost.get() };
            let wait = if grant.granted > 0 && cost <= left && still_waiting.is_empty() {
                left -= cost;
                None
            } else if grant.granted == 0 && cost >= asked {
                Some(grant.wait)
            } else {
                still_waiting.push_back((bucket, reply));
                continue;
            };
            reply.send(Some(Spent {
                remaining: left + grant.remaining,
                wait,
            }));
        }
        if still_waiting.is_empty() {
            self.0.remove(&key);
        } else {
            *waiting = still_waiting;
        }
        left
    }

    /// Answers all who wait for a bucket: Redis does not respond.
    pub(super) fn answer_nobody(&mut self, key: u64) {
        for (_, reply) in self.0.remove(&key).into_iter().flatten() {
            reply.send(None);
        }
    }
}
