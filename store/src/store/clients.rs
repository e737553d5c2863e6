//! Registered clients and their secrets.

use super::Store;
use super::audit::log_audit;
use crate::error::Result;
use crate::model::client::LoadedRow;
use crate::model::{AuditEntry, Client, Page, Revocation, SecretHash};

impl Store {
    /// Registers a client with its secrets. `Some`: a client with this id existed before, and this cut-off at `now_ms` was
    /// appended; it revokes every token issued to the predecessor, including those from nodes that had not yet read of its
    /// deletion, since the versions of the new client continue those of the old one. [`StoreError::Conflict`]: the id is taken.
    ///
    /// [`StoreError::Conflict`]: crate::StoreError::Conflict
    pub async fn create_client(&self, client: &Client, now_ms: u64, audit: &AuditEntry) -> Result<Option<Revocation>> {
        let cutoff = dispatch!(self.create_client(client, now_ms, audit))?;
        log_audit(audit, "client", &client.client_id);
        Ok(cutoff)
    }

    /// A client with its secrets.
    pub async fn client(&self, client_id: &str) -> Result<Option<Client>> {
        dispatch!(self.client(client_id))
    }

    /// The clients with these ids, in no particular order; unknown ids are left out.
    pub async fn clients_by_id(&self, client_ids: &[String]) -> Result<Vec<Client>> {
        dispatch!(self.clients_by_id(client_ids))
    }

    /// A page of the clients whose ids begin with a prefix, in ascending order of id. The cursor is the last id of the
    /// previous page.
    pub async fn list_clients(&self, prefix: &str, cursor: Option<&str>, limit: usize) -> Result<Page<Client>> {
        dispatch!(self.list_clients(prefix, cursor, limit))
    }

    /// As [`Self::list_clients`], of the clients with a secret of which only another product's hash is known, and that is not expired at
    /// `now`.
    pub async fn list_clients_with_foreign_hashes(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
        now: i64,
    ) -> Result<Page<Client>> {
        dispatch!(self.list_clients_with_foreign_hashes(prefix, cursor, limit, now))
    }

    /// Writes a client's fields (all but `client_id`, `created_at`, `version` and its secrets) if the stored version is still
    /// `client.version`; the stored version grows by one. `Ok(false)`: no such client. [`StoreError::Conflict`]: the client
    /// changed after it was read.
    ///
    /// [`StoreError::Conflict`]: crate::StoreError::Conflict
    pub async fn update_client(&self, client: &Client, now: i64, audit: &AuditEntry) -> Result<bool> {
        let updated = dispatch!(self.update_client(client, now, audit))?;
        if updated {
            log_audit(audit, "client", &client.client_id);
        }
        Ok(updated)
    }

    /// Deletes a client and its secrets, and appends the cut-off that keeps its tokens revoked if the id is registered again.
    /// `version`: only if the stored version is still this one. `Ok(None)`: no such client. [`StoreError::Conflict`]: the client
    /// changed after it was read.
    ///
    /// [`StoreError::Conflict`]: crate::StoreError::Conflict
    pub async fn delete_client(
        &self,
        client_id: &str,
        version: Option<i64>,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<Option<Revocation>> {
        let cutoff = dispatch!(self.delete_client(client_id, version, now_ms, audit))?;
        if cutoff.is_some() {
            log_audit(audit, "client", client_id);
        }
        Ok(cutoff)
    }

    /// Adds a secret. Existing secrets expire at `old_expire_at` unless they expire earlier; those expired at `now` are
    /// deleted. `version`: only if the stored version is still this one. `Ok(false)`: no such client. [`StoreError::Conflict`]: the client
    /// changed after it was read.
    ///
    /// [`StoreError::Conflict`]: crate::StoreError::Conflict
    pub async fn rotate_secret(
        &self,
        client_id: &str,
        version: Option<i64>,
        new: &SecretHash,
        old_expire_at: i64,
        now: i64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let rotated = dispatch!(self.rotate_secret(client_id, version, new, old_expire_at, now, audit))?;
        if rotated {
            log_audit(audit, "client", client_id);
        }
        Ok(rotated)
    }

    /// Replaces the hash of another product with the SHA-256 of the same secret, if it is still stored; the client's version stays.
    /// `foreign_id`: the id of that hash. `Ok(false)`: it is not stored any more, perhaps because another node was first.
    pub async fn replace_foreign_hash(
        &self,
        client_id: &str,
        foreign_id: &SecretHash,
        hash: &SecretHash,
        now: i64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let replaced = dispatch!(self.replace_foreign_hash(client_id, foreign_id, hash, now, audit))?;
        if replaced {
            log_audit(audit, "client", client_id);
        }
        Ok(replaced)
    }

    /// Creates, updates and overwrites a chunk of clients, all or none, each with its audit row. New and changed clients: as
    /// [`Self::create_client`] and [`Self::update_client`] do. An overwritten client also gets the `created_at` and the secrets
    /// given. Returns the cut-offs at `now_ms` that were appended for new clients with a predecessor, in no
    /// particular order. [`StoreError::Conflict`]: the id of a new client is taken, or an updated
    /// client changed after it was read.
    ///
    /// [`StoreError::Conflict`]: crate::StoreError::Conflict
    pub async fn write_clients(
        &self,
        new: &[(Client, AuditEntry)],
        changed: &[(Client, AuditEntry)],
        overwritten: &[(Client, AuditEntry)],
        now_ms: u64,
    ) -> Result<Vec<Revocation>> {
        let cutoffs = dispatch!(self.write_clients(new, changed, overwritten, now_ms))?;
        for (client, audit) in new.iter().chain(changed).chain(overwritten) {
            log_audit(audit, "client", &client.client_id);
        }
        Ok(cutoffs)
    }

    /// Passes every client to `on_row`, in no particular order, and afterwards secrets to be added to these clients, if they
    /// are read separately. On an error, some rows may have been passed already.
    pub async fn for_each_client(&self, on_row: &mut (dyn FnMut(LoadedRow) + Send)) -> Result<()> {
        dispatch!(self.for_each_client(on_row))
    }

    /// Up to `limit` clients that this owner manages and whose ids are greater than `after`, in ascending order of id.
    pub async fn clients_managed_by(&self, owner: &str, after: &str, limit: usize) -> Result<Vec<Client>> {
        dispatch!(self.clients_managed_by(owner, after, limit))
    }

    /// Up to `limit` clients whose ids are greater than `after`, in ascending order of id.
    pub async fn load_clients(&self, after: &str, limit: usize) -> Result<Vec<Client>> {
        dispatch!(self.load_clients(after, limit))
    }
}
