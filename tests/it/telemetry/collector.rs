//! Collectors: a real one (`tests/outside/otlp_receiver.py`), and one that accepts connections and never answers.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oauth2_testkit::{ports, until};
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// What a collector received.
#[derive(Debug, Default)]
pub struct Received {
    pub spans: Vec<Span>,
    pub logs: Vec<Log>,
    /// Names of metrics.
    pub metrics: Vec<String>,
    /// Everything, as it was printed.
    pub text: String,
}

#[derive(Debug)]
pub struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    pub parent: String,
    /// Nanoseconds.
    pub start: u64,
    pub end: u64,
    attributes: BTreeMap<String, String>,
    /// Ids of linked spans.
    pub links: Vec<String>,
}

#[derive(Debug)]
pub struct Log {
    pub body: String,
    pub trace: String,
    pub span: String,
    pub text: String,
}

impl Span {
    fn new(item: &Value) -> Span {
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let attribute = |pair: &Value| {
            let value = pair["value"].as_object()?.values().next()?;
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Some((pair["key"].as_str()?.to_owned(), value))
        };
        let list = |name: &str| item[name].as_array().cloned().unwrap_or_default();
        Span {
            name: text("name"),
            trace: text("traceId"),
            id: text("spanId"),
            parent: text("parentSpanId"),
            start: text("startTimeUnixNano").parse().unwrap(),
            end: text("endTimeUnixNano").parse().unwrap(),
            attributes: list("attributes").iter().filter_map(attribute).collect(),
            links: list("links")
                .iter()
                .map(|link| link["spanId"].as_str().unwrap().to_owned())
                .collect(),
        }
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// A real collector. It ends when this is dropped.
pub struct Collector {
    /// Where it receives.
    pub url: String,
    child: Child,
    output: PathBuf,
    _directory: TempDir,
}

impl Collector {
    /// One that receives over HTTP.
    pub fn http() -> Collector {
        let port = ports::free();
        Self::start(&[("--http", port)], port)
    }

    /// One that receives over gRPC.
    pub fn grpc() -> Collector {
        let port = ports::free();
        Self::start(
            &[("--http", ports::free()), ("--grpc", port), ("--unused", ports::free())],
            port,
        )
    }

    fn start(arguments: &[(&str, u16)], port: u16) -> Collector {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python =
            std::env::var_os("OUTSIDE_PYTHON").map_or_else(|| root.join("target/outside/bin/python"), Into::into);
        assert!(python.exists(), "{} is made by `make setup`", python.display());
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("received");
        let arguments = arguments
            .iter()
            .flat_map(|(name, port)| [(*name).to_owned(), port.to_string()]);
        let child = Command::new(python)
            .arg(root.join("tests/outside/otlp_receiver.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(File::create(&output).unwrap())
            .spawn()
            .expect("the collector must start");
        Collector {
            url: format!("http://127.0.0.1:{port}"),
            child,
            output,
            _directory: directory,
        }
    }

    /// What was received so far. A line that is not complete yet is left out.
    pub fn received(&self) -> Received {
        let text = std::fs::read_to_string(&self.output).unwrap();
        let mut received = Received::default();
        let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
        for line in complete.lines().filter(|line| line.starts_with('{')) {
            let item: Value = serde_json::from_str(line).unwrap();
            if item["kind"].is_number() {
                received.spans.push(Span::new(&item));
            } else if item["body"].is_object() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                received.logs.push(Log {
                    body: text(&item["body"]["stringValue"]),
                    trace: text(&item["traceId"]),
                    span: text(&item["spanId"]),
                    text: line.to_owned(),
                });
            } else {
                received.metrics.push(item["name"].as_str().unwrap().to_owned());
            }
        }
        received.text = text;
        received
    }

    /// Waits until what was received is enough.
    pub async fn until(&self, enough: impl Fn(&Received) -> bool) -> Received {
        until(PATIENCE, "telemetry arrives", async || enough(&self.received())).await;
        self.received()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // The end of its input ends it and its children.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Accepts every connection and answers nothing.
pub struct StallingCollector {
    pub url: String,
}

impl StallingCollector {
    /// Runs until the end of the test.
    pub fn start() -> StallingCollector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut held: Vec<TcpStream> = Vec::new();
            held.extend(listener.incoming().flatten());
        });
        StallingCollector { url }
    }
}
