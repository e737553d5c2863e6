//! The token stores of a process, and which worker asks which.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use actix::Arbiter;

use super::{CommitFlag, Deps, TokenStore};
use crate::runtime::mailbox::Mailbox;
use crate::runtime::placement::{ThreadAssigner, ThreadPlacement};
use crate::runtime::supervisor::Policy;
use crate::runtime::system::ActorSystem;

/// A token store, and whether it is committing.
#[derive(Debug, Clone)]
pub struct Handle {
    /// Takes entries.
    pub mailbox: Mailbox<TokenStore>,
    /// Set while a commit is in flight.
    pub committing: CommitFlag,
}

/// The name of these actors.
pub const NAME: &str = "token_store";

/// The token stores of a process: one per worker, on that worker's thread, or fewer, on threads of their own.
#[derive(Debug)]
pub struct TokenStores {
    all: Vec<(Option<ThreadAssigner>, Handle)>,
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
            let (deps, committing) = (deps.clone(), CommitFlag::default());
            let flag = committing.clone();
            let factory = move |_: &mut _| TokenStore::new(deps.clone(), flag.clone());
            let mailbox = system.supervise_on(placement, NAME, policy, factory);
            (assigner, Handle { mailbox, committing })
        };
        Self {
            all: (0..workers.min(limit).max(1)).map(start).collect(),
            taking: Mutex::new(()),
            next: AtomicUsize::new(0),
        }
    }

    /// The token store for the worker on whose thread this is called.
    pub fn for_this_worker(&self) -> Handle {
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has no thread yet, or whose worker ended and is replaced by this one.
        let unassigned = self.all.iter().find_map(|(assigner, handle)| {
            let assigner = assigner.as_ref().filter(|assigner| !assigner.is_assigned())?;
            Some((assigner, handle))
        });
        if let (Some((assigner, handle)), Some(thread)) = (unassigned, Arbiter::try_current()) {
            assigner.assign(thread);
            return handle.clone();
        }
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.all.len();
        self.all[index].1.clone()
    }

    /// All token stores; there is at least one.
    pub fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.all.iter().map(|(_, handle)| handle)
    }
}
