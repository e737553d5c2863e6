//! The metrics of requests: bound to the table of endpoints and the closed sets of reasons before the first request, so that a
//! request costs a few atomic additions and never makes a series.

use std::sync::Arc;
use std::time::Duration;

use oauth2_actors::metrics::{ByLabel, Exporter, SECONDS, bind};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram};

use super::client_address::Ignored;
use super::connection::Closed;
use super::endpoint::{Endpoint, Listener};
use super::reason::{ErrorReason, RejectReason, ShedReason};

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The metrics of requests.
#[derive(Debug)]
pub struct HttpMetrics {
    /// By the endpoint's position in the table.
    endpoints: Vec<EndpointMetrics>,
    /// Headers that name a client's address and were not believed.
    pub ignored_proxy_headers: ByLabel<Ignored>,
    public_connections: Arc<ByLabel<Closed>>,
    management_connections: Arc<ByLabel<Closed>>,
}

#[derive(Debug)]
struct EndpointMetrics {
    requests: [BoundCounter<u64>; CLASSES.len()],
    duration: BoundHistogram<f64>,
    rejects: ByLabel<RejectReason>,
    sheds: ByLabel<ShedReason>,
}

impl HttpMetrics {
    /// The metrics of these endpoints.
    pub fn new<'a>(exporter: &Exporter, endpoints: impl Iterator<Item = &'a Endpoint>) -> Self {
        let meter = exporter.meter();
        let counter = |name, help| meter.u64_counter(name).with_description(help).build();
        let requests = counter("http_requests", "Responses, by class of status");
        let rejects = counter("reject", "Requests rejected for what they asked, by reason");
        let sheds = counter(
            "shed",
            "Requests shed or failed because of the server's state, by reason",
        );
        let duration = meter
            .f64_histogram("http_request_duration_seconds")
            .with_description("Time from the head of a request to its response")
            .with_boundaries(SECONDS.to_vec())
            .build();
        let metrics = |endpoint: &Endpoint| {
            let (method, route) = (endpoint.method, endpoint.path);
            EndpointMetrics {
                requests: CLASSES
                    .map(|class| bind(&requests, &[("method", method), ("route", route), ("status", class)])),
                duration: duration.bind(&[KeyValue::new("method", method), KeyValue::new("route", route)]),
                rejects: ByLabel::new(&rejects, "reason", &[("endpoint", route)]),
                sheds: ByLabel::new(&sheds, "reason", &[("endpoint", route)]),
            }
        };
        let ignored = counter(
            "proxy_header_ignored",
            "Failed authentications whose header that names the client's address was not believed, by reason",
        );
        let closed = counter(
            "connections_closed",
            "Connections closed by a deadline, or for another connection, by reason",
        );
        let closed = |listener| Arc::new(ByLabel::new(&closed, "reason", &[("listener", listener)]));
        Self {
            endpoints: endpoints.map(metrics).collect(),
            ignored_proxy_headers: ByLabel::new(&ignored, "reason", &[]),
            public_connections: closed("public"),
            management_connections: closed("management"),
        }
    }

    /// The counters of connections of a listener that were closed by a deadline.
    pub fn closed_connections(&self, listener: Listener) -> Arc<ByLabel<Closed>> {
        Arc::clone(match listener {
            Listener::Management => &self.management_connections,
            Listener::Public | Listener::Both => &self.public_connections,
        })
    }

    /// Counts a response. `class` is the first digit of its status.
    pub fn response(&self, endpoint: usize, class: usize, elapsed: Duration) {
        let endpoint = &self.endpoints[endpoint];
        endpoint.requests[class.clamp(1, CLASSES.len()) - 1].add(1);
        endpoint.duration.record(elapsed.as_secs_f64());
    }

    /// Counts why a request failed.
    pub fn error(&self, endpoint: usize, reason: ErrorReason) {
        match reason {
            ErrorReason::Rejected(reason) => self.endpoints[endpoint].rejects.of(reason).add(1),
            ErrorReason::Shed(reason) => self.endpoints[endpoint].sheds.of(reason).add(1),
        }
    }
}
