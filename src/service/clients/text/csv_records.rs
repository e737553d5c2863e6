//! Records of CSV and their lines, as every reader of CSV here finds them. The positions of the crate `csv` are one line too low where lines end
//! in CRLF.

use std::io::{self, Read};

use csv::{ByteRecord, ErrorKind, Position, Terminator};

use super::csv_guard::{Guard, MAX_OPEN};
use super::row::BUFFER;
use crate::service::clients::import::LineRange;

/// Reads records, one after the other.
pub struct CsvRecords<R> {
    reader: csv::Reader<Guard<R>>,
    record: ByteRecord,
}

/// Where a record is.
pub(in crate::service) struct Found {
    pub(in crate::service) lines: LineRange,
    /// Its length, bytes.
    pub(super) length: u64,
    /// Why it can be read in two ways, or not at all.
    pub(in crate::service) problem: Option<String>,
}

impl<R: Read> CsvRecords<R> {
    pub(in crate::service) fn new(input: R) -> Self {
        Self {
            reader: csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .terminator(Terminator::Any(b'\n'))
                .buffer_capacity(BUFFER)
                .from_reader(Guard::new(input)),
            record: ByteRecord::new(),
        }
    }

    /// Reads the next record. `None`: there is none.
    pub(in crate::service) fn read_next(&mut self) -> io::Result<Option<Found>> {
        loop {
            let began = self.reader.position().clone();
            self.reader.get_mut().begin_record(began.byte());
            match self.reader.read_byte_record(&mut self.record) {
                // A blank line that ends in CRLF.
                Ok(true) if self.record.len() == 1 && &self.record[0] == b"\r" => {}
                Ok(true) => return Ok(Some(self.found(&began))),
                Ok(false) => return Ok(None),
                Err(error) => {
                    let ErrorKind::Io(error) = error.into_kind() else {
                        return Err(io::ErrorKind::Other.into());
                    };
                    if error.kind() != io::ErrorKind::InvalidData {
                        return Err(error);
                    }
                    let ended = self.reader.position();
                    return Ok(Some(Found {
                        lines: LineRange {
                            first: began.line(),
                            last: ended.line(),
                        },
                        length: ended.byte() - began.byte(),
                        problem: Some(format!(
                            "a quote is not closed within {MAX_OPEN} bytes; the rest of the text was not read"
                        )),
                    }));
                }
            }
        }
    }

    fn found(&mut self, began: &Position) -> Found {
        let ended = self.reader.position().clone();
        let guard = self.reader.get_mut();
        let last = ended.line() - u64::from(!guard.ends_unterminated_at(ended.byte()));
        // Blank lines before the record are consumed with it, so its lines are counted from its end.
        let inside = self.record.as_slice().split(|byte| *byte == b'\n').count() as u64 - 1;
        let inside = inside - u64::from(guard.ends_in_open_line_at(ended.byte()));
        Found {
            lines: LineRange {
                first: last - inside,
                last,
            },
            length: ended.byte() - began.byte(),
            problem: guard.problem_before(ended.byte()).map(str::to_owned),
        }
    }
}

impl<R> CsvRecords<R> {
    /// The number of fields of the record that was read last.
    pub(in crate::service) fn len(&self) -> usize {
        self.record.len()
    }

    /// Its fields, without the CR of its line end.
    pub(in crate::service) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let count = self.record.len();
        self.record.iter().enumerate().map(move |(index, field)| {
            if index + 1 == count {
                field.strip_suffix(b"\r").unwrap_or(field)
            } else {
                field
            }
        })
    }
}
