//! The signer.
//!
//! - Owns: a thread for work that takes long, such as an RSA signature, so that it does not hold up a worker: there, one of
//!   them costs as much time as thirty requests.
//! - Source of truth: none; each piece of work brings what it needs.
//! - On restart: nothing is lost but what was under way, whose callers are told so.
//! - When full: callers are refused at once.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use actix::prelude::*;
use tokio::sync::watch;

use crate::error::AskError;
use crate::runtime::mailbox::{Envelope, Mailbox, Pending, Request};
use crate::runtime::supervisor::{ActorStatus, Policy, Supervised, supervise};

/// Work that is waiting or under way, for each signer: about a tenth of a second of 2048-bit signatures.
const MAILBOX: usize = 256;

/// Something to do elsewhere.
pub struct Work<T>(pub Box<dyn FnOnce() -> T + Send>);

impl<T> fmt::Debug for Work<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}

impl<T: Send + 'static> Request for Work<T> {
    type Reply = T;
}

/// The actor.
#[derive(Debug)]
pub struct Signer;

impl Actor for Signer {
    type Context = Context<Self>;
}

impl<T: Send + 'static> Handler<Envelope<Work<T>>> for Signer {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Work<T>>, _: &mut Context<Self>) {
        envelope.answer(|Work(work)| work());
    }
}

/// Some signers, that take turns.
#[derive(Debug)]
pub struct Signers {
    signers: Vec<Supervised<Signer>>,
    next: AtomicUsize,
}

impl Signers {
    /// So many signers, each on a thread of its own.
    pub fn new(count: usize) -> Self {
        let policy = Policy {
            mailbox_capacity: MAILBOX,
            ..Policy::default()
        };
        Self {
            signers: (0..count.max(1))
                .map(|_| supervise("signer", policy, |_| Signer))
                .collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// Has something done by the next in turn.
    pub fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        deadline: Instant,
    ) -> Result<Pending<T>, AskError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.signers.len();
        self.signers[turn].mailbox.ask(Work(Box::new(work)), deadline)
    }

    /// What their supervisors say, with their names.
    pub fn statuses(&self) -> impl Iterator<Item = (&'static str, watch::Receiver<ActorStatus>)> {
        let status = |signer: &Supervised<Signer>| (signer.mailbox.name(), signer.status.clone());
        self.signers.iter().map(status)
    }

    /// The mailboxes of all.
    pub fn mailboxes(&self) -> impl Iterator<Item = &Mailbox<Signer>> {
        self.signers.iter().map(|signer| &signer.mailbox)
    }
}
