//! The figures of mailboxes, summed up per actor name.

use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::catalogue::actors::{MAILBOX_DEPTH, MAILBOX_WAIT, RESTARTS, SHED_REASONS, SHEDS};
use crate::runtime::permits::WatchedMailbox;

/// Exports the figures of these mailboxes.
pub fn watch_mailboxes(meter: &Meter, mailboxes: Vec<WatchedMailbox>) {
    let wait = MAILBOX_WAIT.histogram(meter);
    let mut by_name: BTreeMap<&'static str, Vec<WatchedMailbox>> = BTreeMap::new();
    for mailbox in mailboxes {
        let wait = wait.bind(&[KeyValue::new("actor", mailbox.name())]);
        mailbox.stats().on_wait(move |time| wait.record(time.as_secs_f64()));
        by_name.entry(mailbox.name()).or_default().push(mailbox);
    }
    let by_name = Arc::new(by_name);
    let each = Arc::clone(&by_name);
    MAILBOX_DEPTH.observe_each(meter, move |observe| {
        for (name, mailboxes) in each.iter() {
            let depth: usize = mailboxes.iter().map(|mailbox| mailbox.stats().depth()).sum();
            observe(depth as f64, &[("actor", name)]);
        }
    });
    let each = Arc::clone(&by_name);
    RESTARTS.observe_each(meter, move |observe| {
        for (name, mailboxes) in each.iter() {
            let restarts: u64 = mailboxes.iter().map(|mailbox| mailbox.stats().restarts()).sum();
            observe(restarts as f64, &[("actor", name)]);
        }
    });
    SHEDS.observe_each(meter, move |observe| {
        for (name, mailboxes) in by_name.iter() {
            let mut counts = [0; SHED_REASONS.len()];
            for mailbox in mailboxes {
                let sheds = mailbox.stats().sheds();
                for (count, shed) in counts.iter_mut().zip([sheds.full, sheds.deadline, sheds.crashed]) {
                    *count += shed;
                }
            }
            for (reason, count) in SHED_REASONS.iter().zip(counts) {
                observe(count as f64, &[("actor", name), ("reason", reason)]);
            }
        }
    });
}
