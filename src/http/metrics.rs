//! The metrics of requests: bound to the table of endpoints and the closed sets of reasons, so that a request costs a few atomic additions.
//!
//! No request can create a series, but the first one of a route of the admin API: there are many, most nodes use few of them, and an
//! alert on any of them looks at all together.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use oauth2_actors::metrics::{ByLabel, Exporter, bind};
use opentelemetry::metrics::{BoundCounter, Counter};

use super::client_address::Ignored;
use super::connection::Closed;
use super::endpoint::{Endpoint, Group, Listener};
use super::reason::{ErrorReason, RejectReason, ShedReason};

mod durations;
mod pairs;
pub mod table;

use durations::Durations;
use pairs::Pairs;
use table::{CLASSES, DEADLINE_GROUPS, LISTENERS};

/// The metrics of requests.
#[derive(Debug)]
pub struct HttpMetrics {
    endpoints: &'static [&'static Endpoint],
    requests: Counter<u64>,
    /// By the endpoint's position in the table.
    by_status: Vec<OnceLock<[BoundCounter<u64>; CLASSES.len()]>>,
    durations: Durations,
    rejects: Pairs<RejectReason>,
    sheds: Pairs<ShedReason>,
    deadlines_missed: [BoundCounter<u64>; DEADLINE_GROUPS.len()],
    /// Headers that name a client's address and were not believed.
    pub ignored_proxy_headers: ByLabel<Ignored>,
    public_connections: Arc<ByLabel<Closed>>,
    management_connections: Arc<ByLabel<Closed>>,
}

impl HttpMetrics {
    /// The metrics of these endpoints.
    pub fn new(exporter: &Exporter, endpoints: &'static [&'static Endpoint]) -> Self {
        let meter = exporter.meter();
        let deadlines = table::DEADLINES_MISSED.counter(&meter);
        let closed = table::CONNECTIONS_CLOSED.counter(&meter);
        let [public_connections, management_connections] =
            LISTENERS.map(|listener| Arc::new(ByLabel::new(&closed, "reason", &[("listener", listener)])));
        let metrics = Self {
            endpoints,
            requests: table::REQUESTS.counter(&meter),
            by_status: endpoints.iter().map(|_| OnceLock::new()).collect(),
            durations: Durations::new(&meter, &table::DURATION, endpoints),
            rejects: Pairs::new(&table::REJECTS.counter(&meter)),
            sheds: Pairs::new(&table::SHEDS.counter(&meter)),
            deadlines_missed: DEADLINE_GROUPS.map(|group| bind(&deadlines, &[("endpoint", group.as_str())])),
            ignored_proxy_headers: ByLabel::new(&table::PROXY_HEADER_IGNORED.counter(&meter), "reason", &[]),
            public_connections,
            management_connections,
        };
        for (number, endpoint) in endpoints.iter().enumerate() {
            if endpoint.group != Group::Admin {
                metrics.by_status(number);
            }
        }
        metrics
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
        // No handler answers 1xx.
        self.by_status(endpoint)[class.clamp(2, CLASSES.len() + 1) - 2].add(1);
        self.durations.of(endpoint).record(elapsed.as_secs_f64());
    }

    /// The counters of an endpoint by class of status, which are exported from the first call.
    fn by_status(&self, number: usize) -> &[BoundCounter<u64>; CLASSES.len()] {
        self.by_status[number].get_or_init(|| {
            let Endpoint { method, path, .. } = self.endpoints[number];
            CLASSES.map(|class| {
                let labels = [("method", *method), ("route", *path), ("status", class)];
                bind(&self.requests, &labels)
            })
        })
    }

    /// Counts why a request failed.
    pub fn error(&self, endpoint: usize, reason: ErrorReason) {
        let group = self.endpoints[endpoint].group;
        match reason {
            ErrorReason::Rejected(reason) => self.rejects.count(group, reason),
            ErrorReason::Shed(reason) => {
                self.sheds.count(group, reason);
                if matches!(reason, ShedReason::Deadline | ShedReason::StoreTimeout) {
                    self.deadline_missed(group);
                }
            }
        }
    }

    fn deadline_missed(&self, group: Group) {
        // An unmatched request that asks the store is one below `/admin`; scrapes have no deadline that people watch.
        let group = if group == Group::Other { Group::Admin } else { group };
        if let Some(position) = DEADLINE_GROUPS.iter().position(|one| *one == group) {
            self.deadlines_missed[position].add(1);
        }
    }
}
