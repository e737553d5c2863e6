//! Clients and their secrets.

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::audit::append_audit;
use super::client_rows as rows;
use super::client_secrets::{add_secret, add_secrets, read_secret, with_secrets};
use super::failure::Failure;
use super::revocations::{append_revocation, predecessor_version};
use super::threads::SqliteStore;
use super::timeouts::ADMIN_LOCK_WAIT;
use crate::columns::ColumnValue;
use crate::error::{Result, StoreError};
use crate::model::client::LoadedRow;
use crate::model::{AuditEntry, Client, ClientSecret, Page, Revocation, SecretHash};
use crate::row::{self, changed_meanwhile};

/// Clients per chunk of a full read.
const CHUNK: usize = 5000;

impl SqliteStore {
    pub(crate) async fn create_client(
        &self,
        client: &Client,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<Option<Revocation>> {
        let (client, audit) = (client.clone(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let at = client.created_at;
            let Some(cutoffs) = insert(t, &client, now_ms, at, &audit)? else {
                return Err(StoreError::Conflict(format!("the client {} exists already", client.client_id)).into());
            };
            Ok(cutoffs.into_iter().next())
        })
        .await
    }

    pub(crate) async fn client(&self, client_id: &str) -> Result<Option<Client>> {
        let client_id = client_id.to_owned();
        self.read(move |t| find(t, &client_id)).await
    }

    pub(crate) async fn clients_by_id(&self, client_ids: &[String]) -> Result<Vec<Client>> {
        let client_ids = client_ids.to_vec();
        self.read(move |t| {
            let found = client_ids.iter().map(|client_id| find(t, client_id));
            found.filter_map(std::result::Result::transpose).collect()
        })
        .await
    }

    pub(crate) async fn list_clients(&self, prefix: &str, cursor: Option<&str>, limit: usize) -> Result<Page<Client>> {
        let (prefix, end) = (prefix.to_owned(), row::prefix_end(prefix));
        let after = cursor.unwrap_or_default().to_owned();
        self.read(move |t| {
            let mut select = t.prepare_cached(&rows::PAGE)?;
            let mut rows = select.query(params![after, prefix, end, limit as i64 + 1])?;
            let mut items = Vec::new();
            while let Some(r) = rows.next()? {
                items.push(with_secrets(t, Client::from_row(r)?)?);
            }
            Ok(Page::cut(items, limit, |client| client.client_id.to_string()))
        })
        .await
    }

    pub(crate) async fn list_clients_with_foreign_hashes(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
        now: i64,
    ) -> Result<Page<Client>> {
        let (prefix, end) = (prefix.to_owned(), row::prefix_end(prefix));
        let after = cursor.unwrap_or_default().to_owned();
        self.read(move |t| {
            let mut select = t.prepare_cached(&rows::PAGE_WITH_FOREIGN_HASHES)?;
            let mut rows = select.query(params![after, prefix, end, limit as i64 + 1, now])?;
            let mut items = Vec::new();
            while let Some(r) = rows.next()? {
                items.push(with_secrets(t, Client::from_row(r)?)?);
            }
            Ok(Page::cut(items, limit, |client| client.client_id.to_string()))
        })
        .await
    }

    pub(crate) async fn update_client(&self, client: &Client, now: i64, audit: &AuditEntry) -> Result<bool> {
        let (client, audit) = (client.clone(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            if update(t, &client, now, &audit, Written::Fields)? {
                return Ok(true);
            }
            if exists(t, &client.client_id)? {
                return Err(changed_meanwhile(&client.client_id).into());
            }
            Ok(false)
        })
        .await
    }

    pub(crate) async fn delete_client(
        &self,
        client_id: &str,
        version: Option<i64>,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<Option<Revocation>> {
        let (client_id, audit) = (client_id.to_owned(), audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let deleted: Option<i64> = t
                .prepare_cached(
                    "DELETE FROM clients WHERE client_id = ?1 AND version = coalesce(?2, version) RETURNING version",
                )?
                .query_row(params![client_id, version], |r| r.get(0))
                .optional()?;
            let Some(version) = deleted else {
                return if version.is_some() && exists(t, &client_id)? {
                    Err(changed_meanwhile(&client_id).into())
                } else {
                    Ok(None)
                };
            };
            let cutoff = Revocation::of_client(&*client_id, now_ms, version + 1);
            append_revocation(t, &cutoff)?;
            append_audit(t, (now_ms / 1000) as i64, &audit, "client", &client_id)?;
            Ok(Some(cutoff))
        })
        .await
    }

    pub(crate) async fn rotate_secret(
        &self,
        client_id: &str,
        version: Option<i64>,
        new: &SecretHash,
        old_expire_at: i64,
        now: i64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let (client_id, new, audit) = (client_id.to_owned(), *new, audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let changed = t
                .prepare_cached(
                    "UPDATE clients SET version = version + 1, updated_at = ?2
                     WHERE client_id = ?1 AND version = coalesce(?3, version)",
                )?
                .execute(params![client_id, now, version])?;
            if changed == 0 {
                return if version.is_some() && exists(t, &client_id)? {
                    Err(changed_meanwhile(&client_id).into())
                } else {
                    Ok(false)
                };
            }
            t.prepare_cached("DELETE FROM client_secrets WHERE client_id = ?1 AND expires_at <= ?2")?
                .execute(params![client_id, now])?;
            t.prepare_cached(
                "UPDATE client_secrets SET expires_at = min(coalesce(expires_at, ?2), ?2) WHERE client_id = ?1",
            )?
            .execute(params![client_id, old_expire_at])?;
            add_secret(t, &client_id, &ClientSecret::fast(new, None))?;
            append_audit(t, now, &audit, "client", &client_id)?;
            Ok(true)
        })
        .await
    }

    pub(crate) async fn write_clients(
        &self,
        new: &[(Client, AuditEntry)],
        changed: &[(Client, AuditEntry)],
        overwritten: &[(Client, AuditEntry)],
        now_ms: u64,
    ) -> Result<Vec<Revocation>> {
        let (new, changed, overwritten) = (new.to_vec(), changed.to_vec(), overwritten.to_vec());
        let at = (now_ms / 1000) as i64;
        let conflict =
            || StoreError::Conflict("some of the clients were changed by another request: read them again".to_owned());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            let mut cutoffs = Vec::new();
            for (client, audit) in &new {
                cutoffs.extend(insert(t, client, now_ms, at, audit)?.ok_or_else(conflict)?);
            }
            for (written, clients) in [(Written::Fields, &changed), (Written::Everything, &overwritten)] {
                for (client, audit) in clients {
                    if !update(t, client, at, audit, written)? {
                        return Err(conflict().into());
                    }
                }
            }
            Ok(cutoffs)
        })
        .await
    }

    pub(crate) async fn for_each_client(&self, on_row: &mut (dyn FnMut(LoadedRow) + Send)) -> Result<()> {
        let mut chunk = self.load_clients("", CHUNK).await?;
        while let Some(last) = chunk.last() {
            let (store, after) = (self.clone(), last.client_id.to_string());
            // The next chunk is read while this one is processed.
            let next = tokio::spawn(async move { store.load_clients(&after, CHUNK).await });
            for client in chunk {
                on_row(LoadedRow::Client(client));
            }
            chunk = next
                .await
                .unwrap_or_else(|_| Err(StoreError::Unavailable("reading all clients failed".to_owned())))?;
        }
        Ok(())
    }

    pub(crate) async fn clients_managed_by(&self, owner: &str, after: &str, limit: usize) -> Result<Vec<Client>> {
        let (owner, after) = (owner.to_owned(), after.to_owned());
        self.read(move |t| {
            let mut select = t.prepare_cached(&rows::MANAGED_BY)?;
            let mut rows = select.query(params![owner, after, limit as i64])?;
            let mut clients = Vec::new();
            while let Some(r) = rows.next()? {
                clients.push(with_secrets(t, Client::from_row(r)?)?);
            }
            Ok(clients)
        })
        .await
    }

    pub(crate) async fn load_clients(&self, after: &str, limit: usize) -> Result<Vec<Client>> {
        let after = after.to_owned();
        self.read(move |t| clients_after(t, &after, limit)).await
    }
}

/// Inserts a client with its audit row. `None`: the id is taken. Returns the cut-off that was appended if the client had a
/// predecessor, whose versions it continues.
fn insert(
    t: &Connection,
    client: &Client,
    now_ms: u64,
    at: i64,
    audit: &AuditEntry,
) -> std::result::Result<Option<Vec<Revocation>>, Failure> {
    let predecessor = predecessor_version(t, &client.client_id)?;
    let numbered = Client {
        version: predecessor.map_or(client.version, |version| version.max(client.version)),
        ..client.clone()
    };
    let columns = Client::COLUMNS.iter().map(|column| (column.value)(&numbered));
    let values = columns.chain([ColumnValue::Integer(at)]);
    if t.prepare_cached(&rows::INSERT)?.execute(params_from_iter(values))? == 0 {
        return Ok(None);
    }
    add_secrets(t, client)?;
    let cutoff = predecessor.map(|_| Revocation::of_client(&*client.client_id, now_ms, numbered.version));
    if let Some(cutoff) = &cutoff {
        append_revocation(t, cutoff)?;
    }
    append_audit(t, at, audit, "client", &client.client_id)?;
    Ok(Some(cutoff.into_iter().collect()))
}

/// What an update writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// The fields of a client.
    Fields,
    /// Also its time of creation and its secrets.
    Everything,
}

/// Updates a client with its audit row. `false`: there is no such client, or its stored version is another one.
fn update(
    t: &Connection,
    client: &Client,
    now: i64,
    audit: &AuditEntry,
    written: Written,
) -> std::result::Result<bool, Failure> {
    let (sql, columns): (_, Vec<_>) = match written {
        Written::Fields => (
            &rows::UPDATE,
            Client::COLUMNS.iter().filter(|column| column.is_updated).collect(),
        ),
        Written::Everything => (&rows::OVERWRITE, Client::overwritten_columns().collect()),
    };
    let columns = columns.into_iter().map(|column| (column.value)(client));
    let values = columns.chain([
        ColumnValue::Integer(now),
        ColumnValue::Text(&client.client_id),
        ColumnValue::Integer(client.version),
    ]);
    let changed = t.prepare_cached(sql)?.execute(params_from_iter(values))?;
    if changed == 1 {
        if written == Written::Everything {
            t.prepare_cached("DELETE FROM client_secrets WHERE client_id = ?1")?
                .execute([&*client.client_id])?;
            add_secrets(t, client)?;
        }
        append_audit(t, now, audit, "client", &client.client_id)?;
    }
    Ok(changed == 1)
}

/// Reads clients by [`rows::AFTER`].
fn clients_after(t: &Connection, after: &str, limit: usize) -> std::result::Result<Vec<Client>, Failure> {
    let mut select = t.prepare_cached(&rows::AFTER)?;
    let mut rows = select.query(params![after, limit as i64])?;
    let (mut clients, mut secrets): (Vec<Client>, Vec<ClientSecret>) = (Vec::with_capacity(limit), Vec::new());
    let assign = |client: Option<&mut Client>, secrets: &mut Vec<ClientSecret>| {
        if let Some(client) = client {
            client.secrets = secrets.drain(..).collect();
        }
    };
    let next = Client::COLUMNS.len();
    while let Some(r) = rows.next()? {
        let id = r.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        if clients.last().is_none_or(|client| *client.client_id != *id) {
            assign(clients.last_mut(), &mut secrets);
            clients.push(Client::from_row(r)?);
        }
        secrets.extend(read_secret(r, next)?);
    }
    assign(clients.last_mut(), &mut secrets);
    Ok(clients)
}

fn exists(t: &Connection, client_id: &str) -> rusqlite::Result<bool> {
    t.prepare_cached("SELECT 1 FROM clients WHERE client_id = ?1")?
        .exists([client_id])
}

fn find(t: &Connection, client_id: &str) -> std::result::Result<Option<Client>, Failure> {
    let found = t
        .prepare_cached(&rows::BY_ID)?
        .query_row([client_id], |r| Ok(Client::from_row(r)))
        .optional()?
        .transpose()?;
    found.map(|client| with_secrets(t, client)).transpose()
}
