//! A row of the table, and what is created from it.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram, Meter};

/// Prefix of every name.
pub(in crate::metrics) const NAMESPACE: &str = "oauth2_server";

/// Bucket bounds of durations, seconds. None is a whole number: Prometheus 3 would rewrite its label.
pub const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.001, 2.5, 5.001,
];

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only increases; its name ends in `_total`.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Observations, by these bucket bounds.
    Histogram(&'static [f64]),
}

/// A label and its values.
#[derive(Debug, Clone, Copy)]
pub struct LabelSet {
    /// The name.
    pub name: &'static str,
    /// The values.
    pub values: Values,
}

/// The values of a label.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// All of them.
    Closed(fn() -> Vec<&'static str>),
    /// Where the one value comes from.
    From(&'static str),
}

impl LabelSet {
    /// A label with these values only.
    pub const fn closed(name: &'static str, values: fn() -> Vec<&'static str>) -> Self {
        Self {
            name,
            values: Values::Closed(values),
        }
    }
}

/// How much a user may rely on a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stability {
    /// Name, type and labels stay; a change is announced as a breaking one.
    Stable,
    /// May change in any release.
    Experimental,
}

/// Which stores a metric is exported on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stores {
    /// Both.
    Both,
    /// SQLite only.
    Sqlite,
    /// Postgres only.
    Postgres,
    /// Postgres with a read replica only.
    Replica,
}

/// A row of the table.
#[must_use]
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Without the prefix, and without `_total`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [LabelSet],
    /// What it means, in plain text: the `# HELP` line.
    pub help: &'static str,
    /// What else there is to know, for the page.
    pub notes: &'static str,
    /// How much a user may rely on it.
    pub stability: Stability,
    /// Whether people look at it: it belongs on a dashboard or in an alert. Others explain a value that they saw there.
    pub people: bool,
    /// Where it is exported.
    pub stores: Stores,
}

/// A counter.
pub const fn counter(name: &'static str, labels: &'static [LabelSet], help: &'static str) -> Metric {
    metric(name, Kind::Counter, labels, help)
}

/// A gauge.
pub const fn gauge(name: &'static str, labels: &'static [LabelSet], help: &'static str) -> Metric {
    metric(name, Kind::Gauge, labels, help)
}

/// A histogram with these bucket bounds.
pub const fn histogram(
    name: &'static str,
    labels: &'static [LabelSet],
    bounds: &'static [f64],
    help: &'static str,
) -> Metric {
    metric(name, Kind::Histogram(bounds), labels, help)
}

const fn metric(name: &'static str, kind: Kind, labels: &'static [LabelSet], help: &'static str) -> Metric {
    Metric {
        name,
        kind,
        labels,
        help,
        notes: "",
        stability: Stability::Stable,
        people: true,
        stores: Stores::Both,
    }
}

impl Metric {
    /// With this text after the meaning on the page.
    pub const fn notes(self, notes: &'static str) -> Self {
        Self { notes, ..self }
    }

    /// One that may change in any release.
    pub const fn experimental(self) -> Self {
        Self {
            stability: Stability::Experimental,
            ..self
        }
    }

    /// One that needs no panel.
    pub const fn detail(self) -> Self {
        Self { people: false, ..self }
    }

    /// One that is exported on SQLite only.
    pub const fn sqlite_only(self) -> Self {
        Self {
            stores: Stores::Sqlite,
            ..self
        }
    }

    /// A metric that is exported on Postgres only.
    pub const fn postgres_only(self) -> Self {
        Self {
            stores: Stores::Postgres,
            ..self
        }
    }

    /// A metric that is exported only with a read replica.
    pub const fn replica_only(self) -> Self {
        Self {
            stores: Stores::Replica,
            ..self
        }
    }

    /// The name as exported.
    pub fn full_name(&self) -> String {
        let suffix = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}_{}{suffix}", NAMESPACE, self.name)
    }

    /// The unit, empty for a number of things.
    pub fn unit(&self) -> &'static str {
        let ends = |suffix: &str| self.name.ends_with(suffix);
        if ends("timestamp_seconds") || ends("start_time_seconds") {
            "Unix seconds"
        } else if ends("_seconds") {
            "seconds"
        } else if ends("_bytes") {
            "bytes"
        } else if ends("_share") {
            "ratio, 0 to 1"
        } else {
            ""
        }
    }

    /// Creates the counter of this row.
    pub fn counter(&self, meter: &Meter) -> Counter<u64> {
        debug_assert_eq!(self.kind, Kind::Counter);
        meter.u64_counter(self.name).with_description(self.help).build()
    }

    /// Creates the histogram of this row.
    pub fn histogram(&self, meter: &Meter) -> Histogram<f64> {
        let bounds = match self.kind {
            Kind::Histogram(bounds) => bounds,
            Kind::Counter | Kind::Gauge => &[],
        };
        debug_assert!(!bounds.is_empty());
        meter
            .f64_histogram(self.name)
            .with_description(self.help)
            .with_boundaries(bounds.to_vec())
            .build()
    }

    /// Exports a value that is read at each scrape.
    pub fn observe(&self, meter: &Meter, value: impl Fn() -> f64 + Send + Sync + 'static) {
        self.observe_each(meter, move |observe| observe(value(), &[]));
    }

    /// Exports values that are read at each scrape: `each` calls its argument with each value and its labels.
    pub fn observe_each(
        &self,
        meter: &Meter,
        each: impl Fn(&mut dyn FnMut(f64, &[(&'static str, &'static str)])) + Send + Sync + 'static,
    ) {
        let callback = move |observer: &dyn AsyncInstrument<f64>| {
            each(&mut |value, labels| {
                let labels: Vec<_> = labels
                    .iter()
                    .map(|(name, value)| KeyValue::new(*name, *value))
                    .collect();
                observer.observe(value, &labels);
            });
        };
        match self.kind {
            Kind::Counter => {
                let builder = meter.f64_observable_counter(self.name).with_description(self.help);
                builder.with_callback(callback).build();
            }
            Kind::Gauge | Kind::Histogram(_) => {
                debug_assert_eq!(self.kind, Kind::Gauge);
                let builder = meter.f64_observable_gauge(self.name).with_description(self.help);
                builder.with_callback(callback).build();
            }
        }
    }
}

/// Declares rows, and `ALL` of a module.
#[macro_export]
macro_rules! catalogue {
    ($($name:ident = $row:expr;)+) => {
        $(
            #[doc = concat!("The row of `", stringify!($name), "`.")]
            pub const $name: $crate::metrics::catalogue::Metric = $row;
        )+

        /// Every row of this module.
        pub const ALL: &[$crate::metrics::catalogue::Metric] = &[$($name),+];
    };
}
