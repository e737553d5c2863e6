//! The holders of the most unexpired tokens.

use std::collections::HashMap;
use std::sync::Arc;

use super::counters::Counters;

impl Counters {
    /// The most unexpired tokens, added up under the name of each client's holder, largest first. `None`: the client does not count.
    pub fn top(&self, limit: usize, now: i64, holder: impl Fn(&Arc<str>) -> Option<Arc<str>>) -> Vec<(Arc<str>, u64)> {
        let mut counts: HashMap<Arc<str>, u64> = HashMap::new();
        for entry in &self.issued {
            let count = entry.lock().unexpired.count(now);
            if let Some(name) = (count > 0).then(|| holder(entry.key())).flatten() {
                *counts.entry(name).or_default() += count;
            }
        }
        let mut all: Vec<_> = counts.into_iter().collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all.truncate(limit);
        all
    }
}
