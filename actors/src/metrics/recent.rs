//! How much each counter increased in the last minutes, for whoever has no Prometheus at hand.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use prometheus::proto::{MetricFamily, MetricType};

/// The time that is looked back on.
const WINDOW: Duration = Duration::from_mins(5);

/// Interval at which the counters are remembered.
pub(super) const STEP: Duration = Duration::from_secs(15);

/// The name and the labels of a series.
type Series = (String, BTreeMap<String, String>);

/// The counters that are not 0.
type Values = BTreeMap<Series, f64>;

/// The increase of each counter that increased.
#[derive(Debug, Clone, PartialEq)]
pub struct Increases {
    /// Seconds that are looked back on: at least five minutes, less after a start.
    pub seconds: u64,
    /// By name and labels.
    pub counters: Vec<Increase>,
}

/// The increase of a counter.
#[derive(Debug, Clone, PartialEq)]
pub struct Increase {
    /// The metric.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// By how much it increased.
    pub increase: f64,
}

/// The counters of the last minutes.
#[derive(Debug)]
pub(super) struct History(VecDeque<(Instant, Values)>);

impl History {
    /// Of a process that begins now.
    pub(super) fn new() -> Self {
        Self([(Instant::now(), Values::new())].into())
    }

    /// Appends the counters, and drops entries older than the window.
    pub(super) fn remember(&mut self, families: &[MetricFamily], now: Instant) {
        self.0.push_back((now, counters(families)));
        let is_old = |(at, _): &(Instant, Values)| now.duration_since(*at) >= WINDOW;
        // The oldest entry that stays is the first at or before the beginning of the window.
        while self.0.get(1).is_some_and(is_old) {
            self.0.pop_front();
        }
    }

    /// By how much the counters increased since the oldest that are remembered.
    pub(super) fn increases(&self, families: &[MetricFamily], now: Instant) -> Increases {
        let Some((since, before)) = self.0.front() else {
            return Increases {
                seconds: 0,
                counters: Vec::new(),
            };
        };
        let increase = |(series, value): (Series, f64)| {
            let increase = value - before.get(&series).unwrap_or(&0.0);
            let (name, labels) = series;
            (increase > 0.0).then_some(Increase { name, labels, increase })
        };
        Increases {
            seconds: now.duration_since(*since).as_secs(),
            counters: counters(families).into_iter().filter_map(increase).collect(),
        }
    }
}

fn counters(families: &[MetricFamily]) -> Values {
    let mut values = Values::new();
    for family in families
        .iter()
        .filter(|one| one.get_field_type() == MetricType::COUNTER)
    {
        for metric in family.get_metric() {
            let value = metric.get_counter().get_value();
            if value > 0.0 {
                let label = |pair: &prometheus::proto::LabelPair| (pair.name().to_owned(), pair.value().to_owned());
                let labels = metric.get_label().iter().map(label).collect();
                values.insert((family.name().to_owned(), labels), value);
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{IntCounterVec, Opts, Registry};

    #[test]
    fn increases_are_those_of_the_last_minutes() {
        let registry = Registry::new();
        let errors = IntCounterVec::new(Opts::new("errors_total", "Errors"), &["class"]).unwrap();
        registry.register(Box::new(errors.clone())).unwrap();
        let mut history = History::new();
        let start = Instant::now();
        let increase = |history: &History, after: Duration| {
            let found = history.increases(&registry.gather(), start + after);
            (
                found.seconds,
                found.counters.iter().map(|one| one.increase).collect::<Vec<_>>(),
            )
        };
        errors.with_label_values(&["old"]).inc_by(3);
        assert_eq!(
            increase(&history, Duration::ZERO),
            (0, vec![3.0]),
            "before the first step"
        );
        for step in 1..=40 {
            if step == 39 {
                errors.with_label_values(&["new"]).inc();
            }
            history.remember(&registry.gather(), start + STEP * step);
        }
        assert_eq!(history.0.len(), 21, "the window and the step that it begins with");
        assert_eq!(
            increase(&history, STEP * 40),
            (300, vec![1.0]),
            "what is older does not count"
        );
    }
}
