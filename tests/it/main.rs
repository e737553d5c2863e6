//! Black box: the real binary over HTTP, each case on `SQLite` and on Postgres.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use oauth2_testkit::{Kind, Server, Setup};

/// Each of these on Postgres and on `SQLite`.
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
mod audit;
mod bulk;
mod canary;
mod claims;
mod cli;
mod client_auth;
mod config;
mod crash;
mod discovery;
mod first_run;
mod inspect;
mod introspect;
mod keys;
mod limits;
mod loadtest;
mod openapi;
mod operations;
mod outage;
mod outside;
mod policy;
mod proof;
mod properties;
mod provisioning;
mod quotas;
mod revoke;
mod shutdown;
mod token;

const BINARY: &str = env!("CARGO_BIN_EXE_oauth2_server");

/// An empty store and an environment for a server.
async fn setup(kind: Kind) -> Setup {
    Setup::new(BINARY, kind).await
}

/// A server on an empty store, ready.
async fn start(kind: Kind) -> Server {
    Server::start(setup(kind).await).await
}
