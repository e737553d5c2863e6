//! The rows that an import rejects: the first ones for the terminal, each one for the report, and one bit per line for all.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::{output, stderr};
use crate::failure::Failure;
use crate::service::clients::from::FieldNames;
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
    /// The name of each row, unless its line names it.
    names: Option<Vec<RowName>>,
}

/// The name of a row of a translated export.
pub struct RowName {
    /// The client.
    pub client_id: String,
    /// Where it is in the export.
    pub position: String,
    /// Members of the record, and the fields of the export from which they come.
    pub fields: FieldNames,
}

impl RowName {
    /// The reason with the name of the export's field, if it begins with that of a member.
    fn reworded(&self, reason: RowError) -> RowError {
        let named = self.fields.iter().find_map(|(member, field)| {
            let rest = reason.strip_prefix(member)?;
            let is_whole = rest.starts_with([' ', ':', '.', '[']);
            is_whole.then(|| format!("{field}{rest}"))
        });
        named.unwrap_or(reason)
    }
}

impl RejectedRows {
    /// No rows. An existing report is replaced. `names`: the names of the rows by their lines, the first of which is 1.
    pub fn new(report: Option<&Path>, names: Option<Vec<RowName>>) -> Result<Self, Failure> {
        let open = |path: &Path| match File::create(path) {
            Ok(file) => Ok((path.to_owned(), BufWriter::new(file))),
            Err(error) => Err(cannot_write(path, &error)),
        };
        Ok(Self {
            count: 0,
            printed: Vec::new(),
            report: report.map(open).transpose()?,
            lines: Vec::new(),
            names,
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
            let name = name_of(self.names.as_deref(), lines);
            let reason = match name {
                Some(name) => name.reworded(reason),
                None => reason,
            };
            if let Some((path, file)) = &mut self.report {
                let mut line = match name {
                    Some(name) => json!({"client_id": name.client_id, "position": name.position, "reason": reason}),
                    None => json!({"line": lines.first, "reason": reason}),
                };
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
        for (lines, reason) in &self.printed {
            stderr::line(&match name_of(self.names.as_deref(), *lines) {
                Some(RowName {
                    client_id, position, ..
                }) => {
                    format!("{position} ({}): {reason}", output::escape_terminal(client_id))
                }
                None => format!("{lines}: {reason}"),
            });
        }
        let more = self.count - self.printed.len() as u64;
        if more > 0 {
            stderr::line(&format!("and {more} more"));
        }
    }
}

fn name_of(names: Option<&[RowName]>, lines: LineRange) -> Option<&RowName> {
    names?.get(lines.first.checked_sub(1)? as usize)
}

fn bit(line: u64) -> (usize, u64) {
    ((line / 64) as usize, 1 << (line % 64))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::Environment(format!("--report {} cannot be written: {error}", path.display()))
}
