//! Records of a text, one after the other, none longer than a bound.

use std::io::{self, BufRead, Read};

use serde_json::{Map, Value};

use super::csv::Columns;
use super::{Asked, Layout, Refusal};

/// Bytes that a record may have.
const LONGEST: usize = 64 * 1024;

/// A record: the number of its first line, and what it asks for.
pub struct Record {
    /// Counted from 1; the header of CSV is 1.
    pub line: u64,
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

enum Raw {
    Text(Vec<u8>),
    TooLong,
}

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
            let header = match lines.raw()? {
                None => {
                    return Ok(Err(
                        "line 1: there is no header: the first line of CSV names the columns".to_owned(),
                    ));
                }
                Some((_, Raw::TooLong)) => {
                    return Ok(Err("line 1: the header is longer than a line may be".to_owned()));
                }
                Some((_, Raw::Text(text))) => text,
            };
            match Columns::read(&header) {
                Ok(columns) => lines.columns = Some(columns),
                Err(why) => return Ok(Err(format!("line 1: {why}"))),
            }
        }
        Ok(Ok(lines))
    }

    /// The next record; `None` at the end.
    pub fn read_next(&mut self) -> io::Result<Option<Record>> {
        let Some((line, raw)) = self.raw()? else {
            return Ok(None);
        };
        let asked = match raw {
            Raw::TooLong => Err(format!(
                "the line is longer than {LONGEST} bytes, or a quote is never closed"
            )),
            Raw::Text(text) => self.read(&text),
        };
        Ok(Some(Record { line, asked }))
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
    fn raw(&mut self) -> io::Result<Option<(u64, Raw)>> {
        loop {
            let (first, mut text) = (self.line + 1, Vec::new());
            loop {
                let room = LONGEST.saturating_sub(text.len()) as u64 + 1;
                let read = (&mut self.input).take(room).read_until(b'\n', &mut text)?;
                if read == 0 {
                    break;
                }
                if text.len() > LONGEST {
                    self.skip_line(&text)?;
                    return Ok(Some((first, Raw::TooLong)));
                }
                self.line += 1;
                // A quoted field of CSV may go on over the end of the line.
                let open = self.layout == Layout::Csv && memchr::memchr_iter(b'"', &text).count() % 2 == 1;
                if !open {
                    break;
                }
            }
            if text.is_empty() {
                return Ok(None);
            }
            while text.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                text.pop();
            }
            if first == 1 && text.starts_with(&[0xef, 0xbb, 0xbf]) {
                text.drain(..3);
            }
            if !text.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((first, Raw::Text(text))));
            }
        }
    }

    /// Reads on to the end of a line that is too long, without keeping it.
    fn skip_line(&mut self, begun: &[u8]) -> io::Result<()> {
        self.line += 1;
        if begun.ends_with(b"\n") {
            return Ok(());
        }
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let end = memchr::memchr(b'\n', buffer);
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}
