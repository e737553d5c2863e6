//! Answers on stdout: JSON for scripts, aligned text for people.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config;
use crate::failure::Failure;

/// One JSON document.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Environment(error.to_string()))?;
    // Beyond ASCII a character stands in a string only, where JSON spells it this way too.
    let spelled = text.chars().fold(String::with_capacity(text.len()), |mut spelled, c| {
        if (!c.is_ascii_control() && steers(c)) || c == '\u{7f}' {
            let _ = write!(spelled, "\\u{:04x}", u32::from(c));
        } else {
            spelled.push(c);
        }
        spelled
    });
    text_line(&spelled)
}

/// Whether a terminal does something else with a character than showing it: control characters, and those that turn the
/// direction of what stands beside them, or cannot be seen.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Text of a stranger's, so that a terminal shows it and nothing else.
pub fn tame(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut tame, c| {
        if steers(c) {
            tame.extend(c.escape_default());
        } else {
            tame.push(c);
        }
        tame
    })
}

/// Text and a line end.
pub fn text_line(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout().lock(), "{text}") {
        // The reader has what it wanted, as in `… | head -1`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Failure::Environment(format!("the answer cannot be written: {error}"))),
    }
}

/// Columns under their titles.
pub fn table(titles: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    let text = aligned(titles, rows);
    let Some((titles, rest)) = text.split_once('\n').filter(|_| coloured()) else {
        return text_line(&text);
    };
    text_line(&format!("\x1b[1m{titles}\x1b[0m\n{rest}"))
}

/// Whether stdout is a terminal that may be coloured.
pub fn coloured() -> bool {
    config::colours(io::stdout().is_terminal())
}

/// One name and value a line.
pub fn fields(fields: &[(&str, String)]) -> Result<(), Failure> {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name:width$}  {value}"))
        .collect();
    text_line(&lines.join("\n"))
}

/// `-` for what is not there.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `(default)` for what a client leaves to the server.
pub fn or_default(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "(default)".to_owned(), |value| value.to_string())
}

/// How to see the next page, on stderr: the table on stdout stays a table.
pub fn more(cursor: Option<&str>) {
    let Some(cursor) = cursor else { return };
    // Only a hint: a closed stderr is no failure.
    let _ = writeln!(io::stderr().lock(), "more: --cursor {cursor}");
}

/// Unix seconds as a date.
pub fn date(seconds: i64) -> String {
    let date = OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|date| date.format(&Rfc3339).ok());
    date.unwrap_or_else(|| seconds.to_string())
}

/// A new file for its owner only.
pub fn new_file(path: &Path, force: bool) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::Refused(format!("{} is there already; name another file", path.display()))
        }
        _ => Failure::Environment(format!("{} cannot be written: {error}", path.display())),
    })
}

fn aligned(titles: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain(titles.get(column).map(|title| title.len()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..titles.len()).map(width).collect();
    let titles = titles.iter().map(|title| (*title).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_steers_a_terminal_is_spelled_out() {
        let hostile = "\u{1b}[2J\u{9b}31m\n\u{7f}\u{202e}";
        assert_eq!(super::tame(hostile), "\\u{1b}[2J\\u{9b}31m\\n\\u{7f}\\u{202e}");
        assert_eq!(super::tame("é \"a\\b\" 日本"), "é \"a\\b\" 日本");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".to_owned(), "é".to_owned()],
            vec!["long".to_owned(), String::new()],
        ];
        assert_eq!(super::aligned(&["ID", "N"], &rows), "ID    N\na     é\nlong");
    }
}
