//! The requests in flight of an HTTP/2 connection, for its watch.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::time::Instant;

use super::watch::Watch;

/// When the requests in flight began, in that order.
#[derive(Debug)]
pub struct Requests {
    watch: Rc<Watch>,
    began: RefCell<Began>,
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
        })
    }

    /// A request begins; it ends when what is returned is dropped.
    pub fn begin(self: &Rc<Self>) -> InFlight {
        let mut began = self.began.borrow_mut();
        let now = Instant::now();
        if began.times.is_empty() {
            self.watch.serves_since(now);
        }
        began.times.push_back(Some(now));
        InFlight {
            number: began.first + began.times.len() as u64 - 1,
            requests: Rc::clone(self),
        }
    }

    fn end(&self, number: u64) {
        let mut began = self.began.borrow_mut();
        let index = (number - began.first) as usize;
        if let Some(time) = began.times.get_mut(index) {
            *time = None;
        }
        while let Some(None) = began.times.front() {
            began.times.pop_front();
            began.first += 1;
        }
        match began.times.front() {
            Some(Some(oldest)) => self.watch.serves_since(*oldest),
            _ => self.watch.rests(),
        }
    }
}

/// A request that has not been answered completely.
#[derive(Debug)]
pub struct InFlight {
    requests: Rc<Requests>,
    number: u64,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.requests.end(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_request_decides() {
        let open = Watch::open(Duration::from_secs(75), usize::MAX);
        let requests = Requests::new(Rc::clone(&open.0));
        let deadline = || open.0.deadline();
        let first = requests.begin();
        let of_first = deadline();
        tokio::time::advance(Duration::from_secs(5)).await;
        let (second, third) = (requests.begin(), requests.begin());
        assert_eq!(deadline(), of_first);
        drop(second);
        assert_eq!(deadline(), of_first);
        drop(first);
        assert_eq!(deadline(), of_first + Duration::from_secs(5));
        drop(third);
        assert_eq!(deadline(), Instant::now() + Duration::from_secs(75));
    }
}
