//! What the tests stand on: a private Postgres, and the server as a process of its own, asked over HTTP.
//!
//! Everything here panics when it cannot do what it says: that is how a test fails.

pub mod authority;
mod credentials;
pub mod pgbouncer;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod server;

pub use credentials::Credentials;
pub use pgbouncer::Pgbouncer;
pub use postgres::Postgres;
pub use process::{Output, Process};
pub use server::{Server, Setup};

/// Which store a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}
