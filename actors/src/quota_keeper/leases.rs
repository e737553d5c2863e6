//! Leases of enforced quotas, where several nodes share a store: tokens that count as used in the store before this node issues them.
//!
//! A lease lasts for about a tenth of a second of a client's requests, and the next one is asked for when half of it is used up, so that a token costs
//! no round trip. Near the end of a quota leases are of one token. What is not issued within [`IDLE`] goes back. What a node had leased
//! when it died counts as used until the window ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use oauth2_store::model::{Group, LeaseGrant, LeaseRequest, Quotas, Usage};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::counters::QuotaError;
use super::lease::{Leased, LeasedToken, Take};

/// A lease from which nothing was issued for this time goes back.
pub(super) const IDLE: Duration = Duration::from_secs(1);

/// Clients without requests for this time are forgotten.
const FORGET: Duration = Duration::from_mins(5);

/// The leases of this node.
#[derive(Debug)]
pub struct QuotaLeases {
    clients: DashMap<Arc<str>, Arc<Leased>>,
    wanted: Mutex<Vec<Arc<str>>>,
    added: Notify,
    over_quota: AtomicU64,
    /// Held while the store is asked.
    asking: Semaphore,
}

impl Default for QuotaLeases {
    fn default() -> Self {
        Self {
            clients: DashMap::new(),
            wanted: Mutex::default(),
            added: Notify::new(),
            over_quota: AtomicU64::new(0),
            asking: Semaphore::new(1),
        }
    }
}

impl QuotaLeases {
    /// Counts a token for a client with enforced quotas. Waits for a lease if there is none, until `deadline`.
    pub async fn reserve(
        &self,
        client_id: &str,
        quotas: &Quotas,
        now: i64,
        deadline: Instant,
    ) -> Result<LeasedToken, QuotaError> {
        let leased = self.of(client_id, quotas);
        loop {
            let changed = leased.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let (take, ask) = leased.take(quotas, now);
            if ask {
                self.want(client_id);
            }
            match take {
                Take::Taken(token) => return Ok(token),
                Take::Exceeded(exceeded) => return Err(exceeded),
                Take::Failed => return Err(QuotaError::Unknown),
                Take::Wait => {}
            }
            if tokio::time::timeout_at(deadline.into(), changed).await.is_err() {
                return Err(QuotaError::Unknown);
            }
        }
    }

    /// Tokens that this node has leased and not issued: the store counts them as used.
    pub fn left(&self, client_id: &str) -> u64 {
        self.clients.get(client_id).map_or(0, |leased| leased.lock().left)
    }

    /// Clients whose quota was found used up in a current window.
    pub fn over_quota(&self) -> u64 {
        self.over_quota.load(Ordering::Relaxed)
    }

    fn of(&self, client_id: &str, quotas: &Quotas) -> Arc<Leased> {
        if let Some(known) = self.clients.get(client_id) {
            return Arc::clone(&known);
        }
        let new = || Arc::new(Leased::new(client_id, *quotas));
        Arc::clone(&self.clients.entry(client_id.into()).or_insert_with(new))
    }

    fn want(&self, client_id: &str) {
        self.wanted().push(client_id.into());
        self.added.notify_one();
    }

    fn wanted(&self) -> MutexGuard<'_, Vec<Arc<str>>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins again after an incarnation of the actor that may have left requests unanswered.
    pub(super) fn begin_again(&self) {
        for leased in &self.clients {
            leased.lock().is_asked = false;
        }
        self.wanted().clear();
        for leased in &self.clients {
            leased.changed.notify_waiters();
        }
    }

    /// The permit to ask the store; `None` when the process ends.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.asking.acquire().await.ok()
    }

    /// Waits until the store is not being asked, and asks it no more.
    pub(super) async fn close(&self) {
        let last = self.asking.acquire().await;
        self.asking.close();
        drop(last);
    }

    /// Waits until a client needs a lease.
    pub(super) async fn are_wanted(&self) {
        self.added.notified().await;
    }

    /// What to ask the store for, at most `max` clients at once.
    pub(super) fn requests(&self, max: usize) -> Vec<LeaseRequest> {
        let ids: Vec<_> = {
            let mut wanted = self.wanted();
            // A store verb takes one request of a client.
            wanted.sort_unstable();
            wanted.dedup();
            let taken = wanted.len().min(max);
            wanted.drain(..taken).collect()
        };
        let request = |id: Arc<str>| Some(self.clients.get(&id)?.lock().request(&id));
        ids.into_iter().filter_map(request).collect()
    }

    /// Applies what the store answered; `None`: it failed.
    pub(super) fn apply(&self, requests: &[LeaseRequest], grants: Option<&[LeaseGrant]>) {
        for (index, request) in requests.iter().enumerate() {
            let Some(leased) = self.clients.get(&*request.client_id).map(|found| Arc::clone(&found)) else {
                continue;
            };
            let mut state = leased.lock();
            (state.is_asked, state.waiting) = (false, 0);
            match grants.and_then(|grants| grants.get(index)) {
                Some(grant) => state.add(request, grant),
                None => state.failed_at = Some(Instant::now()),
            }
            drop(state);
            leased.changed.notify_waiters();
        }
    }

    /// What goes back to the store: leases that are idle or, at the end, all.
    pub(super) fn take_returns(&self, all: bool, now: i64) -> Vec<Usage> {
        let (mut returns, mut over_quota) = (Vec::new(), 0);
        self.clients.retain(|client_id, leased| {
            let mut state = leased.lock();
            let idle = state.spent_at.elapsed();
            state.is_closed |= all;
            if all || idle >= IDLE {
                state.give_back(client_id);
            }
            returns.append(&mut state.returns);
            let is_over = state.is_over(now);
            over_quota += u64::from(is_over && !Group::is_key(client_id));
            is_over || idle < FORGET || state.is_asked || Arc::strong_count(leased) > 1
        });
        self.over_quota.store(over_quota, Ordering::Relaxed);
        returns
    }

    /// Keeps what could not be returned, for the next attempt.
    pub(super) fn put_back(&self, returns: Vec<Usage>) {
        for usage in returns {
            let leased = self.of(&usage.client_id, &Quotas::default());
            leased.lock().returns.push(usage);
        }
    }
}

#[cfg(test)]
mod tests;
