//! Where an actor lives: on a thread of its own, or on one that is lent to it.
//!
//! An actor that is asked by one worker only, at every request, lives on that worker's thread: a message to another thread
//! wakes that thread and the asker again, which costs as much as a signature; on the same thread it is an entry in a queue.

use std::io;

use actix::{Arbiter, ArbiterHandle};
use tokio::sync::watch;

use super::mailbox::Mailbox;

/// Where an actor's lives take place.
#[derive(Debug, Clone)]
pub enum Place {
    /// Each life has a new thread.
    Own,
    /// On the thread that was lent last. There is no life before there is one, and none after it has ended.
    Lent(watch::Receiver<Option<ArbiterHandle>>),
}

/// What lends an actor its thread.
#[derive(Debug)]
pub struct Lender(watch::Sender<Option<ArbiterHandle>>);

impl Place {
    /// A place on a thread that is lent later.
    pub fn lent() -> (Lender, Place) {
        let (lender, place) = watch::channel(None);
        (Lender(lender), Self::Lent(place))
    }

    /// The thread for a life, as soon as there is one; `None` when the mailbox closes before.
    pub(super) async fn thread<A>(&mut self, mailbox: &Mailbox<A>) -> Option<io::Result<Thread>>
    where
        A: actix::Actor<Context = actix::Context<A>>,
    {
        let Self::Lent(place) = self else {
            return Some(Arbiter::try_new().map(Thread::Own));
        };
        let alive = |thread: &Option<ArbiterHandle>| thread.as_ref().is_some_and(ArbiterHandle::alive);
        tokio::select! {
            biased;
            () = mailbox.closed() => None,
            // An error means that the lender is gone: nobody will ask this actor any more.
            thread = place.wait_for(alive) => Some(Ok(Thread::Lent(thread.ok()?.clone()?))),
        }
    }
}

impl Lender {
    /// Whether the thread that was lent last is there.
    pub fn is_taken(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(ArbiterHandle::alive)
    }

    /// Lends a thread; the actor begins a life on it.
    pub fn lend(&self, thread: ArbiterHandle) {
        self.0.send_replace(Some(thread));
    }
}

/// The thread of one life.
pub(super) enum Thread {
    Own(Arbiter),
    Lent(ArbiterHandle),
}

impl Thread {
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        // A thread that is gone is seen by the death of what lived on it.
        let _sent = match self {
            Self::Own(arbiter) => arbiter.spawn(future),
            Self::Lent(arbiter) => arbiter.spawn(future),
        };
    }

    /// Whether a lent thread was taken away, and the actor with it.
    pub(super) fn is_taken_away(&self) -> bool {
        matches!(self, Self::Lent(arbiter) if !arbiter.alive())
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Self::Own(arbiter) = self {
            // Ends the thread: at once, or, if it is stuck, when it comes back.
            arbiter.stop();
        }
    }
}
