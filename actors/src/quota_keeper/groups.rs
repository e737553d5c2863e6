//! Tokens issued per group of clients, which are saved per day: what a group is charged for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use oauth2_store::model::{GROUP_USAGE_DAYS, GroupUsage, Window};
use oauth2_store::{Store, StoreError};

/// How long the usage of a day is kept, seconds.
pub(super) const RETENTION: i64 = GROUP_USAGE_DAYS * 86_400;

/// Rows per statement.
const CHUNK: usize = 1000;

/// Tokens issued per group that are not saved yet.
#[derive(Debug, Default)]
pub struct GroupCounts(DashMap<Arc<str>, AtomicU64>);

impl GroupCounts {
    /// Counts tokens of a client of the group.
    pub fn add(&self, group: &Arc<str>, tokens: u64) {
        if let Some(count) = self.0.get(group) {
            count.fetch_add(tokens, Ordering::Relaxed);
            return;
        }
        self.0
            .entry(Arc::clone(group))
            .or_default()
            .fetch_add(tokens, Ordering::Relaxed);
    }

    /// Adds what was counted to the day of `now_ms`, in Unix milliseconds of the store. A token issued within the interval of saves before
    /// midnight may count for the next day. If the store fails, what it did not take is counted again.
    pub(super) async fn save(&self, store: &Store, now_ms: u64) -> Result<(), StoreError> {
        let (day, _) = Window::Day.bounds_at((now_ms / 1000) as i64);
        let mut unsaved = Vec::new();
        // A group that was idle since the last save is dropped.
        self.0.retain(|group, count| {
            let tokens = count.swap(0, Ordering::Relaxed);
            if tokens > 0 {
                unsaved.push(GroupUsage {
                    day,
                    group: Arc::clone(group),
                    tokens,
                });
            }
            tokens > 0
        });
        for (done, chunk) in unsaved.chunks(CHUNK).enumerate() {
            if let Err(error) = store.add_group_usage(chunk).await {
                for usage in &unsaved[done * CHUNK..] {
                    self.add(&usage.group, usage.tokens);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}
