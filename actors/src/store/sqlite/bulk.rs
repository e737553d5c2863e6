//! Clients in numbers: written a chunk at a time, and read in the order of their ids.

use super::{AuditEntry, Client, Failure, PATIENT, Result, SqliteStore, StoreError, clients};
use crate::store::Loaded;

/// Clients that are read at a time.
const PAGE: usize = 5000;

impl SqliteStore {
    pub(in crate::store) async fn write_clients(
        &self,
        new: &[Client],
        changed: &[Client],
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<()> {
        let (new, changed, audit) = (new.to_vec(), changed.to_vec(), audit.clone());
        self.write(PATIENT, move |t| {
            for client in &new {
                match clients::insert(t, client, now_ms, (now_ms / 1000) as i64, &audit) {
                    Err(Failure::Store(StoreError::Conflict(_))) => return Err(meanwhile()),
                    done => drop(done?),
                }
            }
            for client in &changed {
                if !clients::update(t, client, (now_ms / 1000) as i64, &audit)? {
                    return Err(meanwhile());
                }
            }
            Ok(())
        })
        .await
    }

    pub(in crate::store) async fn each_client(&self, take: &mut (dyn FnMut(Loaded) + Send)) -> Result<()> {
        let mut page = self.load_clients("", PAGE).await?;
        while let Some(last) = page.last() {
            let after = last.client_id.to_string();
            // The next page is read while this one is taken in.
            let (store, next) = (self.clone(), after);
            let next = tokio::spawn(async move { store.load_clients(&next, PAGE).await });
            for client in page {
                take(Loaded::Client(client));
            }
            page = next
                .await
                .unwrap_or_else(|_| Err(StoreError::Unavailable("the reading of clients failed".to_owned())))?;
        }
        Ok(())
    }

    pub(in crate::store) async fn load_clients(&self, after: &str, limit: usize) -> Result<Vec<Client>> {
        let after = after.to_owned();
        self.read(move |t| clients::page(t, &after, limit)).await
    }
}

fn meanwhile() -> Failure {
    StoreError::Conflict("some of the clients changed meanwhile: read them again".to_owned()).into()
}
