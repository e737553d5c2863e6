//! Where a record of CSV ends: a line end within quotes does not end it.

use super::Refusal;

/// Why a record is refused that would end there, although the line goes on.
pub(super) const BARE_CR: &str = "a line ends in a bare CR";

/// What was read of a record so far. Read like `csv_core` reads it, but for what it takes silently.
#[derive(Default)]
pub(super) struct Quotes {
    at: At,
    wrong: Option<&'static str>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Begin,
    Bare,
    Quoted,
    /// Behind a quote that closes the field, or is the first of two that mean one.
    Closed,
    /// Behind a CR outside quotes.
    Return,
}

impl Quotes {
    /// Reads on.
    pub(super) fn read(&mut self, piece: &[u8]) {
        for byte in piece {
            self.at = match (self.at, byte) {
                (At::Quoted, b'"') => At::Closed,
                (At::Begin | At::Closed, b'"') | (At::Quoted, _) => At::Quoted,
                (At::Return, byte) if !matches!(byte, b'\r' | b'\n') => self.refuse(BARE_CR),
                (_, b'\r') => At::Return,
                (_, b',' | b'\n') => At::Begin,
                (At::Bare, b'"') => self.refuse("a quote stands inside a field that is not quoted"),
                (At::Closed, _) => self.refuse("a field goes on behind its closing quote"),
                (At::Begin | At::Bare | At::Return, _) => At::Bare,
            };
        }
    }

    fn refuse(&mut self, why: &'static str) -> At {
        self.wrong.get_or_insert(why);
        At::Bare
    }

    /// Whether the record goes on over the end of the line.
    pub(super) fn open(&self) -> bool {
        self.at == At::Quoted
    }

    /// What is wrong with a record that ends here.
    pub(super) fn end(&self) -> Result<(), Refusal> {
        match self.wrong {
            _ if self.open() => Err("a quote is not closed".to_owned()),
            Some(why) => Err(why.to_owned()),
            None => Ok(()),
        }
    }
}
