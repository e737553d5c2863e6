//! Connections beneath HTTP: each phase of one has a deadline, and offers to upgrade are removed from requests.
//!
//! A listener with TLS also serves HTTP/2, with `hyper`: `actix-http` neither bounds the requests of such a connection nor ends it when
//! the server stops.
//!
//! `actix-http` bounds the first head of a connection and its idle time. It bounds neither later heads, nor the rest of a body that
//! no handler reads, nor a client that does not read. So this module serves `actix-http` on a stream of its own:
//!
//! - [`framing`]: follows where requests begin and end in the bytes that were read.
//! - [`socket`]: a socket with or without TLS.
//! - [`stream`]: the bytes beneath HTTP; reports to [`watch`] what it reads and writes.
//! - [`pipeline`]: how far requests are read ahead.
//! - [`watch`]: the phase of a connection and its deadline; which connection gives way when there are too many.
//! - [`http2`]: HTTP/2, and [`requests`], which reports its requests in flight to [`watch`].
//! - [`tls`]: the handshake.
//! - [`serve`]: the server over all of it.

pub mod framing;
pub mod http2;
pub mod pipeline;
pub mod requests;
pub mod serve;
pub mod socket;
pub mod stream;
pub mod tls;
pub mod watch;

use std::time::Duration;

use oauth2_actors::metrics::Label;
use strum::{IntoStaticStr, VariantArray};

/// How long the head of a request may take. `actix-http` answers a first head that takes longer with 408.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// Added to [`HEAD_DEADLINE`], so that the 408 is sent first.
const HEAD_GRACE: Duration = Duration::from_secs(1);

/// How long a body may take after its head, whether a handler reads it or not. Longer than handlers wait, so that their 408 is sent
/// first.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// How long a written response may wait until the client reads any of it.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// How long it may wait until the client reads all of it.
const WRITE_LIMIT: Duration = Duration::from_mins(1);

/// Why the server closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Closed {
    /// A head did not end.
    Head,
    /// A body did not end, before or after the response.
    Body,
    /// The client did not read.
    Write,
    /// The TLS handshake failed or did not end.
    Handshake,
    /// The client cancelled too many requests.
    Cancelled,
    /// No request came.
    Idle,
    /// There were too many connections, and no other was idle or waiting for its client for longer.
    Evicted,
}

impl Label for Closed {
    fn values() -> impl Iterator<Item = &'static str> {
        Self::VARIANTS.iter().map(Into::into)
    }

    fn index(self) -> usize {
        self as usize
    }
}
