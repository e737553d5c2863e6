//! Follows where requests begin and end in the bytes of a connection (RFC 9112 sections 3, 6 and 7), and makes offers to upgrade
//! unrecognizable in heads.
//!
//! `actix-http` is what parses requests and rejects malformed ones. Bytes are changed, never added or removed, and only in the lines
//! `Connection` and `Upgrade` of a head, so a disagreement about malformed requests cannot move a boundary between requests.

/// The longest line, bytes, that is held back until it is complete.
const LONGEST_HELD: usize = 512;

/// Prefixes of the lines that framing depends on. The first is of a request line.
const LINES: [&[u8]; 5] = [
    b"connect ",
    b"connection:",
    b"upgrade:",
    b"content-length:",
    b"transfer-encoding:",
];

/// Where the next byte belongs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// Before a request.
    #[default]
    Start,
    /// At the beginning of a line of a head, of which bytes may be held back.
    Line,
    /// In a line of a head that framing does not depend on.
    RestOfLine,
    /// In a body with this many bytes left.
    Body(u64),
    /// In the size of a chunk.
    Size(u64),
    /// After the size of a chunk, in its line.
    RestOfSize(u64),
    /// In a chunk with this many bytes left.
    Chunk(u64),
    /// In the end of line after a chunk.
    ChunkEnd,
    /// In the trailer section; whether its current line has bytes.
    Trailer(bool),
    /// Where requests end cannot be known: `CONNECT`, or malformed.
    Unknown,
}

/// The phase that a connection is in as far as its requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Between requests.
    Nothing,
    /// A head has begun and not ended.
    Head,
    /// A body has begun and not ended.
    Body,
}

/// What is known of the head so far.
#[derive(Debug, Default)]
struct Head {
    /// The request line has passed.
    begun: bool,
    length: Option<u64>,
    chunked: bool,
    unknown: bool,
}

/// Follows the requests of one connection, from its first byte.
#[derive(Debug, Default)]
pub struct Framing {
    at: At,
    head: Head,
    passed: u32,
    heads: u32,
}

impl Framing {
    /// What is being read.
    pub fn reading(&self) -> Reading {
        match self.at {
            At::Start => Reading::Nothing,
            At::Line | At::RestOfLine => Reading::Head,
            _ => Reading::Body,
        }
    }

    /// How many heads and bodies have ended; wraps around.
    pub fn passed(&self) -> u32 {
        self.passed
    }

    /// How many heads have ended; wraps around.
    pub fn heads(&self) -> u32 {
        self.heads
    }

    /// Whether it is known where requests end.
    pub fn is_known(&self) -> bool {
        self.at != At::Unknown
    }

    /// Follows the next bytes, and changes offers to upgrade in them. Returns how many of the last bytes must be held back, and given
    /// again in front of the next ones: the beginning of a line that may matter.
    pub fn follow(&mut self, bytes: &mut [u8]) -> usize {
        let mut next = 0;
        while next < bytes.len() {
            let rest = &mut bytes[next..];
            match self.at {
                At::Start | At::Line => match memchr::memchr(b'\n', rest) {
                    Some(end) => {
                        self.line(&mut rest[..end]);
                        next += end + 1;
                    }
                    None if !may_frame(rest) => {
                        // A line feed alone is the end of a head, so this is not it.
                        self.head.begun = true;
                        self.at = At::RestOfLine;
                    }
                    None if rest.len() < LONGEST_HELD => {
                        self.at = At::Line;
                        return rest.len();
                    }
                    None => self.at = At::Unknown,
                },
                At::RestOfLine => next += self.skip_line(rest, At::Line),
                At::Body(left) | At::Chunk(left) => {
                    let passing = left.min(rest.len() as u64);
                    next += passing as usize;
                    self.at = match (self.at, left - passing) {
                        (At::Body(_), 0) => self.pass(At::Start),
                        (At::Body(_), left) => At::Body(left),
                        (_, 0) => At::ChunkEnd,
                        (_, left) => At::Chunk(left),
                    };
                }
                At::Size(size) => {
                    self.at = match (rest[0] as char).to_digit(16) {
                        Some(_) if size >> 60 != 0 => At::Unknown,
                        Some(digit) => At::Size(size << 4 | u64::from(digit)),
                        None => At::RestOfSize(size),
                    };
                    next += usize::from(matches!(self.at, At::Size(_)));
                }
                At::RestOfSize(0) => next += self.skip_line(rest, At::Trailer(false)),
                At::RestOfSize(size) => next += self.skip_line(rest, At::Chunk(size)),
                At::ChunkEnd => next += self.skip_line(rest, At::Size(0)),
                At::Trailer(has_bytes) => {
                    self.at = match (rest[0], has_bytes) {
                        (b'\n', false) => self.pass(At::Start),
                        (b'\n', true) => At::Trailer(false),
                        (b'\r', _) => At::Trailer(has_bytes),
                        _ => At::Trailer(true),
                    };
                    next += 1;
                }
                At::Unknown => return 0,
            }
        }
        0
    }

    /// No longer follows the connection.
    pub fn give_up(&mut self) {
        self.at = At::Unknown;
    }

    /// How many bytes there are to the end of the line, after which the connection is `then`.
    fn skip_line(&mut self, rest: &[u8], then: At) -> usize {
        match memchr::memchr(b'\n', rest) {
            Some(end) => {
                self.at = then;
                end + 1
            }
            None => rest.len(),
        }
    }

    fn pass(&mut self, then: At) -> At {
        self.passed = self.passed.wrapping_add(1);
        then
    }

    /// A complete line of a head, without its line feed.
    fn line(&mut self, line: &mut [u8]) {
        let length = line.len() - usize::from(line.last() == Some(&b'\r'));
        let line = &mut line[..length];
        self.at = At::Line;
        if line.is_empty() {
            // Empty lines before a request line are skipped (RFC 9112 section 2.2).
            if self.head.begun {
                self.end_of_head();
            }
        } else if !self.head.begun {
            self.head.begun = true;
            self.head.unknown = line.starts_with(b"CONNECT ");
        } else if may_frame(line)
            && let Some(colon) = memchr::memchr(b':', line)
        {
            let (name, value) = line.split_at_mut(colon);
            self.field(name, &mut value[1..]);
        }
    }

    fn field(&mut self, name: &mut [u8], value: &mut [u8]) {
        if name.eq_ignore_ascii_case(b"connection") {
            hide_upgrade(value);
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            name[0] = b'x';
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = str::from_utf8(value).ok().and_then(|value| value.trim().parse().ok());
            self.head.unknown |= length.is_none() || self.head.length.is_some();
            self.head.length = length;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.head.chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            self.head.unknown |= !self.head.chunked;
        }
    }

    fn end_of_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        self.heads = self.heads.wrapping_add(1);
        self.at = match (head.length, head.chunked) {
            _ if head.unknown => self.pass(At::Unknown),
            (_, true) => self.pass(At::Size(0)),
            (Some(length), false) if length > 0 => self.pass(At::Body(length)),
            _ => self.pass(At::Start),
        };
    }
}

/// Whether a line or a prefix of a line may be one that framing depends on.
fn may_frame(line: &[u8]) -> bool {
    // Most lines are told apart by their first byte.
    if !matches!(line.first(), Some(b'c' | b'C' | b'u' | b'U' | b't' | b'T' | b'\r')) {
        return false;
    }
    let begins = |wanted: &&[u8]| {
        let length = wanted.len().min(line.len());
        wanted[..length].eq_ignore_ascii_case(&line[..length])
    };
    line == b"\r" || LINES.iter().any(begins)
}

/// Changes `upgrade` among the options of a `Connection` header.
fn hide_upgrade(value: &mut [u8]) {
    for option in value.split_mut(|byte| *byte == b',') {
        let begins = option.iter().position(|byte| !byte.is_ascii_whitespace());
        if option.trim_ascii().eq_ignore_ascii_case(b"upgrade")
            && let Some(begins) = begins
        {
            option[begins] = b'x';
        }
    }
}

#[cfg(test)]
mod tests;
