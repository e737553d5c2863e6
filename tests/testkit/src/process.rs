//! Child processes: commands that run to completion, and the server, which is killed when its handle is dropped.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a command may take before it is killed.
const TIMEOUT: Duration = Duration::from_mins(3);

/// The exit code and the output of a finished command.
#[derive(Debug)]
pub struct Output {
    /// -1 if a signal ended the command.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Runs a command to completion with an empty stdin.
    pub fn of(command: &mut Command) -> Output {
        Self::with_input(command, "")
    }

    /// Runs a command to completion with `input` on its stdin. It is killed after a timeout; its code is then -1.
    pub fn with_input(command: &mut Command, input: &str) -> Output {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command must start");
        // A command that does not read its stdin may have closed it already.
        let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
        let id = child.id();
        let (finished, receiver) = mpsc::channel::<()>();
        let watchdog = std::thread::spawn(move || {
            if receiver.recv_timeout(TIMEOUT) == Err(mpsc::RecvTimeoutError::Timeout) {
                signal(id, "KILL");
            }
        });
        let output = child.wait_with_output().expect("wait for the child");
        drop(finished);
        watchdog.join().expect("join the watchdog");
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A running server. Its stderr is appended to a file; its stdout is read line by line.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: mpsc::Receiver<String>,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command`, appending its stderr to `stderr`.
    pub fn start(command: &mut Command, stderr: &Path) -> Process {
        let log = File::options()
            .create(true)
            .append(true)
            .open(stderr)
            .expect("a log file");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the server must start");
        let pipe = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, stdout) = mpsc::channel();
        std::thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Process {
            child,
            stdout,
            stderr: stderr.to_owned(),
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of stdout; `None` at its end. Panics after `timeout`.
    pub fn line(&self, timeout: Duration) -> Option<String> {
        match self.stdout.recv_timeout(timeout) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("no line on stdout after {timeout:?}; stderr: {}", self.stderr())
            }
        }
    }

    /// Stops the process and returns its log. A running process writes its log after it has responded, so that only the log of a
    /// stopped one is complete.
    pub async fn complete_log(&mut self) -> String {
        self.signal("TERM");
        self.wait(Duration::from_secs(30)).await;
        self.stderr()
    }

    /// The content of the log file.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Stops the process without ending it, as a machine that hangs, until [`Process::unpause`].
    pub fn pause(&self) {
        pause(self.id());
    }

    /// Lets it go on.
    pub fn unpause(&self) {
        signal(self.id(), "CONT");
    }

    /// The exit status; `None` while the process runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait for the child")
    }

    /// Waits until the process exits. Panics after `timeout`.
    pub async fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let status = tokio::time::timeout(timeout, async {
            loop {
                if let Some(status) = self.exit_status() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        match status.await {
            Ok(status) => status,
            Err(_) => panic!("still running after {timeout:?}; stderr: {}", self.stderr()),
        }
    }

    /// Kills the process (`SIGKILL`) and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().expect("wait for the child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal by name, such as `TERM`, to a process that the test started.
pub fn signal(id: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), id.to_string()]).status();
    assert!(sent.expect("kill").success(), "signal {name} to {id}");
}

/// Stops a process (`SIGSTOP`), and returns once none of its threads runs: what it does later, it does after it was continued.
pub fn pause(id: u32) {
    signal(id, "STOP");
    let deadline = Instant::now() + TIMEOUT;
    while !is_paused(id) {
        assert!(Instant::now() < deadline, "process {id} is not stopped");
        // Only a parent gets an event, and not every process is a child of the test.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether each thread of a process is stopped, as `/proc` shows it.
fn is_paused(id: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).expect("a running process");
    threads.flatten().all(|thread| {
        // A thread that has ended meanwhile does not run either. The state follows the name in parentheses.
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with('T'))
    })
}
