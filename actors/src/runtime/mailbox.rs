//! The handle through which messages are sent to an actor.
//!
//! actix bounds a mailbox softly (each clone of an address adds a slot) and does not report how long a message waited. Here
//! a message takes a permit, counted while it is queued *and* while it is worked on, and returns it when its [`Envelope`]
//! or [`ReplySender`] drops. The handle outlives the actor: after a crash the supervisor puts a new one behind it.

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
use crate::runtime::permits::{MailboxStats, Permit, Permits, Shared, WatchedMailbox};
use crate::runtime::spans;

/// How often a waiting caller checks whether its actor was given up. A frozen actor's thread cannot wake its callers, and
/// letting the supervisor wake them would cost every ask a registration; nearly all get their reply before the first check.
const DEATH_CHECK: Duration = Duration::from_millis(100);

/// A message to an actor, with the type of its reply.
pub trait Request: Send + 'static {
    /// The reply.
    type Reply: Send + 'static;

    /// The name of the span from the ask to the reply.
    const SPAN: &'static str = "ask actor";
}

/// A message in the mailbox, with its deadline and the way to reply. Dropping it fails the caller's ask with
/// [`AskError::Crashed`], or with [`AskError::Deadline`] once that has passed.
#[derive(Debug)]
pub struct Envelope<M: Request> {
    message: M,
    reply: ReplySender<M::Reply>,
    enqueued_at: Instant,
}

impl<M: Request> Message for Envelope<M> {
    type Result = ();
}

impl<M: Request> Envelope<M> {
    /// The message.
    pub fn message(&self) -> &M {
        &self.message
    }

    /// When the caller stops waiting.
    pub fn deadline(&self) -> Instant {
        self.reply.deadline
    }

    /// Whether no caller waits for the reply any more: it is gone, the deadline has passed, or this actor was replaced.
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_abandoned()
    }

    /// Takes the message out, to reply later. Its permit stays taken until the [`ReplySender`] drops.
    pub fn into_parts(self) -> (M, ReplySender<M::Reply>) {
        self.record_dequeued();
        (self.message, self.reply)
    }

    /// Handles the message now, in the context of its request, and replies. An abandoned message is dropped, not executed.
    pub fn reply_with(self, handle: impl FnOnce(M) -> M::Reply) {
        if self.is_abandoned() {
            return;
        }
        self.record_dequeued();
        let Self { message, reply, .. } = self;
        let result = reply.ask.scope(|| handle(message));
        reply.send(result);
    }

    fn record_dequeued(&self) {
        let permits = &self.reply.permit.0;
        permits.taken.fetch_add(1, Ordering::Relaxed);
        permits.shared.stats.record_wait(self.enqueued_at);
        self.reply.ask.dequeued();
    }
}

/// Replies to a message once. Dropped unused, it fails the caller's ask as a dropped [`Envelope`] does.
#[derive(Debug)]
pub struct ReplySender<R> {
    sender: oneshot::Sender<R>,
    permit: Permit,
    deadline: Instant,
    ask: spans::Ask,
}

impl<R> ReplySender<R> {
    /// Replies; without effect when the caller is gone.
    pub fn send(self, reply: R) {
        let Self {
            sender, permit, ask, ..
        } = self;
        // The permit is returned first: a caller that asks again on its reply must find room. The span ends before its parent.
        drop((permit, ask));
        drop(sender.send(reply));
    }

    /// Runs `work` for as long as the caller waits. `None`: the caller left first, and `work` was dropped unfinished.
    pub async fn while_awaited<F: Future>(&mut self, work: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.sender.closed() => None,
        }
    }

    /// The span of the message.
    pub(crate) fn span(&self) -> &spans::Ask {
        &self.ask
    }

    /// The span of the message.
    pub(crate) fn span_mut(&mut self) -> &mut spans::Ask {
        &mut self.ask
    }

    /// As [`Envelope::is_abandoned`].
    pub fn is_abandoned(&self) -> bool {
        self.sender.is_closed() || self.permit.0.is_dead() || Instant::now() >= self.deadline
    }
}

/// The address of one incarnation of an actor, with its permits.
pub(super) struct ActorRef<A: Actor> {
    pub(super) addr: Addr<A>,
    pub(super) permits: Arc<Permits>,
}

/// The handle of a supervised actor. Clones share it.
pub struct Mailbox<A: Actor> {
    shared: Arc<Shared>,
    /// `None` while there is no actor. One address for all callers: each clone of an address would add a slot.
    current: Arc<ArcSwapOption<ActorRef<A>>>,
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

    /// Queues the message now, without waiting. The reply comes through [`Pending`]; the actor works on the message whether or
    /// not that is polled. [`AskError::Full`], [`AskError::Crashed`] and [`AskError::Stopped`] are returned at once.
    pub fn ask<M>(&self, message: M, deadline: Instant) -> Result<Pending<M::Reply>, AskError>
    where
        M: Request,
        A: Handler<Envelope<M>>,
    {
        let now = Instant::now();
        let queued = self.enqueue(message, now, deadline);
        if let Err(error) = &queued {
            self.shared.stats.count(*error);
        }
        queued
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
        let Some(actor) = current.as_ref() else {
            return Err(AskError::Crashed);
        };
        let permits = &actor.permits;
        let before = permits.used.fetch_add(1, Ordering::SeqCst);
        let permit = Permit(Arc::clone(permits));
        if before >= self.shared.capacity {
            return Err(AskError::Full);
        }
        // Again, now that the permit is counted: `drained` must not miss a message that slips in behind `close`.
        if self.is_closed() {
            return Err(AskError::Stopped);
        }
        let (sender, receiver) = oneshot::channel();
        let envelope = Envelope {
            message,
            reply: ReplySender {
                sender,
                permit,
                deadline,
                ask: spans::Ask::start(M::SPAN, self.shared.name),
            },
            enqueued_at: now,
        };
        match actor.addr.try_send(envelope) {
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

    /// The mailbox's figures, without the type of the actor.
    pub fn watched(&self) -> WatchedMailbox {
        WatchedMailbox(Arc::clone(&self.shared))
    }

    /// The actor's name, as in metrics and logs.
    pub fn name(&self) -> &'static str {
        self.shared.name
    }

    /// Takes no more messages: later asks fail with [`AskError::Stopped`], queued messages are still worked on, and then the
    /// actor stops.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.changed.notify_waiters();
    }

    /// Whether [`Self::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::SeqCst)
    }

    /// Waits until no message is queued or in flight on a closed mailbox; a crash empties it too. On an open one this waits
    /// for [`Self::close`] first.
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

    pub(super) fn publish(&self, actor: ActorRef<A>) {
        self.shared.stats.set_current(Some(Arc::clone(&actor.permits)));
        self.current.store(Some(Arc::new(actor)));
    }

    /// Removes the incarnation from behind the handle. When it `died`, its callers get [`AskError::Crashed`].
    pub(super) fn unpublish(&self, died: bool) {
        let removed = self.current.swap(None);
        self.shared.stats.set_current(None);
        if let Some(actor) = removed.filter(|_| died) {
            actor.permits.mark_dead();
        }
        self.shared.changed.notify_waiters();
    }
}

pin_project_lite::pin_project! {
    /// A reply that has not arrived yet. Dropping it abandons the message.
    #[derive(Debug)]
    #[must_use = "dropping a pending reply abandons the message"]
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
            // Armed only here: a reply that is there at the first poll costs no timer.
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
            let next = tokio::time::Instant::from_std((*this.deadline).min(now + DEATH_CHECK));
            match this.timer.as_mut().as_pin_mut() {
                Some(timer) => timer.reset(next),
                None => this.timer.set(Some(tokio::time::sleep_until(next))),
            }
        }
    }
}
