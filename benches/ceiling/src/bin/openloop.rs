//! An open-loop HTTP client: it sends requests at a constant rate, whether or not earlier ones were answered, and measures
//! latency from the time at which a request was due. A stalled server is charged for every request that was due meanwhile
//! (no coordinated omission).
//!
//! With `--closed` each connection sends the next request when the previous one is answered. With `--collect` the access tokens
//! of the responses are written to a file. Prints one line of JSON.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::event::{Timespec, epoll};
use serde_json::json;

/// Sends HTTP requests to a server on loopback at a constant rate.
#[derive(Parser)]
struct Flags {
    /// Connect to this port of 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// Send requests to this path.
    #[arg(long)]
    path: String,
    /// Set the value of the Authorization header.
    #[arg(long)]
    authorization: String,
    /// Send this form.
    #[arg(long, required_unless_present = "tokens")]
    body: Option<String>,
    /// Send a form with the next token of this file, one per line, in each request.
    #[arg(long, conflicts_with = "body")]
    tokens: Option<PathBuf>,
    /// Open this many connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Run for this many seconds.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Exclude this many seconds at the beginning from the results.
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Send this many requests per second.
    #[arg(long, required_unless_present = "closed")]
    rate: Option<f64>,
    /// Send the next request on a connection when the previous one is answered, instead of at a rate.
    #[arg(long)]
    closed: bool,
    /// Write the access tokens to this file, one per line.
    #[arg(long)]
    collect: Option<PathBuf>,
    /// Stop after this many responses.
    #[arg(long, default_value_t = u64::MAX)]
    count: u64,
}

struct Connection {
    stream: TcpStream,
    /// The bytes of the response that were read so far.
    response: Vec<u8>,
    /// When the current request was due.
    due: Instant,
}

#[derive(Default)]
struct Results {
    latencies_us: Vec<u32>,
    answered: u64,
    not_ok: u64,
}

struct Client {
    flags: Flags,
    /// Sent in turn.
    requests: Vec<Vec<u8>>,
    sent: usize,
    poll: std::os::fd::OwnedFd,
    connections: Vec<Connection>,
    /// Indices of idle connections.
    free: VecDeque<usize>,
    /// Requests that are due while every connection is busy.
    waiting: VecDeque<Instant>,
    count_from: Instant,
    results: Results,
    tokens: Option<BufWriter<File>>,
}

impl Client {
    fn new(flags: Flags) -> io::Result<Self> {
        // The default timer slack delays wake-ups by up to 50 us.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        let request = |body: &str| {
            let head = format!(
                "POST {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: {}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
                flags.path,
                flags.port,
                flags.authorization,
                body.len()
            );
            [head.as_bytes(), body.as_bytes()].concat()
        };
        let requests: Vec<_> = match &flags.tokens {
            Some(path) => {
                let tokens = std::fs::read_to_string(path)?;
                tokens.lines().map(|token| request(&format!("token={token}"))).collect()
            }
            None => vec![request(flags.body.as_deref().unwrap_or_default())],
        };
        if requests.is_empty() {
            return Err(io::Error::other("the file of --tokens is empty"));
        }
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for index in 0..flags.connections {
            let stream = TcpStream::connect(("127.0.0.1", flags.port))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(
                &poll,
                &stream,
                epoll::EventData::new_u64(index as u64),
                epoll::EventFlags::IN,
            )?;
            connections.push(Connection {
                stream,
                response: Vec::with_capacity(4096),
                due: Instant::now(),
            });
        }
        let tokens = flags.collect.as_ref().map(File::create).transpose()?;
        Ok(Self {
            requests,
            sent: 0,
            poll,
            free: (0..connections.len()).collect(),
            connections,
            waiting: VecDeque::new(),
            count_from: Instant::now() + Duration::from_secs_f64(flags.warmup),
            results: Results::default(),
            tokens: tokens.map(BufWriter::new),
            flags,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(self.flags.seconds);
        let gap = self.flags.rate.map(|rate| 1.0 / rate);
        let mut sent = 0_u64;
        let due_at = |sent: u64| gap.map(|gap| start + Duration::from_secs_f64(gap * sent as f64));
        let mut events = Vec::with_capacity(256);
        if self.flags.closed {
            while let Some(index) = self.free.pop_front() {
                self.send(index, Instant::now())?;
            }
        }
        loop {
            let now = Instant::now();
            if now >= end || self.results.answered >= self.flags.count {
                return Ok(());
            }
            let mut next = end;
            if !self.flags.closed {
                while let Some(due) = due_at(sent) {
                    if due > now {
                        next = next.min(due);
                        break;
                    }
                    sent += 1;
                    match self.free.pop_front() {
                        Some(index) => self.send(index, due)?,
                        None => self.waiting.push_back(due),
                    }
                }
            }
            let pause = next.saturating_duration_since(Instant::now());
            let pause = Timespec {
                tv_sec: pause.as_secs() as i64,
                tv_nsec: i64::from(pause.subsec_nanos()),
            };
            events.clear();
            match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&pause)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                self.readable(event.data.u64() as usize)?;
            }
        }
    }

    fn send(&mut self, index: usize, due: Instant) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.due = due;
        // Does not block: the socket's buffer is empty and far larger than a request.
        let request = &self.requests[self.sent % self.requests.len()];
        self.sent += 1;
        connection.stream.write_all(request)
    }

    fn readable(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let mut chunk = [0; 8192];
        match connection.stream.read(&mut chunk) {
            Ok(0) => return Err(io::Error::other("the server closed a connection")),
            Ok(read) => connection.response.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let Some((ok, body)) = parse_response(&connection.response) else {
            return Ok(());
        };
        let now = Instant::now();
        self.results.answered += 1;
        self.results.not_ok += u64::from(!ok);
        if let (true, Some(tokens)) = (ok, self.tokens.as_mut()) {
            let token = access_token(body).ok_or_else(|| io::Error::other("a response has no access token"))?;
            tokens.write_all(token)?;
            tokens.write_all(b"\n")?;
        }
        if connection.due >= self.count_from {
            let waited = now.saturating_duration_since(connection.due);
            self.results.latencies_us.push(waited.as_micros() as u32);
        }
        connection.response.clear();
        match self.waiting.pop_front() {
            Some(due) => self.send(index, due),
            None if self.flags.closed => self.send(index, Instant::now()),
            None => {
                self.free.push_back(index);
                Ok(())
            }
        }
    }

    /// The results as JSON. Unanswered requests count with the latency so far.
    fn report(mut self) -> io::Result<String> {
        if let Some(mut tokens) = self.tokens.take() {
            tokens.flush()?;
        }
        let now = Instant::now();
        let mut unanswered = 0;
        if !self.flags.closed {
            let busy = (0..self.connections.len()).filter(|index| !self.free.contains(index));
            let due = busy
                .map(|index| self.connections[index].due)
                .chain(self.waiting.iter().copied());
            for due in due.filter(|due| *due >= self.count_from) {
                unanswered += 1;
                let waited = now.saturating_duration_since(due);
                self.results.latencies_us.push(waited.as_micros() as u32);
            }
        }
        let seconds = now.saturating_duration_since(self.count_from).as_secs_f64();
        let latencies = &mut self.results.latencies_us;
        latencies.sort_unstable();
        let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied();
        Ok(json!({
            "answered": self.results.answered,
            "not_ok": self.results.not_ok,
            "unanswered": unanswered,
            "rate": latencies.len() as f64 / seconds,
            "p50_us": at(0.50),
            "p95_us": at(0.95),
            "p99_us": at(0.99),
            "p999_us": at(0.999),
            "max_us": latencies.last(),
        })
        .to_string())
    }
}

/// Parses a complete response: whether its status is 2xx, and its body. `None` if bytes are missing or there is no
/// Content-Length, which all measured responses have.
fn parse_response(response: &[u8]) -> Option<(bool, &[u8])> {
    let head = response.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = str::from_utf8(&response[..head]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let body = response.get(head..head + length?)?;
    Some((text.as_bytes().get(9) == Some(&b'2'), body))
}

fn access_token(body: &[u8]) -> Option<&[u8]> {
    let marker = br#""access_token":""#;
    let from = body.windows(marker.len()).position(|window| window == marker)? + marker.len();
    let length = body[from..].iter().position(|byte| *byte == b'"')?;
    Some(&body[from..from + length])
}

fn main() -> ExitCode {
    let report = Client::new(Flags::parse()).and_then(|mut client| {
        client.run()?;
        client.report()
    });
    let written = report.and_then(|report| writeln!(io::stdout(), "{report}"));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
