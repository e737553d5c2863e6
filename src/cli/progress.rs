//! How far a long piece of work is: one line on a terminal's stderr, nothing elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(100);

/// The line.
pub struct Progress {
    what: &'static str,
    total: Option<u64>,
    shown_at: Option<Instant>,
    terminal: bool,
}

impl Progress {
    /// Of so much, where that is known; `what` is counted.
    pub fn new(what: &'static str, total: Option<u64>) -> Self {
        Self {
            what,
            total,
            shown_at: None,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Shows how much is done.
    pub fn show(&mut self, done: u64) {
        if !self.terminal || self.shown_at.is_some_and(|at| at.elapsed() < EVERY) {
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
        // Only a convenience: a stderr that is gone is no failure.
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K{line}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown_at.is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
