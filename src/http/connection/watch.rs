//! The phase of each connection, its deadline, and which one gives way when there are too many.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use oauth2_actors::metrics::ByLabel;
use tokio::time::{Instant, Sleep, sleep_until};

use super::framing::Reading;
use super::{BODY_DEADLINE, Closed, HEAD_DEADLINE, HEAD_GRACE, WRITE_DEADLINE, WRITE_LIMIT};

/// How many connections are compared to find the one that gives way.
const COMPARED: usize = 64;

/// How long a connection may wait for a handler: longer than any takes.
const RESPONSE_LIMIT: Duration = Duration::from_mins(1);

/// How long the client of an idle HTTP/2 connection may take to learn that it ends.
const LAST_WORD: Duration = Duration::from_secs(2);

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The TLS handshake.
    Handshake,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// The response of a handler. It has a deadline of its own.
    Response,
    /// The next request.
    Request,
}

/// The deadlines of a write that waits for the client.
#[derive(Debug, Clone, Copy)]
struct Write {
    /// Of the next progress.
    next: Instant,
    /// Of the whole.
    last: Instant,
}

/// The phase of a connection. The stream changes it; [`Watched`] closes the connection when its deadline passes.
#[derive(Debug)]
pub struct Watch {
    phase: Cell<Phase>,
    deadline: Cell<Instant>,
    /// Set while the socket takes no more bytes.
    write: Cell<Option<Write>>,
    /// Bytes of a response were written since the last request was read.
    responded: Cell<bool>,
    /// Several requests may be in flight: bytes say nothing about them.
    is_multiplexed: Cell<bool>,
    idle: Duration,
    /// How many heads and bodies had ended when the phase began.
    passed: Cell<u32>,
    evicted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// The position among the [`OPEN`] connections of this thread.
    position: Cell<usize>,
}

/// The open connections of a worker.
#[derive(Debug, Default)]
struct OpenConnections {
    all: Vec<Rc<Watch>>,
    /// Where the next comparison begins.
    next: usize,
}

thread_local! {
    static OPEN: RefCell<OpenConnections> = RefCell::default();
}

impl Watch {
    fn new(idle: Duration) -> Self {
        Self {
            phase: Cell::new(Phase::Head),
            deadline: Cell::new(Instant::now() + HEAD_DEADLINE + HEAD_GRACE),
            write: Cell::new(None),
            responded: Cell::new(false),
            is_multiplexed: Cell::new(false),
            idle,
            passed: Cell::new(0),
            evicted: Cell::new(false),
            waker: RefCell::new(None),
            position: Cell::new(0),
        }
    }

    /// Opens a connection on this thread. If that makes `limit` connections or more, one that waits for its client is closed.
    pub fn open(idle: Duration, limit: usize) -> Open {
        let watch = Rc::new(Self::new(idle));
        OPEN.with_borrow_mut(|open| {
            if open.all.len() + 1 >= limit {
                open.evict();
            }
            watch.position.set(open.all.len());
            open.all.push(Rc::clone(&watch));
        });
        Open(watch)
    }

    /// A TLS handshake begins.
    pub fn shakes_hands(&self) {
        self.enter(Phase::Handshake);
    }

    /// The handshake is complete. Over HTTP/2, [`Self::serves_since`] and [`Self::rests`] follow.
    pub fn is_connected(&self, is_http2: bool) {
        self.is_multiplexed.set(is_http2);
        self.enter(if is_http2 { Phase::Request } else { Phase::Head });
    }

    /// Bytes were read: what is being read now, and how many heads and bodies have ended.
    pub fn read(&self, reading: Reading, passed: u32) {
        let phase = match reading {
            Reading::Head => Phase::Head,
            Reading::Body => Phase::Body,
            Reading::Nothing => Phase::Response,
        };
        if passed == self.passed.get() && (phase == self.phase.get() || self.phase.get() == Phase::Head) {
            return;
        }
        self.passed.set(passed);
        self.responded.set(false);
        self.enter(phase);
    }

    /// Bytes of a response were taken by the socket, or by the buffer of TLS.
    pub fn wrote(&self) {
        self.responded.set(!self.is_multiplexed.get());
        self.progressed();
    }

    /// The client reads.
    pub fn progressed(&self) {
        if let Some(write) = self.write.get() {
            self.write.set(Some(Write {
                next: write.last.min(Instant::now() + WRITE_DEADLINE),
                ..write
            }));
        }
    }

    /// The socket takes no more bytes.
    pub fn blocked(&self) {
        if self.write.get().is_none() {
            let now = Instant::now();
            self.write.set(Some(Write {
                next: now + WRITE_DEADLINE,
                last: now + WRITE_LIMIT,
            }));
        }
    }

    /// Whether the socket takes no more bytes.
    pub fn is_blocked(&self) -> bool {
        self.write.get().is_some()
    }

    /// The socket has taken all bytes.
    pub fn flushed(&self) {
        if self.write.take().is_some() && matches!(self.phase.get(), Phase::Head | Phase::Body) {
            // Nothing was read meanwhile.
            self.enter(self.phase.get());
        }
        if self.responded.get() && matches!(self.phase.get(), Phase::Response | Phase::Request) {
            self.responded.set(false);
            self.enter(Phase::Request);
        }
    }

    /// The oldest request in flight of an HTTP/2 connection began at `began`.
    pub fn serves_since(&self, began: Instant) {
        self.phase.set(Phase::Response);
        self.deadline.set(began + RESPONSE_LIMIT);
    }

    /// An HTTP/2 connection has no request in flight.
    pub fn rests(&self) {
        self.enter(Phase::Request);
    }

    /// Nothing more is read until a handler takes the next request. Until then an incomplete request is not late.
    pub fn waits_for_handler(&self) {
        self.enter(Phase::Response);
    }

    /// Lets the connection go on.
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// The deadline of the phase.
    pub fn deadline(&self) -> Instant {
        self.deadline.get()
    }

    fn enter(&self, phase: Phase) {
        let limit = match phase {
            Phase::Handshake | Phase::Head => HEAD_DEADLINE + HEAD_GRACE,
            Phase::Body => BODY_DEADLINE,
            Phase::Response => RESPONSE_LIMIT,
            // `GOAWAY` is sent first.
            Phase::Request if self.is_multiplexed.get() => self.idle + LAST_WORD,
            Phase::Request => self.idle,
        };
        self.phase.set(phase);
        self.deadline.set(Instant::now() + limit);
    }

    /// The next deadline, and what its passing means.
    fn next(&self) -> (Instant, Closed) {
        if let Some(write) = self.write.get() {
            return (write.next, Closed::Write);
        }
        let closed = match self.phase.get() {
            Phase::Handshake => Closed::Handshake,
            Phase::Head => Closed::Head,
            Phase::Body => Closed::Body,
            Phase::Response | Phase::Request => Closed::Idle,
        };
        (self.deadline.get(), closed)
    }

    /// The order in which connections are evicted, lowest first: an incomplete request or an unread response, then idle ones. `None`: a
    /// request is being served.
    fn rank(&self) -> Option<(bool, Instant)> {
        let stuck = self.is_blocked() || matches!(self.phase.get(), Phase::Handshake | Phase::Head | Phase::Body);
        let idle = self.phase.get() == Phase::Request || self.responded.get();
        let may = !self.evicted.get() && (stuck || idle);
        may.then(|| (!stuck, self.deadline.get()))
    }
}

impl OpenConnections {
    /// Closes the connection that has waited for its client for longest; the longest of some, if there are many.
    fn evict(&mut self) {
        let compared = COMPARED.min(self.all.len());
        let some = self.all.iter().cycle().skip(self.next).take(compared);
        let ranked = some.filter_map(|watch| Some((watch.rank()?, watch)));
        if let Some((_, watch)) = ranked.min_by_key(|(rank, _)| *rank) {
            watch.evicted.set(true);
            watch.wake();
        }
        self.next = (self.next + compared) % self.all.len().max(1);
    }

    fn remove(&mut self, position: usize) {
        if position < self.all.len() {
            self.all.swap_remove(position);
        }
        if let Some(moved) = self.all.get(position) {
            moved.position.set(position);
        }
    }
}

/// An open connection; counted until it is dropped.
#[derive(Debug)]
pub struct Open(pub Rc<Watch>);

impl Drop for Open {
    fn drop(&mut self) {
        // The list is gone when the thread ends.
        let _ = OPEN.try_with(|open| open.borrow_mut().remove(self.0.position.get()));
    }
}

/// A connection that ends when a deadline passes or when it gives way.
#[derive(Debug)]
pub struct Watched<F> {
    connection: Pin<Box<F>>,
    open: Open,
    /// One timer for the whole connection: it fires at the latest at the next deadline, and is set again if that has moved.
    timer: Pin<Box<Sleep>>,
    closed: Arc<ByLabel<Closed>>,
}

impl<F> Watched<F> {
    /// Watches `connection`, whose stream changes the watch of `open`.
    pub fn new(connection: F, open: Open, closed: Arc<ByLabel<Closed>>) -> Self {
        Self {
            connection: Box::pin(connection),
            timer: Box::pin(sleep_until(open.0.deadline.get())),
            open,
            closed,
        }
    }

    /// Why the connection must be closed now.
    fn over(&self) -> Option<Closed> {
        if self.open.0.evicted.get() {
            return Some(Closed::Evicted);
        }
        let (deadline, closed) = self.open.0.next();
        (self.timer.is_elapsed() && deadline <= Instant::now()).then_some(closed)
    }
}

impl<F: Future<Output = Result<(), E>>, E> Future for Watched<F> {
    type Output = Result<(), E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(why) = self.over() {
            self.closed.of(why).add(1);
            return Poll::Ready(Ok(()));
        }
        if self.open.0.waker.borrow().is_none() {
            *self.open.0.waker.borrow_mut() = Some(context.waker().clone());
            // Registers the timer with this task, which stays the same.
            let _ = self.timer.as_mut().poll(context);
        }
        if let Poll::Ready(ended) = self.connection.as_mut().poll(context) {
            return Poll::Ready(ended);
        }
        let (deadline, _) = self.open.0.next();
        if (self.timer.is_elapsed() || deadline < self.timer.deadline()) && self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
            if self.timer.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Open {
        Watch::open(Duration::from_secs(75), usize::MAX)
    }

    #[test]
    fn each_phase_has_its_deadline() {
        let open = watch();
        let closed = || open.0.next().1;
        assert_eq!(closed(), Closed::Head, "a new connection owes a head");
        open.0.read(Reading::Body, 1);
        assert_eq!(closed(), Closed::Body);
        let first = open.0.next().0;
        open.0.read(Reading::Body, 1);
        assert_eq!(open.0.next().0, first, "bytes do not extend it");
        open.0.read(Reading::Nothing, 2);
        open.0.wrote();
        open.0.flushed();
        assert_eq!(closed(), Closed::Idle);
        open.0.read(Reading::Head, 2);
        assert_eq!(closed(), Closed::Head);
        open.0.read(Reading::Nothing, 3);
        open.0.blocked();
        assert_eq!(closed(), Closed::Write);
        open.0.flushed();
        assert_eq!(closed(), Closed::Idle);
    }

    #[test]
    fn who_waits_for_the_client_for_longest_gives_way() {
        std::thread::spawn(|| {
            let idle = Duration::from_secs(75);
            let served = watch();
            served.0.read(Reading::Nothing, 1);
            let resting = watch();
            resting.0.read(Reading::Nothing, 1);
            resting.0.wrote();
            resting.0.flushed();
            let (older, newer) = (watch(), watch());
            let evicted = || [&served, &resting, &older, &newer].map(|open| open.0.evicted.get());
            let _more = Watch::open(idle, 6);
            assert_eq!(evicted(), [false; 4]);
            let _more = Watch::open(idle, 6);
            assert_eq!(evicted(), [false, false, true, false]);
            let _more = Watch::open(idle, 6);
            assert_eq!(evicted(), [false, false, true, true]);
            drop((older, newer));
            for _ in 0..2 {
                drop(Watch::open(idle, 4));
            }
            OPEN.with_borrow(|open| {
                assert_eq!(open.all.len(), 5);
                let mut placed = open.all.iter().enumerate();
                assert!(placed.all(|(at, watch)| watch.position.get() == at));
            });
        })
        .join()
        .unwrap();
    }
}
