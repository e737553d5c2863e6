//! Watches the bytes of CSV on their way to the parser, for what the parser would accept although it can be read in two ways.

use std::collections::VecDeque;
use std::io::{self, Read};

/// A record that is still not complete after this many bytes ends the reading: a quote is not closed.
pub(super) const MAX_OPEN: u64 = 1024 * 1024;

const BARE_CR: &str = "a line ends in a bare CR";

/// The byte order mark that some systems put at the beginning of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A reader of CSV that finds ambiguous quotes and line ends, and bounds a record.
pub(super) struct Guard<R> {
    input: R,
    delivered: u64,
    record_began_at: u64,
    state: State,
    last_byte: u8,
    ended: bool,
    /// Problems and their byte offsets, in order.
    problems: VecDeque<(u64, &'static str)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the beginning of a field.
    Begin,
    Unquoted,
    Quoted,
    /// After a quote that closes the field, or is the first of a doubled one.
    Closed,
    /// After a CR outside quotes.
    Cr,
}

impl<R: Read> Guard<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            delivered: 0,
            record_began_at: 0,
            state: State::Begin,
            last_byte: b'\n',
            ended: false,
            problems: VecDeque::new(),
        }
    }

    /// Starts the bound of the record that begins at this offset.
    pub(super) fn begin_record(&mut self, offset: u64) {
        self.record_began_at = offset;
    }

    /// The first problem of the record that ends before this offset.
    pub(super) fn problem_before(&mut self, offset: u64) -> Option<&'static str> {
        let mut first = None;
        while let Some((at, problem)) = self.problems.front().copied()
            && at < offset
        {
            first = first.or(Some(problem));
            self.problems.pop_front();
        }
        first
    }

    /// Whether the input ended at this offset without a line end.
    pub(super) fn ends_unterminated_at(&self, offset: u64) -> bool {
        self.ended && self.delivered == offset && self.last_byte != b'\n'
    }

    /// Whether the input ended at this offset with a line end inside a quote that is not closed.
    pub(super) fn ends_in_open_line_at(&self, offset: u64) -> bool {
        self.ended && self.delivered == offset && self.state == State::Quoted && self.last_byte == b'\n'
    }

    fn watch(&mut self, bytes: &[u8]) {
        let at_start = self.delivered == 0 && bytes.starts_with(BYTE_ORDER_MARK);
        let skipped = if at_start { BYTE_ORDER_MARK.len() } else { 0 };
        for (index, byte) in bytes.iter().enumerate().skip(skipped) {
            let (state, problem) = self.state.next(*byte);
            self.state = state;
            if let Some(problem) = problem {
                self.problems.push_back((self.delivered + index as u64, problem));
            }
        }
    }
}

impl State {
    /// The state after a byte, and what is wrong with that byte.
    fn next(self, byte: u8) -> (Self, Option<&'static str>) {
        match (self, byte) {
            (Self::Quoted, b'"') => (Self::Closed, None),
            (Self::Begin | Self::Closed, b'"') | (Self::Quoted, _) => (Self::Quoted, None),
            (Self::Cr, byte) if !matches!(byte, b'\r' | b'\n') => (Self::Unquoted, Some(BARE_CR)),
            (_, b'\r') => (Self::Cr, None),
            (_, b',' | b'\n') => (Self::Begin, None),
            (Self::Unquoted, b'"') => (Self::Unquoted, Some("there is a quote in a field that is not quoted")),
            (Self::Closed, _) => (Self::Unquoted, Some("there is text after a closing quote")),
            (Self::Begin | Self::Unquoted | Self::Cr, _) => (Self::Unquoted, None),
        }
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.delivered - self.record_began_at > MAX_OPEN {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let read = self.input.read(buffer)?;
        self.watch(&buffer[..read]);
        self.last_byte = buffer[..read].last().copied().unwrap_or(self.last_byte);
        self.delivered += read as u64;
        if read == 0 && !self.ended {
            self.ended = true;
            let last = self.delivered.saturating_sub(1);
            match self.state {
                State::Quoted => self.problems.push_back((last, "a quote is not closed")),
                State::Cr => self.problems.push_back((last, BARE_CR)),
                State::Begin | State::Unquoted | State::Closed => {}
            }
        }
        Ok(read)
    }
}
