//! The histograms of durations: one per endpoint whose latency has an objective, and one per group of the others.

use std::sync::Arc;

use oauth2_actors::metrics::catalogue::Metric;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Meter};

use crate::http::endpoint::{Endpoint, Group};

/// `method` and `route`.
type Labels = (&'static str, &'static str);

/// A histogram for each endpoint, which endpoints of a group share.
#[derive(Debug)]
pub struct Durations(Vec<Arc<BoundHistogram<f64>>>);

impl Durations {
    /// The histograms of every endpoint.
    pub fn new(meter: &Meter, row: &Metric, endpoints: &[&Endpoint]) -> Self {
        let histogram = row.histogram(meter);
        let mut bound: Vec<(Labels, Arc<BoundHistogram<f64>>)> = Vec::new();
        let of = |labels: Labels| {
            if let Some((_, shared)) = bound.iter().find(|(known, _)| *known == labels) {
                return Arc::clone(shared);
            }
            let (method, route) = labels;
            let new = Arc::new(histogram.bind(&[KeyValue::new("method", method), KeyValue::new("route", route)]));
            bound.push((labels, Arc::clone(&new)));
            new
        };
        Self(endpoints.iter().map(|endpoint| labels(endpoint)).map(of).collect())
    }

    /// The histogram of an endpoint.
    pub fn of(&self, endpoint: usize) -> &BoundHistogram<f64> {
        &self.0[endpoint]
    }
}

fn labels(endpoint: &Endpoint) -> Labels {
    match endpoint.group {
        Group::Token | Group::Introspection | Group::Revocation => (endpoint.method, endpoint.path),
        Group::Metadata | Group::Admin => ("any", endpoint.group.as_str()),
        Group::Ops | Group::Other => ("any", Group::Other.as_str()),
    }
}
