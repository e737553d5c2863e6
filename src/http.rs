//! HTTP: parses requests, calls a service, renders the answer. No rule is decided here.
//!
//! - [`oauth`], [`wellknown`], [`ops`], [`admin`]: the endpoints by surface; each module lists its URLs.
//! - [`routes`]: the listeners, and the table of all endpoints. [`endpoint`]: how a surface declares its endpoints.
//! - [`connection`]: connections beneath HTTP, and their deadlines.
//! - [`hosts`], [`prefix`]: which hosts and paths are this server's. [`cors`], [`compression`]: what browsers and scrapers ask for.
//! - [`middleware`]: what every request passes. [`metrics`]: what it counts.
//! - [`error`]: the table from errors to statuses; [`reason`]: the closed sets of error reasons.
//! - [`extract`], [`client_address`], [`response`]: what handlers share.
//! - [`api_document`]: the `OpenAPI` document; [`error_responses`]: its error responses.

use std::time::{Duration, Instant};

pub mod admin;
pub mod api_document;
pub mod client_address;
pub mod client_certificates;
pub mod compression;
pub mod conditions;
pub mod connection;
pub mod cors;
pub mod endpoint;
pub mod error;
pub mod error_responses;
pub mod extract;
pub mod hosts;
pub mod metrics;
pub mod middleware;
pub mod oauth;
pub mod ops;
pub mod prefix;
pub mod reason;
pub mod request_span;
pub mod response;
pub mod routes;
pub mod wellknown;

/// How long a token, introspection or revocation request may take after its body was read.
const DEADLINE: Duration = Duration::from_secs(1);

/// How long an administrative request may take after its body was read.
const ADMIN_DEADLINE: Duration = Duration::from_secs(5);

/// The deadline of a token, introspection or revocation request whose body was just read.
pub fn deadline() -> Instant {
    Instant::now() + DEADLINE
}

/// The deadline of an administrative request whose body was just read.
pub fn admin_deadline() -> Instant {
    Instant::now() + ADMIN_DEADLINE
}
