//! The handle through which an actor is asked.
//!
//! actix bounds a mailbox softly (each clone of an address adds a slot) and tells nobody how long a message waited. Here a
//! message takes a permit, counted while it is queued *and* while it is worked on, and gives it back when its
//! [`Envelope`] or [`Answer`] drops. The handle outlives the actor: the supervisor puts a new one behind it after a crash.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Context, Handler, Message};
use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, oneshot};
use tokio::time::Sleep;

use crate::error::AskError;
use crate::runtime::permits::{MailboxStats, Permit, Permits, Shared};

/// How often a caller that waits looks whether its actor was given up. A frozen actor's thread cannot tell its callers
/// anything, and waking each of them costs every ask a registration; nearly all are answered before the first look.
const LOOK: Duration = Duration::from_millis(100);

/// What a caller asks of an actor, with what comes back.
pub trait Request: Send + 'static {
    /// The answer.
    type Reply: Send + 'static;
}

/// A message on its way, with all that travels with it. Dropping it answers the caller [`AskError::Crashed`], or
/// [`AskError::Deadline`] once that has passed.
#[derive(Debug)]
pub struct Envelope<M: Request> {
    message: M,
    answer: Answer<M::Reply>,
    span: tracing::Span,
    enqueued_at: Instant,
}

impl<M: Request> Message for Envelope<M> {
    type Result = ();
}

impl<M: Request> Envelope<M> {
    /// What is asked.
    pub fn message(&self) -> &M {
        &self.message
    }

    /// When the caller gives up.
    pub fn deadline(&self) -> Instant {
        self.answer.deadline
    }

    /// Whether nobody waits for the answer any more: the caller is gone, the deadline has passed, or this actor was replaced.
    pub fn is_abandoned(&self) -> bool {
        self.answer.is_abandoned()
    }

    /// The span in which the caller asked.
    pub fn span(&self) -> &tracing::Span {
        &self.span
    }

    /// Takes the message out, with the means to answer it later. Its permit stays taken until the [`Answer`] drops.
    pub fn into_parts(self) -> (M, Answer<M::Reply>) {
        self.taken();
        (self.message, self.answer)
    }

    /// Answers at once, within the caller's span. An abandoned message is dropped, not executed.
    pub fn answer(self, reply: impl FnOnce(M) -> M::Reply) {
        if self.is_abandoned() {
            return;
        }
        self.taken();
        let Self {
            message, answer, span, ..
        } = self;
        let result = span.in_scope(|| reply(message));
        answer.send(result);
    }

    fn taken(&self) {
        let permits = &self.answer.permit.0;
        permits.taken.fetch_add(1, Ordering::Relaxed);
        permits.shared.stats.waited(self.enqueued_at);
    }
}

/// The means to answer a message once. Dropped unused, it answers as a dropped [`Envelope`] does.
#[derive(Debug)]
pub struct Answer<R> {
    reply: oneshot::Sender<R>,
    permit: Permit,
    deadline: Instant,
}

impl<R> Answer<R> {
    /// Answers; of no effect when the caller is gone.
    pub fn send(self, reply: R) {
        let Self {
            reply: sender, permit, ..
        } = self;
        // The permit goes back first: a caller that asks again on its answer must find room.
        drop(permit);
        drop(sender.send(reply));
    }

    /// Runs `work` for as long as the caller waits; `None`: it left first, and `work` was dropped where it stood.
    pub async fn while_awaited<F: Future>(&mut self, work: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.reply.closed() => None,
        }
    }

    /// As [`Envelope::is_abandoned`].
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_closed() || self.permit.0.is_dead() || Instant::now() >= self.deadline
    }
}

pub(super) struct Incarnation<A: Actor> {
    pub(super) addr: Addr<A>,
    pub(super) permits: Arc<Permits>,
}

/// The handle on a supervised actor. Clones share it.
pub struct Mailbox<A: Actor> {
    shared: Arc<Shared>,
    /// `None` while there is no actor. One address for all callers: each clone of an address would add a slot.
    current: Arc<ArcSwapOption<Incarnation<A>>>,
}

impl<A: Actor> Clone for Mailbox<A> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            current: Arc::clone(&self.current),
        }
    }
}

impl<A: Actor> std::fmt::Debug for Mailbox<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

impl<A: Actor<Context = Context<A>>> Mailbox<A> {
    pub(super) fn new(name: &'static str, capacity: usize) -> Self {
        let shared = Shared {
            name,
            capacity,
            closed: AtomicBool::new(false),
            changed: Notify::new(),
            stats: MailboxStats::default(),
        };
        Self {
            shared: Arc::new(shared),
            current: Arc::new(ArcSwapOption::empty()),
        }
    }

    /// Puts the message into the queue now, without waiting; the answer comes through [`Pending`], whether or not that is
    /// polled meanwhile. [`AskError::Full`], [`AskError::Crashed`] and [`AskError::Stopped`] come at once.
    pub fn ask<M>(&self, message: M, deadline: Instant) -> Result<Pending<M::Reply>, AskError>
    where
        M: Request,
        A: Handler<Envelope<M>>,
    {
        let now = Instant::now();
        let asked = self.enqueue(message, now, deadline);
        if let Err(error) = &asked {
            self.shared.stats.count(*error);
        }
        asked
    }

    fn enqueue<M>(&self, message: M, now: Instant, deadline: Instant) -> Result<Pending<M::Reply>, AskError>
    where
        M: Request,
        A: Handler<Envelope<M>>,
    {
        if self.is_closed() {
            return Err(AskError::Stopped);
        }
        if now >= deadline {
            return Err(AskError::Deadline);
        }
        let current = self.current.load();
        let Some(incarnation) = current.as_ref() else {
            return Err(AskError::Crashed);
        };
        let permits = &incarnation.permits;
        let before = permits.used.fetch_add(1, Ordering::SeqCst);
        let permit = Permit(Arc::clone(permits));
        if before >= self.shared.capacity {
            return Err(AskError::Full);
        }
        // Again, now that the permit is counted: `drained` must not miss a message that slips in behind `close`.
        if self.is_closed() {
            return Err(AskError::Stopped);
        }
        let (reply, receiver) = oneshot::channel();
        let envelope = Envelope {
            message,
            answer: Answer {
                reply,
                permit,
                deadline,
            },
            span: tracing::Span::current(),
            enqueued_at: now,
        };
        match incarnation.addr.try_send(envelope) {
            Ok(()) => Ok(Pending {
                receiver,
                permits: Arc::clone(permits),
                deadline,
                timer: None,
            }),
            Err(actix::prelude::SendError::Full(_)) => Err(AskError::Full),
            Err(actix::prelude::SendError::Closed(_)) => Err(AskError::Crashed),
        }
    }

    /// Depth, sheds, restarts.
    pub fn stats(&self) -> &MailboxStats {
        &self.shared.stats
    }

    /// The actor's name, as in metrics and logs.
    pub fn name(&self) -> &'static str {
        self.shared.name
    }

    /// Takes no more messages: later asks answer [`AskError::Stopped`], what is queued is still worked on, and then the
    /// actor stops.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.changed.notify_waiters();
    }

    /// Whether [`Self::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::SeqCst)
    }

    /// Waits until no message is queued or in flight on a closed mailbox (a crash empties it too: its callers were told).
    /// On an open one this waits for [`Self::close`] first.
    pub async fn drained(&self) {
        loop {
            let changed = self.shared.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.is_closed() && self.is_empty() {
                return;
            }
            changed.await;
        }
    }

    pub(super) async fn closed(&self) {
        loop {
            let changed = self.shared.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.is_closed() {
                return;
            }
            changed.await;
        }
    }

    fn is_empty(&self) -> bool {
        let current = self.current.load();
        current
            .as_ref()
            .is_none_or(|actor| actor.permits.is_dead() || actor.permits.used.load(Ordering::SeqCst) == 0)
    }

    pub(super) fn permits(&self) -> Arc<Permits> {
        Permits::new(&self.shared)
    }

    pub(super) fn publish(&self, incarnation: Incarnation<A>) {
        self.shared.stats.show(Some(Arc::clone(&incarnation.permits)));
        self.current.store(Some(Arc::new(incarnation)));
    }

    /// Takes the actor from behind the handle, for good. When it `died`, whoever waits for it gets [`AskError::Crashed`].
    pub(super) fn retract(&self, died: bool) {
        let gone = self.current.swap(None);
        self.shared.stats.show(None);
        if let Some(gone) = gone.filter(|_| died) {
            gone.permits.bury();
        }
        self.shared.changed.notify_waiters();
    }
}

pin_project_lite::pin_project! {
    /// An answer that is on its way. Dropping it abandons the message.
    #[derive(Debug)]
    #[must_use = "a dropped answer abandons the message"]
    pub struct Pending<R> {
        #[pin]
        receiver: oneshot::Receiver<R>,
        permits: Arc<Permits>,
        deadline: Instant,
        #[pin]
        timer: Option<Sleep>,
    }
}

impl<R> Future for Pending<R> {
    type Output = Result<R, AskError>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let fail = |error: AskError| {
            this.permits.shared.stats.count(error);
            Poll::Ready(Err(error))
        };
        match this.receiver.poll(task) {
            Poll::Ready(Ok(reply)) => return Poll::Ready(Ok(reply)),
            Poll::Ready(Err(_)) if Instant::now() >= *this.deadline => return fail(AskError::Deadline),
            Poll::Ready(Err(_)) => return fail(AskError::Crashed),
            Poll::Pending => {}
        }
        loop {
            // Armed only here: an answer that is there at the first poll costs no timer.
            if let Some(timer) = this.timer.as_mut().as_pin_mut()
                && timer.poll(task).is_pending()
            {
                return Poll::Pending;
            }
            if this.permits.is_dead() {
                return fail(AskError::Crashed);
            }
            let now = Instant::now();
            if now >= *this.deadline {
                return fail(AskError::Deadline);
            }
            let next = tokio::time::Instant::from_std((*this.deadline).min(now + LOOK));
            match this.timer.as_mut().as_pin_mut() {
                Some(timer) => timer.reset(next),
                None => this.timer.set(Some(tokio::time::sleep_until(next))),
            }
        }
    }
}
