//! Which thread an actor runs on: one of its own, or one that is assigned to it.
//!
//! An actor that one worker asks at every request runs on that worker's thread. A message to another thread wakes that
//! thread and then the caller's, which costs as much as a signature; on the same thread it is an entry in a queue.

use std::io;

use actix::{Arbiter, ArbiterHandle};
use tokio::sync::watch;

use super::mailbox::Mailbox;

/// The thread that an actor's incarnations run on.
#[derive(Debug, Clone)]
pub enum ThreadPlacement {
    /// A new thread for each incarnation.
    Dedicated,
    /// The thread that was assigned last. The actor does not run before one is assigned, nor after it has ended.
    Assigned(watch::Receiver<Option<ArbiterHandle>>),
}

/// Assigns a thread to an actor.
#[derive(Debug)]
pub struct ThreadAssigner(watch::Sender<Option<ArbiterHandle>>);

impl ThreadPlacement {
    /// A placement on a thread that is assigned later.
    pub fn assigned() -> (ThreadAssigner, ThreadPlacement) {
        let (assigner, placement) = watch::channel(None);
        (ThreadAssigner(assigner), Self::Assigned(placement))
    }

    /// The thread for the next incarnation, once there is one; `None` when the mailbox closes first.
    pub(super) async fn next_thread<A>(&mut self, mailbox: &Mailbox<A>) -> Option<io::Result<Thread>>
    where
        A: actix::Actor<Context = actix::Context<A>>,
    {
        let Self::Assigned(assigned) = self else {
            return Some(Arbiter::try_new().map(Thread::Dedicated));
        };
        let is_alive = |thread: &Option<ArbiterHandle>| thread.as_ref().is_some_and(ArbiterHandle::alive);
        tokio::select! {
            biased;
            () = mailbox.closed() => None,
            // An error means that the assigner was dropped: nothing can ask this actor any more.
            thread = assigned.wait_for(is_alive) => Some(Ok(Thread::Assigned(thread.ok()?.clone()?))),
        }
    }
}

impl ThreadAssigner {
    /// Whether the thread that was assigned last still runs.
    pub fn is_assigned(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(ArbiterHandle::alive)
    }

    /// Assigns a thread; the actor starts on it.
    pub fn assign(&self, thread: ArbiterHandle) {
        self.0.send_replace(Some(thread));
    }
}

/// The thread of one incarnation.
pub(super) enum Thread {
    Dedicated(Arbiter),
    Assigned(ArbiterHandle),
}

impl Thread {
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        // That a thread has ended shows in the death of the actor on it.
        let _sent = match self {
            Self::Dedicated(arbiter) => arbiter.spawn(future),
            Self::Assigned(arbiter) => arbiter.spawn(future),
        };
    }

    /// Whether an assigned thread has ended, and the actor with it.
    pub(super) fn assigned_has_ended(&self) -> bool {
        matches!(self, Self::Assigned(arbiter) if !arbiter.alive())
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Self::Dedicated(arbiter) = self {
            // Ends the thread: at once or, if it is blocked, when it resumes.
            arbiter.stop();
        }
    }
}
