//! A peer to compare with, and the comparison as a command.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use super::desk::{Desk, k6};
use crate::BINARY;

pub(super) const CLIENT: &str = "compared";
pub(super) const SECRET: &str = "a-secret-of-the-compared-client-0123456789";

/// node-oidc-provider, `tests/peers/server.mjs`. It ends with its standard input.
pub(super) struct Peer {
    process: Child,
    _input: ChildStdin,
    pub(super) url: String,
}

impl Peer {
    /// With tokens that are `opaque` or `jwt`.
    pub(super) fn start(tokens: &str) -> Peer {
        Self::with(tokens, &[])
    }

    pub(super) fn with(tokens: &str, environment: &[(&str, &str)]) -> Peer {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let packages = root.join("target/peers");
        let node = packages.join("node");
        assert!(node.exists(), "{} is made by `make setup`", node.display());
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
        assert!(url.starts_with("http://127.0.0.1:"), "it does not listen: {url:?}");
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

/// The comparison in this environment and no other.
pub(super) fn compare(desk: &Desk, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(peers().join("compare"));
    command
        .args(arguments)
        .current_dir(desk.path("."))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", desk.path("."))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("K6", k6())
        .env("SERVER_BINARY", BINARY)
        .envs(environment.iter().copied());
    command
}

/// So many short rounds, with the report in the desk's results.
pub(super) fn short(desk: &Desk, adapter: &str, rounds: &str, environment: &[(&str, &str)]) -> Command {
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
    let mut command = compare(desk, &arguments, environment);
    command.arg("--results").arg(desk.results());
    command.arg("--dir").arg(desk.path("tmp"));
    command
}

pub(super) fn report(desk: &Desk) -> Value {
    let text = std::fs::read_to_string(desk.results().join("summary.json")).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(super) fn known(peer: &Peer) -> [(&'static str, &str); 3] {
    [
        ("PEER_URL", &peer.url),
        ("PEER_CLIENT_ID", CLIENT),
        ("PEER_CLIENT_SECRET", SECRET),
    ]
}

/// An adapter like one that is there, with a part of it replaced.
pub(super) fn adapter_with(desk: &Desk, name: &str, part: &str, by: &str) -> String {
    let text = std::fs::read_to_string(peers().join(format!("adapters/{name}.toml"))).unwrap();
    assert!(text.contains(part), "{name} has no {part}");
    let file = desk.path("adapter.toml");
    std::fs::write(&file, text.replacen(part, by, 1)).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Everything that a run told and left, where no secret may be.
pub(super) fn told(desk: &Desk, output: &str, stderr: &str) -> String {
    let mut all = format!("{output}{stderr}");
    for file in ["summary.md", "summary.json"] {
        all += &std::fs::read_to_string(desk.results().join(file)).unwrap_or_default();
    }
    all
}
