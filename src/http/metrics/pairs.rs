//! Counters by group of endpoints and reason: one for each pair that can occur.

use std::fmt::Debug;
use std::sync::Once;

use oauth2_actors::metrics::bind;
use opentelemetry::metrics::{BoundCounter, Counter};

use crate::http::endpoint::Group;
use crate::http::reason::Reason;

/// The counters of the declared pairs.
#[derive(Debug)]
pub struct Pairs<R> {
    /// By group and reason; `None` for pairs that are not declared.
    counters: Vec<Option<BoundCounter<u64>>>,
    reasons: std::marker::PhantomData<fn() -> R>,
}

impl<R: Reason + Debug> Pairs<R> {
    /// Counters of every declared pair, exported at 0.
    pub fn new(counter: &Counter<u64>) -> Self {
        let names: Vec<_> = R::values().collect();
        let of = |group: &Group, reason: &R| {
            let is_declared = reason.groups().contains(group);
            is_declared.then(|| {
                let labels = [("endpoint", group.as_str()), ("reason", names[reason.index()])];
                bind(counter, &labels)
            })
        };
        Self {
            counters: Group::ALL
                .iter()
                .flat_map(|group| R::ALL.iter().map(move |reason| of(group, reason)))
                .collect(),
            reasons: std::marker::PhantomData,
        }
    }

    /// Counts a failure. One whose pair is not declared is a defect of the declaration: a debug build panics, a release build counts it under
    /// a pair that exists and logs the first.
    pub fn count(&self, group: Group, reason: R) {
        let found = self.of(group, reason);
        debug_assert!(found.is_some(), "the pair of {group:?} and {reason:?} is not declared");
        if found.is_none() {
            static FIRST: Once = Once::new();
            FIRST.call_once(|| {
                tracing::error!(
                    ?group,
                    ?reason,
                    "an error has a reason that its endpoint does not declare"
                );
            });
        }
        if let Some(counter) = found.or_else(|| self.of(Group::Other, R::UNDECLARED)) {
            counter.add(1);
        }
    }

    fn of(&self, group: Group, reason: R) -> Option<&BoundCounter<u64>> {
        self.counters[group as usize * R::ALL.len() + reason.index()].as_ref()
    }
}

#[cfg(test)]
mod tests {
    use oauth2_actors::metrics::Exporter;

    use super::*;
    use crate::http::metrics::table::{REJECTS, SHEDS};
    use crate::http::reason::{RejectReason, ShedReason};

    fn declared<R: Reason + Debug>(pairs: &Pairs<R>) -> usize {
        pairs.counters.iter().flatten().count()
    }

    #[test]
    fn undeclared_pairs_have_a_counter_to_fall_back_to() {
        let meter = Exporter::new().unwrap().meter();
        let rejects = Pairs::<RejectReason>::new(&REJECTS.counter(&meter));
        let sheds = Pairs::<ShedReason>::new(&SHEDS.counter(&meter));
        assert!(rejects.of(Group::Other, RejectReason::UNDECLARED).is_some());
        assert!(sheds.of(Group::Other, ShedReason::UNDECLARED).is_some());
        assert!(
            declared(&rejects) < 60 && declared(&sheds) < 70,
            "most combinations cannot occur"
        );
    }

    #[test]
    #[should_panic(expected = "is not declared")]
    fn a_pair_that_is_not_declared_is_noticed() {
        let meter = Exporter::new().unwrap().meter();
        Pairs::<RejectReason>::new(&REJECTS.counter(&meter)).count(Group::Metadata, RejectReason::QuotaExceeded);
    }
}
