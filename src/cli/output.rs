//! Writes answers to stdout: JSON for scripts, aligned text for people.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::stderr;
use crate::config;
use crate::failure::Failure;

/// Prints a JSON document.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::environment)?;
    text_line(&escape_json(&text))
}

/// Prints a JSON document as one line.
pub fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(Failure::environment)?;
    text_line(&escape_json(&text))
}

/// Escapes what a terminal would interpret. Outside ASCII, characters occur in strings only, where JSON allows this escape.
fn escape_json(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        if (!c.is_ascii_control() && controls_terminal(c)) || c == '\u{7f}' {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
        escaped
    })
}

/// Whether a terminal interprets a character instead of showing it: control characters, characters that change the direction of
/// text, and invisible ones.
fn controls_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Escapes untrusted text for a terminal.
pub fn escape_terminal(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        if controls_terminal(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
        escaped
    })
}

/// Whether the reader of stdout has gone.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether a line was not read because the reader of stdout has gone, as in `… | head -1`: a command that prints until it is interrupted
/// ends, and a secret that is printed once was not delivered.
pub fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Prints text and a line end.
pub fn text_line(text: &str) -> Result<(), Failure> {
    text_as_it_is(format!("{text}\n").as_bytes())
}

/// Prints text without a line end of its own.
pub fn text_as_it_is(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        // The reader has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            CLOSED.store(true, Ordering::Relaxed);
            Ok(())
        }
        other => other.map_err(|error| Failure::Environment(format!("stdout cannot be written: {error}"))),
    }
}

/// Prints columns under their titles. Cells are escaped: they may be text that somebody else chose.
pub fn table(titles: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    let escaped = |row: &Vec<String>| row.iter().map(|cell| escape_terminal(cell)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(escaped).collect();
    let text = aligned(titles, &rows);
    let Some((titles, rest)) = text.split_once('\n').filter(|_| may_colour()) else {
        return text_line(&text);
    };
    text_line(&format!("\x1b[1m{titles}\x1b[0m\n{rest}"))
}

/// Whether stdout may be coloured.
fn may_colour() -> bool {
    config::may_colour(io::stdout().is_terminal())
}

/// Prints one name and value per line. Values are escaped: they may be text that somebody else chose.
pub fn fields(fields: &[(&str, String)]) -> Result<(), Failure> {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name:width$}  {}", escape_terminal(value)))
        .collect();
    text_line(&lines.join("\n"))
}

/// `-` for an absent value.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Prints the configuration's warnings on stderr.
pub fn warnings(warnings: &[String]) {
    for warning in warnings {
        stderr::line(&format!("warning: {}", escape_terminal(warning)));
    }
}

/// Prints each line of a failure on stderr.
pub fn failure(failure: &Failure) {
    for sentence in failure.to_string().lines() {
        // The exit code says it, too.
        stderr::line(&format!("error: {}", escape_terminal(sentence)));
    }
}

/// `(default)` for a setting that a client does not have.
pub fn or_default(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "(default)".to_owned(), |value| value.to_string())
}

/// Prints how to get the next page, on stderr: stdout has the table only.
pub fn more(cursor: Option<&str>) {
    let Some(cursor) = cursor else { return };
    stderr::line(&format!("more: --cursor {cursor}"));
}

/// Unix seconds as a date.
pub fn date(seconds: i64) -> String {
    let date = OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|date| date.format(&Rfc3339).ok());
    date.unwrap_or_else(|| seconds.to_string())
}

/// Columns under their titles, as text.
pub fn aligned(titles: &[&str], rows: &[Vec<String>]) -> String {
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
    fn characters_that_control_a_terminal_are_escaped() {
        let hostile = "\u{1b}[2J\u{9b}31m\n\u{7f}\u{202e}";
        assert_eq!(
            super::escape_terminal(hostile),
            "\\u{1b}[2J\\u{9b}31m\\n\\u{7f}\\u{202e}"
        );
        assert_eq!(super::escape_terminal("é \"a\\b\" 日本"), "é \"a\\b\" 日本");
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
