//! Test support: a private Postgres, and the server as a child process that tests call over HTTP.
//!
//! Functions panic instead of returning errors, so that the test fails.

pub mod authority;
mod client_tls;
mod credentials;
pub mod fake_time;
mod kind;
mod link;
pub mod pgbouncer;
pub mod ports;
pub mod postgres;
pub mod process;
mod redis;
pub mod server;
mod setup;
mod shared;
mod tls;
mod tmpfs;
mod until;

pub use client_tls::ClientTls;
pub use credentials::Credentials;
pub use fake_time::FakeTime;
pub use kind::Kind;
pub use link::{Condition, Link};
pub use pgbouncer::Pgbouncer;
pub use postgres::Postgres;
pub use process::{Output, Process};
pub use redis::Redis;
pub use server::{DedicatedServer, Server};
pub use setup::Setup;
pub use tmpfs::Tmpfs;
pub use until::until;
