//! Writes warnings, errors and notes to stderr on a thread of its own, so that a reader that stalls delays a command by a few seconds at most.
//! Where no thread can be started, the caller writes.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a write may take before the command goes on without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A text, and the channel on which the thread reports that it is written.
type Job = (String, Sender<()>);

/// The queue of the thread. `None`: there is no thread.
static QUEUE: LazyLock<Option<Mutex<Sender<Job>>>> = LazyLock::new(|| {
    let (sender, jobs) = mpsc::channel::<Job>();
    let write = move || {
        for (text, written) in jobs {
            write_now(&text);
            let _ = written.send(());
        }
    };
    let thread = thread::Builder::new().name("stderr".to_owned()).spawn(write);
    thread.ok().map(|_| Mutex::new(sender))
});

fn write_now(text: &str) {
    let mut stderr = io::stderr().lock();
    // A closed stderr is no failure.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// The report of a write that took too long. Until it comes, nothing waits for the next ones.
static LATE: Mutex<Option<Receiver<()>>> = Mutex::new(None);

/// Writes a line.
pub fn line(text: &str) {
    write(format!("{text}\n"));
}

/// Writes a text as it is.
pub fn write(text: String) {
    let Some(queue) = &*QUEUE else {
        return write_now(&text);
    };
    let (written, report) = mpsc::channel();
    let sent = queue
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((text, written));
    let mut late = LATE.lock().unwrap_or_else(PoisonError::into_inner);
    let is_stalled = late.as_ref().is_some_and(|earlier| earlier.try_recv().is_err());
    if sent.is_ok() && !is_stalled {
        *late = report.recv_timeout(PATIENCE).is_err().then_some(report);
    }
}

/// Waits at the end of a command for the lines of a reader that was slow.
pub fn finish() {
    let late = LATE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if late.is_some_and(|late| late.recv_timeout(PATIENCE).is_ok()) {
        // Those after it.
        write(String::new());
    }
}
