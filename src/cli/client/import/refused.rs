//! The lines that an import refuses: the first of them for the terminal, each at once into the report, and of all of them a bit.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::failure::Failure;
use crate::oauth::bulk::{Place, Refusal};

/// Refused lines that are shown; a report has all of them.
const SHOWN: usize = 20;

/// Where lines are refused. However many there are, it does not grow but for their bits.
pub struct Refused {
    count: u64,
    shown: Vec<(Place, Refusal)>,
    report: Option<(PathBuf, BufWriter<File>)>,
    /// The bit of each line that a refused record begins on.
    lines: Vec<u64>,
}

impl Refused {
    /// None yet. A report that is there is replaced.
    pub fn new(report: Option<&Path>) -> Result<Self, Failure> {
        let open = |path: &Path| match File::create(path) {
            Ok(file) => Ok((path.to_owned(), BufWriter::new(file))),
            Err(error) => Err(cannot_write(path, &error)),
        };
        Ok(Self {
            count: 0,
            shown: Vec::new(),
            report: report.map(open).transpose()?,
            lines: Vec::new(),
        })
    }

    /// Takes some, in the order of their lines, into account.
    pub fn add(&mut self, some: Vec<(Place, Refusal)>) -> Result<(), Failure> {
        for (place, reason) in some {
            let (word, bit) = bit(place.first);
            if word >= self.lines.len() {
                self.lines.resize(word + 1, 0);
            }
            self.lines[word] |= bit;
            self.count += 1;
            if let Some((path, file)) = &mut self.report {
                let mut line = json!({"line": place.first, "reason": reason});
                if place.last > place.first {
                    line["last_line"] = place.last.into();
                }
                writeln!(file, "{line}").map_err(|error| cannot_write(path, &error))?;
            }
            if self.shown.len() < SHOWN {
                self.shown.push((place, reason));
            }
        }
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether the record that begins on a line is one of them.
    pub fn contains(&self, line: u64) -> bool {
        let (word, bit) = bit(line);
        self.lines.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// The report is whole so far.
    pub fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.report {
            None => Ok(()),
            Some((path, file)) => file.flush().map_err(|error| cannot_write(path, &error)),
        }
    }

    /// Says on stderr which they are.
    pub fn tell(&self) {
        let mut stderr = io::stderr().lock();
        for (place, reason) in &self.shown {
            // What cannot be written there is in the exit code yet.
            let _ = writeln!(stderr, "{place}: {reason}");
        }
        let more = self.count - self.shown.len() as u64;
        if more > 0 {
            let _ = writeln!(stderr, "and {more} lines more");
        }
    }
}

fn bit(line: u64) -> (usize, u64) {
    ((line / 64) as usize, 1 << (line % 64))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::Environment(format!("--report {} cannot be written: {error}", path.display()))
}
