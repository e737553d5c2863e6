//! Black-box tests: the real binary over HTTP and on the command line, each case on `SQLite` and on Postgres.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::sync::atomic::{AtomicU32, Ordering};

use oauth2_testkit::{DedicatedServer, Kind, Server, Setup};

/// Declares each function as a test on `SQLite` and as a test on Postgres.
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(oauth2_testkit::Kind::Sqlite).await })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(oauth2_testkit::Kind::Postgres).await })+
        }
    };
}

mod admin;
mod apply;
mod audit;
mod backup;
mod bulk;
mod bulk_tokens;
mod canary;
mod claims;
mod cli;
mod client_auth;
mod client_fields;
mod client_ids;
mod clock;
mod config;
mod connections;
mod crash;
mod current_rights;
mod discovery;
mod fallback;
mod first_run;
mod foreign_hashes;
mod groups;
mod holder;
mod hostile_text;
mod http_cli_parity;
mod http_habits;
mod inspect;
mod introspect;
mod keys;
mod limits;
mod loadtest;
mod metrics;
mod migration;
mod name_servers;
mod nodes;
mod openapi;
mod operations;
mod outage;
mod outside;
mod pipelining;
mod policy;
mod properties;
mod quotas;
mod restore;
mod restore_epoch;
mod revoke;
mod rotation;
mod shutdown;
mod signals;
mod starts;
mod strict_json;
mod telemetry;
mod tls;
mod token;
mod token_verification;
mod write_failure;

const BINARY: &str = env!("CARGO_BIN_EXE_oauth2_server");

/// An empty store, and the environment of a server.
async fn setup(kind: Kind) -> Setup {
    Setup::new(BINARY, kind).await
}

/// Starts a server on an empty store. For tests that restart or reconfigure it, or change or count what other tests see.
async fn start(kind: Kind) -> DedicatedServer {
    DedicatedServer::start(setup(kind).await).await
}

/// The server that the tests of a store share; see [`Server::shared`].
async fn shared(kind: Kind) -> Server {
    Server::shared(BINARY, kind).await
}

/// A client id that no other test uses.
fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
