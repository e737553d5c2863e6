//! The server's binary as a child process. It is gone when its handle is.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a finished command left.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Runs a command to its end, without input.
    pub fn of(command: &mut Command) -> Output {
        Self::with_input(command, "")
    }

    /// Runs a command to its end, with this on its stdin. One that goes on for too long is killed: its code is -1.
    pub fn with_input(command: &mut Command, input: &str) -> Output {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command must start");
        // A command that reads nothing may have closed it already.
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        let id = child.id();
        let (ended, watched) = mpsc::channel::<()>();
        let watch = std::thread::spawn(move || {
            if watched.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                signal(id, "KILL");
            }
        });
        let output = child.wait_with_output().expect("a child can be waited for");
        drop(ended);
        watch.join().expect("the watch has ended");
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("stdout in UTF-8"),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A running server. Its stderr is a file; its stdout is read line by line.
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
        let pipe = BufReader::new(child.stdout.take().expect("it is piped"));
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

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line on stdout; `None` when there will be none.
    pub fn line(&self, patience: Duration) -> Option<String> {
        match self.stdout.recv_timeout(patience) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("nothing on stdout; stderr: {}", self.stderr()),
        }
    }

    /// Everything logged so far.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end.
    pub async fn wait(&mut self, patience: Duration) -> ExitStatus {
        let ended = tokio::time::timeout(patience, async {
            loop {
                if let Some(status) = self.ended() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        match ended.await {
            Ok(status) => status,
            Err(_) => panic!("still running after {patience:?}; stderr: {}", self.stderr()),
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().expect("a child can be waited for");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process that the test started.
pub fn signal(id: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), id.to_string()]).status();
    assert!(sent.expect("kill").success(), "signal {name} to {id}");
}
