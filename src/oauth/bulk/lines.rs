//! Records of a text, one after the other, none longer than a bound.

use std::fmt;
use std::io::{self, BufRead, Read};

use serde_json::{Map, Value};

use super::csv::Columns;
use super::quotes::Quotes;
use super::{Asked, Layout, Refusal};

/// Bytes that a record may have.
const LONGEST: usize = 64 * 1024;

/// Bytes that a refusal may have.
const LONGEST_REFUSAL: usize = 1000;

/// Stands at the beginning of a text of some systems: U+FEFF.
const MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// Where a record stands: its first and its last line, counted from 1; the header of CSV is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line that it begins on.
    pub first: u64,
    /// The line that it ends on.
    pub last: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "line {}", self.first)
        } else {
            write!(f, "lines {} to {}", self.first, self.last)
        }
    }
}

/// A record, and what it asks for.
pub struct Record {
    /// Where it stands.
    pub place: Place,
    /// What it says.
    pub asked: Result<Asked, Refusal>,
}

/// Reads records from a text.
pub struct Lines<R> {
    input: R,
    layout: Layout,
    columns: Option<Columns>,
    /// Lines read so far.
    line: u64,
}

/// A record's text, or why it is none.
type Raw = Result<Vec<u8>, Refusal>;

impl<R: BufRead> Lines<R> {
    /// From the beginning of a text. CSV: reads the header, and says what is wrong with it.
    pub fn new(input: R, layout: Layout) -> io::Result<Result<Self, Refusal>> {
        let mut lines = Self {
            input,
            layout,
            columns: None,
            line: 0,
        };
        if layout == Layout::Csv {
            let Some((place, header)) = lines.raw()? else {
                return Ok(Err(
                    "line 1: there is no header: the first line of CSV names the columns".to_owned(),
                ));
            };
            match header.and_then(|header| Columns::read(&header)) {
                Ok(columns) => lines.columns = Some(columns),
                Err(why) => return Ok(Err(format!("{place}: {why}"))),
            }
        }
        Ok(Ok(lines))
    }

    /// The next record; `None` at the end.
    pub fn read_next(&mut self) -> io::Result<Option<Record>> {
        let Some((place, raw)) = self.raw()? else {
            return Ok(None);
        };
        let asked = raw.and_then(|text| self.read(&text)).map_err(|mut why| {
            // It may repeat a name of the line.
            why.truncate(why.floor_char_boundary(LONGEST_REFUSAL));
            why
        });
        Ok(Some(Record { place, asked }))
    }

    fn read(&mut self, text: &[u8]) -> Result<Asked, Refusal> {
        let text = str::from_utf8(text).map_err(|_| "the line is not valid UTF-8".to_owned())?;
        let members: Map<String, Value> = match &mut self.columns {
            Some(columns) => columns.members(text)?,
            None => serde_json::from_str(text).map_err(|error| {
                if error.is_data() {
                    "the line is not a JSON object".to_owned()
                } else {
                    format!("the line is not JSON: {error}")
                }
            })?,
        };
        Asked::read(members)
    }

    /// One record as it stands there, empty lines left out.
    fn raw(&mut self) -> io::Result<Option<(Place, Raw)>> {
        loop {
            let (first, mut text, mut quotes) = (self.line + 1, Vec::new(), Quotes::default());
            let ended = loop {
                let from = text.len();
                let room = LONGEST.saturating_sub(from) as u64 + 1;
                if (&mut self.input).take(room).read_until(b'\n', &mut text)? == 0 {
                    break quotes.end();
                }
                self.line += 1;
                if text.len() > LONGEST {
                    // The rest of the line is not kept.
                    if !text.ends_with(b"\n") {
                        self.input.skip_until(b'\n')?;
                    }
                    break Err(if first == self.line {
                        format!("the line is longer than {LONGEST} bytes")
                    } else {
                        format!("a quote is not closed within {LONGEST} bytes")
                    });
                }
                if first == 1 && from == 0 && text.starts_with(MARK) {
                    text.drain(..MARK.len());
                }
                if self.layout == Layout::Json {
                    break Ok(());
                }
                // Only what is new, so that a field of many lines is not read again for each of them.
                quotes.read(text.get(from..).unwrap_or_default());
                if !quotes.open() {
                    break quotes.end();
                }
            };
            if text.is_empty() && first > self.line {
                return Ok(None);
            }
            while text.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                text.pop();
            }
            if ended.is_err() || !text.iter().all(u8::is_ascii_whitespace) {
                let last = self.line;
                return Ok(Some((Place { first, last }, ended.map(|()| text))));
            }
        }
    }
}
