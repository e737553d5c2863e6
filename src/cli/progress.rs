//! A progress line on stderr, if that is a terminal.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::stderr;

/// The shortest time between two updates.
const INTERVAL: Duration = Duration::from_millis(100);

/// The progress line.
pub struct Progress {
    what: &'static str,
    total: Option<u64>,
    shown_at: Option<Instant>,
    terminal: bool,
}

impl Progress {
    /// A line that counts `what` up to `total`, if that is known.
    pub fn new(what: &'static str, total: Option<u64>) -> Self {
        Self {
            what,
            total,
            shown_at: None,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Updates the line.
    pub fn show(&mut self, done: u64) {
        if !self.terminal || self.shown_at.is_some_and(|at| at.elapsed() < INTERVAL) {
            return;
        }
        self.shown_at = Some(Instant::now());
        let line = match self.total {
            Some(total) if total > 0 => {
                let filled = (done.min(total) * 30 / total) as usize;
                let bar = format!("{}{}", "#".repeat(filled), "-".repeat(30 - filled));
                format!("[{bar}] {done} of {total} {}", self.what)
            }
            _ => format!("{done} {}", self.what),
        };
        stderr::write(format!("\r\x1b[K{line}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown_at.is_some() {
            stderr::write("\r\x1b[K".to_owned());
        }
    }
}
