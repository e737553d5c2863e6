//! Limits how far HTTP/1.1 requests are read ahead of the request in progress.
//!
//! `actix-http` reads until it holds 128 KiB of requests, and then wakes itself until a handler is ready for the next one. A client that
//! sends requests and reads no response, or many requests behind a slow one, would keep a worker busy doing nothing. So the stream stops
//! earlier, until the next request is passed to its handler.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::watch::Watch;

/// Bytes that are read ahead while a complete head waits for its handler. With two reads more it is less than `actix-http` holds.
const MAX_AHEAD: u64 = 32 << 10;

/// The most bytes of one read.
pub const LONGEST_READ: usize = 16 << 10;

/// The requests of a connection that were read and not yet passed to a handler.
#[derive(Debug)]
pub struct Pipeline {
    watch: Rc<Watch>,
    /// Bytes that were given to `actix-http`.
    given: Cell<u64>,
    /// How many had been given after the head of the latest request that was passed to a handler.
    begun: Cell<u64>,
    /// Of each read with heads that wait: how many of them, and what had been given after it.
    waiting: RefCell<VecDeque<(u32, u64)>>,
    is_paused: Cell<bool>,
}

impl Pipeline {
    /// Nothing was read yet.
    pub fn new(watch: Rc<Watch>) -> Rc<Self> {
        Rc::new(Self {
            watch,
            given: Cell::new(0),
            begun: Cell::new(0),
            waiting: RefCell::default(),
            is_paused: Cell::new(false),
        })
    }

    /// Bytes were given to `actix-http`, in which this many heads ended.
    pub fn gave(&self, bytes: usize, heads: u32) {
        self.given.set(self.given.get() + bytes as u64);
        if heads > 0 {
            self.waiting.borrow_mut().push_back((heads, self.given.get()));
        }
    }

    /// Whether no more may be read now. `is_followed`: it is known where requests end; otherwise the rest of the connection is limited.
    pub fn must_wait(&self, is_followed: bool) -> bool {
        let is_ahead = self.given.get() - self.begun.get() >= MAX_AHEAD;
        if !is_ahead || is_followed && self.waiting.borrow().is_empty() {
            return false;
        }
        if is_followed && !self.is_paused.replace(true) {
            self.watch.waits_for_handler();
        }
        true
    }

    /// A request is passed to its handler.
    pub fn begins(&self) {
        let mut waiting = self.waiting.borrow_mut();
        if let Some((heads, end)) = waiting.front_mut() {
            self.begun.set(*end);
            *heads -= 1;
            if *heads == 0 {
                waiting.pop_front();
            }
        }
        if self.is_paused.take() {
            self.watch.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn reading_stops_behind_requests_that_wait() {
        let open = Watch::open(Duration::from_secs(75), usize::MAX);
        let pipeline = Pipeline::new(Rc::clone(&open.0));
        pipeline.gave(LONGEST_READ, 2);
        assert!(!pipeline.must_wait(true));
        pipeline.gave(LONGEST_READ, 1);
        assert!(pipeline.must_wait(true));
        pipeline.begins();
        assert!(!pipeline.must_wait(true), "the first read may be behind");
        pipeline.begins();
        pipeline.begins();
        // A body that the handler reads.
        pipeline.gave(1 << 20, 0);
        assert!(!pipeline.must_wait(true));
        pipeline.gave(10, 1);
        assert!(pipeline.must_wait(true), "the next request");
        pipeline.begins();
        assert!(!pipeline.must_wait(true));
    }

    #[test]
    fn a_connection_that_is_not_followed_is_limited() {
        let open = Watch::open(Duration::from_secs(75), usize::MAX);
        let pipeline = Pipeline::new(Rc::clone(&open.0));
        pipeline.gave(MAX_AHEAD as usize, 0);
        assert!(pipeline.must_wait(false));
        pipeline.begins();
        assert!(pipeline.must_wait(false));
    }
}
