//! Clients and groups with the most unexpired tokens.

use std::sync::Arc;
use std::time::Instant;

use super::QuotaControl;
use crate::service::error::Result;
use crate::service::store_access::StoreAccess;

/// A client or a group, and the number of its unexpired tokens.
pub type Holder = (Arc<str>, u64);

impl QuotaControl {
    /// The clients with the most unexpired tokens, and how many: as this node knows, or on the command line as recorded. `group`: of its
    /// clients only.
    pub async fn top(&self, limit: usize, group: Option<String>, deadline: Instant) -> Result<Vec<Holder>> {
        let now = self.now();
        if let StoreAccess::Gateway(_) = &self.store {
            let member = |client_id: &Arc<str>| {
                let is_member = group.is_none() || self.group_name(client_id).as_deref() == group.as_deref();
                is_member.then(|| Arc::clone(client_id))
            };
            return Ok(self.counters.top(limit, now, member));
        }
        let verb = self.store.call(deadline, move |store| async move {
            store.top_clients(now, limit, group.as_deref()).await
        });
        Ok(shared(verb.await?))
    }

    /// The groups whose clients have the most unexpired tokens, and how many, as [`Self::top`].
    pub async fn top_groups(&self, limit: usize, deadline: Instant) -> Result<Vec<Holder>> {
        let now = self.now();
        if let StoreAccess::Gateway(_) = &self.store {
            return Ok(self.counters.top(limit, now, |client_id| self.group_name(client_id)));
        }
        let verb = self
            .store
            .call(deadline, move |store| async move { store.top_groups(now, limit).await });
        Ok(shared(verb.await?))
    }

    fn group_name(&self, client_id: &str) -> Option<Arc<str>> {
        self.directory.client(client_id)?.group.clone()
    }
}

fn shared(found: Vec<(String, u64)>) -> Vec<Holder> {
    found.into_iter().map(|(name, count)| (name.into(), count)).collect()
}
