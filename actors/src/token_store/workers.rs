//! The token stores of a process, and which worker asks which.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use actix::Arbiter;

use super::{Deps, TokenStore};
use crate::runtime::mailbox::Mailbox;
use crate::runtime::placement::{ThreadAssigner, ThreadPlacement};
use crate::runtime::supervisor::Policy;
use crate::runtime::system::ActorSystem;

/// The token stores of a process: one per worker, on that worker's thread, or fewer, on threads of their own.
#[derive(Debug)]
pub struct TokenStores {
    all: Vec<(Option<ThreadAssigner>, Mailbox<TokenStore>)>,
    /// Held while a worker takes a token store: workers start at the same time, and two must not take the same one.
    taking: Mutex<()>,
    next: AtomicUsize,
}

impl TokenStores {
    /// Starts one per worker, but `limit` at most. One that several workers share must not run on the thread of one of them:
    /// when the process drains, that worker may end while another still waits for a commit.
    pub fn new(system: &mut ActorSystem, workers: usize, limit: usize, policy: Policy, deps: &Deps) -> Self {
        let is_shared = workers > limit;
        let start = |_| {
            let (assigner, placement) = if is_shared {
                (None, ThreadPlacement::Dedicated)
            } else {
                let (assigner, placement) = ThreadPlacement::assigned();
                (Some(assigner), placement)
            };
            let deps = deps.clone();
            let factory = move |_: &mut _| TokenStore::new(deps.clone());
            (assigner, system.supervise_on(placement, "token_store", policy, factory))
        };
        Self {
            all: (0..workers.min(limit).max(1)).map(start).collect(),
            taking: Mutex::new(()),
            next: AtomicUsize::new(0),
        }
    }

    /// The token store for the worker on whose thread this is called.
    pub fn for_this_worker(&self) -> Mailbox<TokenStore> {
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has no thread yet, or whose worker ended and is replaced by this one.
        let unassigned = self.all.iter().find_map(|(assigner, mailbox)| {
            let assigner = assigner.as_ref().filter(|assigner| !assigner.is_assigned())?;
            Some((assigner, mailbox))
        });
        if let (Some((assigner, mailbox)), Some(thread)) = (unassigned, Arbiter::try_current()) {
            assigner.assign(thread);
            return mailbox.clone();
        }
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len();
        self.all[index].1.clone()
    }

    /// The mailboxes of all token stores; there is at least one.
    pub fn mailboxes(&self) -> impl Iterator<Item = &Mailbox<TokenStore>> {
        self.all.iter().map(|(_, mailbox)| mailbox)
    }
}
