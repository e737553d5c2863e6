//! Writes warnings, errors and notes to stderr. A thread of its own does: a reader that stalls delays a command by a second at most.
//! Where no thread can be started, the caller writes.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a write may take before the command goes on without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A text, and where to answer when it is written.
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

/// A write took too long: nothing waits for the next ones.
static IS_STALLED: AtomicBool = AtomicBool::new(false);

/// Writes a line.
pub fn line(text: &str) {
    write(format!("{text}\n"));
}

/// Writes a text as it is.
pub fn write(text: String) {
    let Some(queue) = &*QUEUE else {
        return write_now(&text);
    };
    let (written, wait) = mpsc::channel();
    let sent = queue
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((text, written));
    if sent.is_ok() && !IS_STALLED.load(Ordering::Relaxed) && wait.recv_timeout(PATIENCE).is_err() {
        IS_STALLED.store(true, Ordering::Relaxed);
    }
}
