//! Stub.
#![allow(unused_variables, missing_docs, dead_code, clippy::all, clippy::pedantic)]
use super::*;

#[derive(Debug, Clone)]
pub struct SqliteStore;

impl SqliteStore {
    pub async fn migrate(&self) -> Result<usize> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn schema_version(&self) -> Result<Option<i64>> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn ping(&self) -> Result<u64> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn token(&self, jti: Uuid, expires_at: Option<i64>) -> Result<Option<StoredToken>> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn list_tokens(
        &self,
        client_id: &str,
        now: i64,
        cursor: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<StoredToken>> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn revoke(&self, revocation: &Revocation, now_ms: u64, audit: &AuditEntry) -> Result<()> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn revocations_since(&self, from: LogPosition) -> Result<(Vec<Revocation>, LogPosition)> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn create_client(&self, client: &Client, audit: &AuditEntry) -> Result<()> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn client(&self, client_id: &str) -> Result<Option<Client>> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn list_clients(&self, cursor: Option<&str>, limit: usize) -> Result<Page<Client>> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn update_client(&self, client: &Client, now: i64, audit: &AuditEntry) -> Result<bool> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn delete_client(&self, client_id: &str, now_ms: u64, audit: &AuditEntry) -> Result<bool> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn rotate_secret(
        &self,
        client_id: &str,
        new: &SecretHash,
        old_expire_at: i64,
        now: i64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn changes_since(&self, from: LogPosition) -> Result<(Vec<Change>, LogPosition)> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn changes_position(&self) -> Result<LogPosition> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn keys(&self) -> Result<Vec<StoredKey>> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn ensure_keys(&self, candidates: &[StoredKey], audit: &AuditEntry) -> Result<Vec<StoredKey>> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub async fn maintain(&self, now: i64, horizon: i64) -> Result<Maintenance> {
        Err(StoreError::Unavailable("stub".into()))
    }
    pub fn pool_use(&self) -> PoolUse {
        PoolUse::default()
    }
    pub async fn open(path: &std::path::Path, options: &StoreOptions) -> Result<Self> {
        Ok(Self)
    }
    pub async fn commit(&self, batch: Vec<TokenRecord>) -> Result<()> {
        Ok(())
    }
}
