//! Which worker asks which recorder.

use std::sync::atomic::{AtomicUsize, Ordering};

use actix::Arbiter;
use tokio::sync::watch;

use super::{Parts, Recorder};
use crate::runtime::mailbox::Mailbox;
use crate::runtime::place::{Lender, Place};
use crate::runtime::supervisor::{ActorStatus, Policy, Supervised, supervise_at};

/// The recorders of a process: one for each worker, on that worker's thread, or fewer, on threads of their own.
#[derive(Debug)]
pub struct Recorders {
    recorders: Vec<(Option<Lender>, Supervised<Recorder>)>,
    next: AtomicUsize,
}

impl Recorders {
    /// For so many workers, but at most `limit` of them. One that several workers ask must not live with one of these: when
    /// the process drains, that one may end while another still waits for a commit.
    pub fn new(workers: usize, limit: usize, policy: Policy, parts: &Parts) -> Self {
        let shared = workers > limit;
        let make = |_| {
            let (lender, place) = if shared {
                (None, Place::Own)
            } else {
                let (lender, place) = Place::lent();
                (Some(lender), place)
            };
            let parts = parts.clone();
            let recorder = supervise_at(place, "recorder", policy, move |_| Recorder::new(parts.clone()));
            (lender, recorder)
        };
        Self {
            recorders: (0..workers.min(limit).max(1)).map(make).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// The recorder for the worker on whose thread this is called.
    pub fn for_this_worker(&self) -> Mailbox<Recorder> {
        // One that has no thread yet, or whose worker ended and is replaced by this one.
        let homeless = self.recorders.iter().find_map(|(lender, recorder)| {
            let lender = lender.as_ref().filter(|lender| !lender.is_taken())?;
            Some((lender, recorder))
        });
        if let (Some((lender, recorder)), Some(thread)) = (homeless, Arbiter::try_current()) {
            lender.lend(thread);
            return recorder.mailbox.clone();
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.recorders.len();
        self.recorders[turn].1.mailbox.clone()
    }

    /// The mailboxes of all.
    pub fn mailboxes(&self) -> impl Iterator<Item = &Mailbox<Recorder>> {
        self.recorders.iter().map(|(_, recorder)| &recorder.mailbox)
    }

    /// What their supervisors say, with their names.
    pub fn statuses(&self) -> impl Iterator<Item = (&'static str, watch::Receiver<ActorStatus>)> {
        let status = |recorder: &Supervised<Recorder>| (recorder.mailbox.name(), recorder.status.clone());
        self.recorders.iter().map(move |(_, recorder)| status(recorder))
    }
}
