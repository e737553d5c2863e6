//! Mailboxes: bounded by permits that count what is queued *and* what is in flight; every message carries its deadline and
//! its caller's span.
//!
//! A [`Mailbox`] outlives the actor behind it. A crash drops what the actor held, and with it the ends that answer: callers
//! learn of it at once. Each life of the actor has its own permits, so a frozen one cannot keep those of its successor.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use actix::dev::SendError;
use actix::prelude::*;
use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, oneshot};
use tokio::time::Sleep;
use tracing::Span;

use crate::error::AskError;

/// What may be asked of an actor.
pub trait Request: Send + 'static {
    /// What it answers.
    type Reply: Send + 'static;
}

/// A request on its way, with all that travels with it.
pub struct Envelope<M: Request> {
    message: M,
    answer: Answer<M::Reply>,
    span: Span,
    queued: Instant,
}

impl<M: Request> fmt::Debug for Envelope<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("queued", &self.queued)
            .finish_non_exhaustive()
    }
}

impl<M: Request> Message for Envelope<M> {
    type Result = ();
}

impl<M: Request> Envelope<M> {
    /// The request.
    pub fn message(&self) -> &M {
        &self.message
    }

    /// When its caller stops waiting.
    pub fn deadline(&self) -> Instant {
        self.answer.deadline
    }

    /// Whether nobody waits for the answer any more: what is done now would outlive its deadline.
    pub fn is_abandoned(&self) -> bool {
        self.answer.is_abandoned()
    }

    /// The caller's span.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Takes the request apart, to answer it later.
    pub fn into_parts(self) -> (M, Answer<M::Reply>) {
        self.answer.permit.gate.stats.waited(self.queued.elapsed());
        (self.message, self.answer)
    }

    /// Answers at once with what `f` makes of the request, inside the caller's span. What is abandoned is not begun.
    pub fn answer(self, f: impl FnOnce(M) -> M::Reply) {
        if self.is_abandoned() {
            return;
        }
        let span = self.span.clone();
        let (message, answer) = self.into_parts();
        answer.send(span.in_scope(|| f(message)));
    }
}

/// The end that answers. Dropped unanswered, it tells the caller that the actor crashed. It holds the message's permit.
#[derive(Debug)]
pub struct Answer<R> {
    reply: oneshot::Sender<R>,
    deadline: Instant,
    permit: Permit,
}

impl<R> Answer<R> {
    /// Answers.
    pub fn send(self, reply: R) {
        // The permit goes back first, so that a caller who has its answer finds room for its next question.
        drop(self.permit);
        let _ = self.reply.send(reply);
    }

    /// Whether nobody waits for the answer any more.
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_closed() || Instant::now() >= self.deadline
    }
}

/// What is known of a mailbox over all lives of its actor.
#[derive(Default)]
pub struct MailboxStats {
    /// Messages refused because as many as allowed were queued or in flight.
    pub full: AtomicU64,
    /// Callers that stopped waiting at their deadline.
    pub deadline: AtomicU64,
    /// Messages that died with the actor or found none.
    pub crashed: AtomicU64,
    /// Times the actor was replaced.
    pub restarts: AtomicU64,
    wait: OnceLock<Box<dyn Fn(Duration) + Send + Sync>>,
}

impl fmt::Debug for MailboxStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailboxStats")
            .field("full", &self.full)
            .field("deadline", &self.deadline)
            .field("crashed", &self.crashed)
            .field("restarts", &self.restarts)
            .finish_non_exhaustive()
    }
}

impl MailboxStats {
    /// Has the time that each message waits in the queue told to `observer`. The first one stays.
    pub fn observe_wait(&self, observer: impl Fn(Duration) + Send + Sync + 'static) {
        let _ = self.wait.set(Box::new(observer));
    }

    fn waited(&self, time: Duration) {
        if let Some(observer) = self.wait.get() {
            observer(time);
        }
    }
}

/// The permits of one life of an actor.
#[derive(Debug)]
struct Gate {
    used: AtomicUsize,
    emptied: Notify,
    stats: Arc<MailboxStats>,
}

#[derive(Debug)]
struct Permit {
    gate: Arc<Gate>,
}

impl Permit {
    fn take(gate: &Arc<Gate>, capacity: usize) -> Option<Self> {
        if gate.used.fetch_add(1, Ordering::AcqRel) >= capacity {
            gate.used.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Some(Self { gate: Arc::clone(gate) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.gate.used.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.gate.emptied.notify_waiters();
        }
    }
}

struct Life<A: Actor> {
    addr: Addr<A>,
    gate: Arc<Gate>,
}

struct Inner<A: Actor> {
    name: &'static str,
    capacity: usize,
    life: ArcSwapOption<Life<A>>,
    closed: AtomicBool,
    stats: Arc<MailboxStats>,
}

/// The way to ask an actor, whichever life it is in. Clones share it.
pub struct Mailbox<A: Actor> {
    inner: Arc<Inner<A>>,
}

impl<A: Actor> Clone for Mailbox<A> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<A: Actor> fmt::Debug for Mailbox<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("name", &self.inner.name)
            .field("depth", &self.depth())
            .finish_non_exhaustive()
    }
}

impl<A: Actor> Mailbox<A> {
    /// A mailbox with no actor behind it yet.
    pub(super) fn new(name: &'static str, capacity: usize) -> Self {
        let stats = Arc::default();
        Self {
            inner: Arc::new(Inner {
                name,
                capacity,
                life: ArcSwapOption::empty(),
                closed: AtomicBool::new(false),
                stats,
            }),
        }
    }

    /// Puts a new actor behind the mailbox, with permits of its own.
    pub(super) fn publish(&self, addr: Addr<A>) {
        let gate = Gate {
            used: AtomicUsize::new(0),
            emptied: Notify::new(),
            stats: Arc::clone(&self.inner.stats),
        };
        self.inner.life.store(Some(Arc::new(Life {
            addr,
            gate: Arc::new(gate),
        })));
    }

    /// Takes the actor away: callers are told that it crashed.
    pub(super) fn withdraw(&self) {
        self.inner.life.store(None);
    }

    /// The actor's name.
    pub fn name(&self) -> &'static str {
        self.inner.name
    }

    /// What is known of the mailbox over all lives of its actor.
    pub fn stats(&self) -> &Arc<MailboxStats> {
        &self.inner.stats
    }

    /// Messages queued and in flight.
    pub fn depth(&self) -> usize {
        self.inner
            .life
            .load()
            .as_ref()
            .map_or(0, |life| life.gate.used.load(Ordering::Acquire))
    }

    /// Takes no more messages: callers are told that the actor has stopped. What is queued is still answered.
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
    }

    /// Waits until nothing is queued or in flight.
    pub async fn drained(&self) {
        let Some(life) = self.inner.life.load_full() else {
            return;
        };
        loop {
            let emptied = life.gate.emptied.notified();
            if life.gate.used.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl<A: Actor<Context = Context<A>>> Mailbox<A> {
    /// Queues a message now and hands out what its answer will come through. Never waits.
    pub fn ask<M: Request>(&self, message: M, deadline: Instant) -> Result<Pending<M::Reply>, AskError>
    where
        A: Handler<Envelope<M>>,
    {
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(AskError::Stopped);
        }
        let life = self.inner.life.load();
        let stats = &self.inner.stats;
        let crashed = || {
            stats.crashed.fetch_add(1, Ordering::Relaxed);
            AskError::Crashed
        };
        let full = || {
            stats.full.fetch_add(1, Ordering::Relaxed);
            AskError::Full
        };
        let life = life.as_ref().ok_or_else(crashed)?;
        let permit = Permit::take(&life.gate, self.inner.capacity).ok_or_else(full)?;
        let (reply, receiver) = oneshot::channel();
        let answer = Answer {
            reply,
            deadline,
            permit,
        };
        let envelope = Envelope {
            message,
            answer,
            span: Span::current(),
            queued: Instant::now(),
        };
        match life.addr.try_send(envelope) {
            Ok(()) => Ok(Pending {
                receiver,
                deadline,
                timer: None,
                stats: Arc::clone(stats),
            }),
            Err(SendError::Full(_)) => Err(full()),
            Err(SendError::Closed(_)) => Err(crashed()),
        }
    }
}

/// An answer to come. Waits no longer than the message's deadline; dropped, the message is abandoned.
#[derive(Debug)]
pub struct Pending<R> {
    receiver: oneshot::Receiver<R>,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    stats: Arc<MailboxStats>,
}

impl<R> Future for Pending<R> {
    type Output = Result<R, AskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match Pin::new(&mut this.receiver).poll(cx) {
            Poll::Ready(Ok(reply)) => return Poll::Ready(Ok(reply)),
            Poll::Ready(Err(_)) if Instant::now() < this.deadline => {
                this.stats.crashed.fetch_add(1, Ordering::Relaxed);
                return Poll::Ready(Err(AskError::Crashed));
            }
            // The actor dropped the message because nobody was to be waiting by then.
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let deadline = this.deadline.into();
                let timer = this
                    .timer
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        }
        this.stats.deadline.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Err(AskError::Deadline))
    }
}
