//! A private Redis with its own directory and port. It stops with the test process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ports;
use crate::process::{pause, signal};

/// How long a server may take to start.
const START: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Redis {
    binary: PathBuf,
    directory: tempfile::TempDir,
    port: u16,
    cluster_port: u16,
    options: Vec<String>,
    /// A shell that stops the server when its own stdin closes, at the latest when the test process ends.
    shell: Option<Child>,
}

impl Redis {
    /// Starts a server with these options, as on the command line of `redis-server`.
    pub fn start(options: &[&str]) -> Redis {
        let directory = tempfile::Builder::new().prefix("oauth2-redis-").tempdir();
        let mut redis = Redis {
            binary: PathBuf::from("redis-server"),
            directory: directory.expect("a temporary directory"),
            port: ports::free(),
            cluster_port: ports::free(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            shell: None,
        };
        redis.resume();
        redis
    }

    /// Starts a server of this program, which may be of another version.
    pub fn of_binary(binary: &Path, options: &[&str]) -> Redis {
        let mut redis = Self::start(options);
        redis.stop();
        binary.clone_into(&mut redis.binary);
        redis.resume();
        redis
    }

    /// Starts a server with these lines in its configuration file.
    pub fn with_settings(settings: &str) -> Redis {
        let mut redis = Self::start(&[]);
        redis.stop();
        redis.options = vec![redis.write_file("redis.conf", settings), "--save ''".to_owned()];
        redis.resume();
        redis
    }

    /// Starts a Sentinel that watches a primary under this name, and replaces it soon after it stops.
    pub fn sentinel(name: &str, primary: u16) -> Redis {
        Self::sentinel_with(name, primary, "")
    }

    /// As [`Self::sentinel`], with more lines in its configuration file.
    pub fn sentinel_with(name: &str, primary: u16, more: &str) -> Redis {
        let directory = tempfile::Builder::new().prefix("oauth2-sentinel-").tempdir();
        let directory = directory.expect("a temporary directory");
        let file = directory.path().join("sentinel.conf");
        let settings = format!(
            "sentinel monitor {name} 127.0.0.1 {primary} 1\nsentinel down-after-milliseconds {name} 500\n\
             sentinel failover-timeout {name} 3000\n{more}"
        );
        std::fs::write(&file, settings).expect("a file");
        let mut sentinel = Redis {
            binary: PathBuf::from("redis-server"),
            directory,
            port: ports::free(),
            cluster_port: ports::free(),
            options: vec![file.display().to_string(), "--sentinel".to_owned()],
            shell: None,
        };
        sentinel.resume();
        sentinel
    }

    /// The port that other servers of a cluster reach it on.
    pub fn cluster_port(&self) -> u16 {
        self.cluster_port
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL without user and password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A file in its directory.
    pub fn write_file(&self, name: &str, content: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path.display().to_string()
    }

    /// Stops the server at once; it keeps nothing.
    pub fn stop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }

    /// Starts it again on the same port.
    pub fn resume(&mut self) {
        let directory = self.directory.path().display();
        // A configuration file comes first, and the kind of server last.
        let (file, kind) = match self.options.as_slice() {
            [file, kind] if file.ends_with(".conf") => (format!("'{file}'"), kind.as_str()),
            _ => (String::new(), "--save '' --appendonly no"),
        };
        let options = if file.is_empty() { &self.options[..] } else { &[] };
        let is_cluster = options.iter().any(|option| option == "--cluster-enabled");
        let cluster = if is_cluster {
            format!("--cluster-port {}", self.cluster_port)
        } else {
            String::new()
        };
        let script = format!(
            "exec 3<&0; '{binary}' {file} --port {port} --bind 127.0.0.1 --dir '{directory}' --logfile '{directory}/log' {cluster} \
             {kind} \"$@\" </dev/null & server=$!; echo $server >'{directory}/process'; \
             exec 2>/dev/null; read -r _ <&3; kill -KILL $server 2>/dev/null; wait $server 2>/dev/null",
            binary = self.binary.display(),
            port = self.port,
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "redis"]).args(options).stdin(Stdio::piped());
        self.shell = Some(shell.spawn().expect("sh"));
        let deadline = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "redis-server must be installed (make setup) and start: {log}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops the process without ending it, as a machine that hangs.
    pub fn pause(&self) {
        pause(self.process());
    }

    /// Lets it go on.
    pub fn unpause(&self) {
        signal(self.process(), "CONT");
    }

    fn process(&self) -> u32 {
        let file = std::fs::read_to_string(self.directory.path().join("process"));
        file.expect("the process id").trim().parse().expect("a number")
    }

    /// Records every command that the server executes from now on, until the returned function is called: it returns them.
    pub fn record(&self) -> impl FnOnce() -> String + use<> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        stream.write_all(b"MONITOR\r\n").expect("a request");
        let reader = stream.try_clone().expect("a second handle");
        let mut reader = BufReader::new(reader);
        reader.read_line(&mut String::new()).expect("a response");
        let reading = std::thread::spawn(move || {
            let mut text = Vec::new();
            // Ends when the other handle shuts the connection down.
            let _ = reader.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        move || {
            stream.shutdown(Shutdown::Both).expect("a connection");
            reading.join().expect("the commands")
        }
    }

    /// Sends a command to a server without TLS and password. The values of the response, one a line; an error begins with `-`.
    pub fn command(&self, words: &[&str]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        stream.write_all(request.as_bytes()).expect("a request");
        let mut values = Vec::new();
        read_response(&mut BufReader::new(stream), &mut values);
        values.join("\n")
    }
}

/// Reads a response of RESP 2, its nested values in order.
fn read_response(reader: &mut impl BufRead, values: &mut Vec<String>) {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a response");
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).expect("a type");
    match kind {
        "*" => (0..rest.parse().unwrap_or(0)).for_each(|_: usize| read_response(reader, values)),
        "$" => {
            let length: usize = rest.parse().unwrap_or(0);
            let mut text = vec![0; length + 2];
            reader.read_exact(&mut text).expect("a text");
            values.push(String::from_utf8_lossy(&text[..length]).into_owned());
        }
        "-" => values.push(line.to_owned()),
        _ => values.push(rest.to_owned()),
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
