//! JSON lines: one JSON object a line.

use std::io::{self, BufRead, BufReader, Read};

use serde_json::Value;

use super::row::{BUFFER, MAX_ROW, Members, not_utf8, too_long};
use crate::service::clients::import::LineRange;
use crate::tokens::unique_json::{self, Unique};

/// The byte order mark that some systems put at the beginning of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads JSON lines.
pub struct JsonRows<R> {
    input: BufReader<R>,
    line: u64,
}

impl<R: Read> JsonRows<R> {
    /// From the beginning of a text.
    pub(super) fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(BUFFER, input),
            line: 0,
        }
    }

    /// The next line that is not blank.
    pub(super) fn read_next(&mut self) -> io::Result<Option<(LineRange, Members)>> {
        loop {
            let mut text = Vec::new();
            if (&mut self.input)
                .take(MAX_ROW as u64 + 1)
                .read_until(b'\n', &mut text)?
                == 0
            {
                return Ok(None);
            }
            self.line += 1;
            let lines = LineRange {
                first: self.line,
                last: self.line,
            };
            if text.len() > MAX_ROW {
                if !text.ends_with(b"\n") {
                    self.input.skip_until(b'\n')?;
                }
                return Ok(Some((lines, Err(too_long()))));
            }
            let text = if self.line == 1 {
                text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text)
            } else {
                &text
            };
            if !text.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((lines, parse_json(text))));
            }
        }
    }
}

fn parse_json(text: &[u8]) -> Members {
    let text = str::from_utf8(text).map_err(|_| not_utf8())?;
    match serde_json::from_str(text) {
        Ok(Unique(Value::Object(members))) => Ok(members),
        Ok(_) => Err("the line is not a JSON object".to_owned()),
        Err(error) => Err(match unique_json::duplicate(&error) {
            Some(name) => format!("the line has the member {name} twice"),
            // The parser counts lines from this one.
            None => format!(
                "the line is not JSON: {}",
                error.to_string().replace(" at line 1 column ", " at column ")
            ),
        }),
    }
}
