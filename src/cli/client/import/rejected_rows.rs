//! The rows that an import rejects: the first ones for the terminal, each one for the report, and one bit per line for all.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::failure::Failure;
use crate::service::clients::import::{LineRange, RowError};

/// Rejected rows that are printed; a report lists all of them.
const PRINTED: usize = 20;

/// The rejected rows. Its memory grows by one bit per line of the file only.
pub struct RejectedRows {
    count: u64,
    printed: Vec<(LineRange, RowError)>,
    report: Option<(PathBuf, BufWriter<File>)>,
    /// The bit of each line on which a rejected row begins.
    lines: Vec<u64>,
}

impl RejectedRows {
    /// No rows. An existing report is replaced.
    pub fn new(report: Option<&Path>) -> Result<Self, Failure> {
        let open = |path: &Path| match File::create(path) {
            Ok(file) => Ok((path.to_owned(), BufWriter::new(file))),
            Err(error) => Err(cannot_write(path, &error)),
        };
        Ok(Self {
            count: 0,
            printed: Vec::new(),
            report: report.map(open).transpose()?,
            lines: Vec::new(),
        })
    }

    /// Adds rows, in the order of their lines.
    pub fn extend(&mut self, rows: Vec<(LineRange, RowError)>) -> Result<(), Failure> {
        for (lines, reason) in rows {
            let (word, bit) = bit(lines.first);
            if word >= self.lines.len() {
                self.lines.resize(word + 1, 0);
            }
            self.lines[word] |= bit;
            self.count += 1;
            if let Some((path, file)) = &mut self.report {
                let mut line = json!({"line": lines.first, "reason": reason});
                if lines.last > lines.first {
                    line["last_line"] = lines.last.into();
                }
                writeln!(file, "{line}").map_err(|error| cannot_write(path, &error))?;
            }
            if self.printed.len() < PRINTED {
                self.printed.push((lines, reason));
            }
        }
        Ok(())
    }

    /// The number of rows.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether the row that begins on this line was rejected.
    pub fn contains(&self, line: u64) -> bool {
        let (word, bit) = bit(line);
        self.lines.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Writes what is buffered of the report.
    pub fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.report {
            None => Ok(()),
            Some((path, file)) => file.flush().map_err(|error| cannot_write(path, &error)),
        }
    }

    /// Prints the first rows on stderr.
    pub fn print(&self) {
        let mut stderr = io::stderr().lock();
        for (lines, reason) in &self.printed {
            // A closed stderr is no failure: the exit code says that rows were rejected.
            let _ = writeln!(stderr, "{lines}: {reason}");
        }
        let more = self.count - self.printed.len() as u64;
        if more > 0 {
            let _ = writeln!(stderr, "and {more} more");
        }
    }
}

fn bit(line: u64) -> (usize, u64) {
    ((line / 64) as usize, 1 << (line % 64))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::Environment(format!("--report {} cannot be written: {error}", path.display()))
}
