//! The signals that a server receives. None ends the process at once.

use std::io::IsTerminal;
use std::task::Poll;

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// Signals that drain the server: from service managers, terminals, and a failing power supply.
const STOP: [(Number, &str); 4] = [
    (Number::TERM, "SIGTERM"),
    (Number::INT, "SIGINT"),
    (Number::QUIT, "SIGQUIT"),
    (Number::POWER, "SIGPWR"),
];

/// Signals that would end a process that does not handle them, and that mean nothing to this server: from log rotation and timers.
const IGNORED: [(Number, &str); 8] = [
    (Number::USR1, "SIGUSR1"),
    (Number::USR2, "SIGUSR2"),
    (Number::ALARM, "SIGALRM"),
    (Number::VTALARM, "SIGVTALRM"),
    (Number::PROF, "SIGPROF"),
    (Number::IO, "SIGIO"),
    (Number::XCPU, "SIGXCPU"),
    (Number::STKFLT, "SIGSTKFLT"),
];

/// A write beyond a limit of file sizes: it fails with an error. Not logged: the write may be that of a log line. For the same reason
/// SIGPIPE, which the standard library ignores, is not handled here.
const FAILED_WRITE: (Number, &str) = (Number::XFSZ, "SIGXFSZ");

/// The number of `SIGRTMIN`, and of the last real-time signal.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// `SIGRTMIN+3`: container managers send it to have an init process halt.
const HALT: i32 = 37;

const HANG_UP: (Number, &str) = (Number::HUP, "SIGHUP");

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Stop,
    /// Logged.
    Nothing,
    /// Not even logged.
    FailedWrite,
}

/// The signals of a server, from the moment this is made.
pub(super) struct Signals(Vec<Handled>);

struct Handled {
    signal: Signal,
    name: String,
    meaning: Meaning,
}

impl Signals {
    /// Handles every signal from now on.
    pub(super) fn new() -> Result<Self, Failure> {
        // Log rotation and service managers send SIGHUP to a daemon, which has no terminal. Where there is one, it was closed.
        let hang_up = if std::io::stdin().is_terminal() {
            Meaning::Stop
        } else {
            Meaning::Nothing
        };
        let stop = STOP.map(|number| (number, Meaning::Stop));
        let ignored = IGNORED.map(|number| (number, Meaning::Nothing));
        let others = [(HANG_UP, hang_up), (FAILED_WRITE, Meaning::FailedWrite)];
        let all = stop.into_iter().chain(ignored).chain(others);
        let handled = all.map(|((number, name), meaning)| {
            Ok(Handled {
                signal: signal(SignalKind::from_raw(number.as_raw()))?,
                name: name.to_owned(),
                meaning,
            })
        });
        let handled: std::io::Result<Vec<Handled>> = handled.collect();
        let mut handled = handled.map_err(Failure::environment)?;
        // The C library may keep some for itself.
        handled.extend(REAL_TIME.filter_map(|number| {
            Some(Handled {
                signal: signal(SignalKind::from_raw(number)).ok()?,
                name: format!("SIGRTMIN+{}", number - REAL_TIME.start()),
                meaning: if number == HALT {
                    Meaning::Stop
                } else {
                    Meaning::Nothing
                },
            })
        }));
        Ok(Self(handled))
    }

    /// Waits for a signal to stop. Logs the others.
    pub(super) async fn stop(&mut self) {
        std::future::poll_fn(|context| {
            for handled in &mut self.0 {
                while let Poll::Ready(Some(())) = handled.signal.poll_recv(context) {
                    let signal = handled.name.as_str();
                    match handled.meaning {
                        Meaning::Stop => {
                            tracing::info!(signal, "signal to stop");
                            return Poll::Ready(());
                        }
                        Meaning::Nothing => tracing::info!(
                            signal,
                            "signal ignored: the configuration is read at the start, logs go to stderr"
                        ),
                        Meaning::FailedWrite => {}
                    }
                }
            }
            Poll::Pending
        })
        .await;
    }
}
