//! Starts a peer, and runs `loadtest/peers/compare` against it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use super::harness::{LoadtestHarness, k6};
use crate::BINARY;

pub(crate) const CLIENT: &str = "compared";
pub(crate) const SECRET: &str = "a-secret-of-the-compared-client-0123456789";

/// node-oidc-provider, by `tests/peers/server.mjs`. It stops when dropped.
pub(crate) struct Peer {
    process: Child,
    _input: ChildStdin,
    pub(crate) url: String,
}

impl Peer {
    /// `tokens`: `opaque` or `jwt`.
    pub(crate) fn start(tokens: &str) -> Peer {
        Self::with(tokens, &[])
    }

    pub(super) fn with(tokens: &str, environment: &[(&str, &str)]) -> Peer {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let packages = root.join("target/peers");
        let node = packages.join("node");
        assert!(node.exists(), "{} must be installed: make setup", node.display());
        let mut process = Command::new(node)
            .arg(root.join("tests/peers/server.mjs"))
            .env_clear()
            .env("NODE_ENV", "production")
            .env("PACKAGES", packages)
            .env("CLIENT_ID", CLIENT)
            .env("CLIENT_SECRET", SECRET)
            .env("TOKENS", tokens)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let mut url = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        assert!(
            url.starts_with("http://127.0.0.1:"),
            "the peer does not print its URL: {url:?}"
        );
        Peer {
            process,
            _input: input,
            url,
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(super) fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("loadtest/peers")
}

/// `compare` with exactly these environment variables and the ones that it always needs.
pub(super) fn compare(harness: &LoadtestHarness, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(peers().join("compare"));
    command
        .args(arguments)
        .current_dir(harness.path("."))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", harness.path("."))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("K6", k6())
        .env("SERVER_BINARY", BINARY)
        .envs(environment.iter().copied());
    command
}

/// `compare` with short rounds, and the report in the harness' results.
pub(super) fn short(harness: &LoadtestHarness, adapter: &str, rounds: &str, environment: &[(&str, &str)]) -> Command {
    let arguments = [
        adapter,
        "--rounds",
        rounds,
        "--seconds",
        "1",
        "--warm-up",
        "1",
        "--rate",
        "20",
    ];
    let mut command = compare(harness, &arguments, environment);
    command.arg("--results").arg(harness.results());
    command.arg("--dir").arg(harness.path("tmp"));
    command
}

pub(super) fn report(harness: &LoadtestHarness) -> Value {
    let text = std::fs::read_to_string(harness.results().join("summary.json")).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The environment variables of the node-oidc-provider adapters.
pub(super) fn environment_of(peer: &Peer) -> [(&'static str, &str); 3] {
    [
        ("PEER_URL", &peer.url),
        ("PEER_CLIENT_ID", CLIENT),
        ("PEER_CLIENT_SECRET", SECRET),
    ]
}

/// A copy of an adapter with one part replaced.
pub(super) fn adapter_with(harness: &LoadtestHarness, name: &str, part: &str, replacement: &str) -> String {
    let text = std::fs::read_to_string(peers().join(format!("adapters/{name}.toml"))).unwrap();
    assert!(text.contains(part), "{name} has no {part}");
    let file = harness.path("adapter.toml");
    std::fs::write(&file, text.replacen(part, replacement, 1)).unwrap();
    file.to_str().unwrap().to_owned()
}

/// All output and result files of a run, which must not contain secrets.
pub(super) fn all_output(harness: &LoadtestHarness, stdout: &str, stderr: &str) -> String {
    let mut all = format!("{stdout}{stderr}");
    for file in ["summary.md", "summary.json"] {
        all += &std::fs::read_to_string(harness.results().join(file)).unwrap_or_default();
    }
    all
}
