//! Counters by closed sets of label values, bound before the first use: an addition is an atomic or two, and nothing makes a new
//! series later.

use std::marker::PhantomData;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, Counter};

/// An enum whose values are the values of a label.
pub trait Label: Copy {
    /// Every value, in the order of [`Self::index`].
    fn values() -> impl Iterator<Item = &'static str>;

    /// The position of this value.
    fn index(self) -> usize;
}

/// A counter for each value of a label, exported at 0 from the start.
#[derive(Debug)]
pub struct ByLabel<L> {
    counters: Vec<BoundCounter<u64>>,
    label: PhantomData<fn() -> L>,
}

impl<L: Label> ByLabel<L> {
    /// Counters of `counter` with `fixed` labels and each value of `name`.
    pub fn new(counter: &Counter<u64>, name: &'static str, fixed: &[(&'static str, &'static str)]) -> Self {
        let of = |value| {
            let labels: Vec<_> = fixed.iter().copied().chain([(name, value)]).collect();
            bind(counter, &labels)
        };
        Self {
            counters: L::values().map(of).collect(),
            label: PhantomData,
        }
    }

    /// The counter of a value.
    pub fn of(&self, value: L) -> &BoundCounter<u64> {
        &self.counters[value.index()]
    }
}

/// A counter with these labels, exported at 0 from the start.
pub fn bind(counter: &Counter<u64>, labels: &[(&'static str, &'static str)]) -> BoundCounter<u64> {
    let labels: Vec<_> = labels
        .iter()
        .map(|(name, value)| KeyValue::new(*name, *value))
        .collect();
    let bound = counter.bind(&labels);
    bound.add(0);
    bound
}
