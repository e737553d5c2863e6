//! The requests in flight of an HTTP/2 connection, for its watch.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::watch::Watch;

/// Cancelled requests that a connection may have, before their share counts. A cancelled one costs as much as another until then.
const CANCELLED: u64 = 200;

/// When the requests in flight began, in that order.
#[derive(Debug)]
pub struct Requests {
    watch: Rc<Watch>,
    began: RefCell<Began>,
    /// Since when there is none; `None` while there is one.
    resting_since: Cell<Option<Instant>>,
    cancelled: Cell<u64>,
    /// Notified when more than half of the requests were cancelled.
    too_many_cancelled: Notify,
}

#[derive(Debug, Default)]
struct Began {
    /// `None`: that request has ended, and an earlier one has not.
    times: VecDeque<Option<Instant>>,
    /// The number of the first one.
    first: u64,
}

impl Requests {
    /// No request yet.
    pub fn new(watch: Rc<Watch>) -> Rc<Self> {
        Rc::new(Self {
            watch,
            began: RefCell::default(),
            resting_since: Cell::new(Some(Instant::now())),
            cancelled: Cell::new(0),
            too_many_cancelled: Notify::new(),
        })
    }

    /// A request begins; it ends when what is returned is dropped.
    pub fn begin(self: &Rc<Self>) -> InFlight {
        let mut began = self.began.borrow_mut();
        let now = Instant::now();
        if began.times.is_empty() {
            self.resting_since.set(None);
            self.watch.serves_since(now);
        }
        began.times.push_back(Some(now));
        InFlight {
            number: began.first + began.times.len() as u64 - 1,
            requests: Rc::clone(self),
            is_answered: false,
        }
    }

    /// Waits until there was no request for so long.
    pub async fn rest_for(&self, limit: Duration) {
        loop {
            let end = self.resting_since.get().unwrap_or_else(Instant::now) + limit;
            sleep_until(end).await;
            if self
                .resting_since
                .get()
                .is_some_and(|since| since + limit <= Instant::now())
            {
                return;
            }
        }
    }

    /// Waits until the client has cancelled too many requests.
    pub async fn too_many_cancelled(&self) {
        self.too_many_cancelled.notified().await;
    }

    fn end(&self, number: u64, is_answered: bool) {
        let mut began = self.began.borrow_mut();
        let index = (number - began.first) as usize;
        if let Some(time) = began.times.get_mut(index) {
            *time = None;
        }
        while let Some(None) = began.times.front() {
            began.times.pop_front();
            began.first += 1;
        }
        if let Some(Some(oldest)) = began.times.front() {
            self.watch.serves_since(*oldest);
        } else {
            self.resting_since.set(Some(Instant::now()));
            self.watch.rests();
        }
        if !is_answered {
            self.cancelled.set(self.cancelled.get() + 1);
            let all = began.first + began.times.len() as u64;
            if self.cancelled.get() > CANCELLED && self.cancelled.get() * 2 > all {
                self.too_many_cancelled.notify_one();
            }
        }
    }
}

/// A request that has not been answered completely.
#[derive(Debug)]
pub struct InFlight {
    requests: Rc<Requests>,
    number: u64,
    is_answered: bool,
}

impl InFlight {
    /// The response is being sent: if the client cancels now, it has got what it cost.
    pub fn is_answered(&mut self) {
        self.is_answered = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.requests.end(self.number, self.is_answered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> (super::super::watch::Open, Rc<Requests>) {
        let open = Watch::open(Duration::from_secs(75), usize::MAX);
        open.0.is_connected(true);
        let requests = Requests::new(Rc::clone(&open.0));
        (open, requests)
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_request_decides() {
        let (open, requests) = connection();
        let deadline = || open.0.deadline();
        let first = requests.begin();
        let of_first = deadline();
        tokio::time::advance(Duration::from_secs(5)).await;
        let (second, third) = (requests.begin(), requests.begin());
        assert_eq!(deadline(), of_first);
        drop(second);
        assert_eq!(deadline(), of_first);
        // Bytes of any stream, such as a PING, change nothing.
        open.0.wrote();
        open.0.flushed();
        assert_eq!(deadline(), of_first);
        drop(first);
        assert_eq!(deadline(), of_first + Duration::from_secs(5));
        drop(third);
        let idle = deadline();
        assert!(idle > Instant::now() + Duration::from_secs(75));
        tokio::time::advance(Duration::from_secs(5)).await;
        open.0.wrote();
        open.0.flushed();
        assert_eq!(deadline(), idle);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_rests_after_its_last_request() {
        let (_open, requests) = connection();
        let began = Instant::now();
        let request = requests.begin();
        let (resting, limit) = (Rc::clone(&requests), Duration::from_secs(75));
        let busy = Duration::from_secs(50);
        tokio::join!(resting.rest_for(limit), async {
            tokio::time::sleep(busy).await;
            drop(request);
        });
        assert_eq!(began.elapsed(), busy + limit);
    }

    #[tokio::test]
    async fn clients_that_mostly_cancel_are_noticed() {
        let (_open, requests) = connection();
        for _ in 0..=CANCELLED {
            requests.begin().is_answered();
            drop(requests.begin());
        }
        let noticed = async || {
            tokio::time::timeout(Duration::ZERO, requests.too_many_cancelled())
                .await
                .is_ok()
        };
        assert!(!noticed().await, "half of them were answered");
        drop(requests.begin());
        assert!(noticed().await);
    }
}
