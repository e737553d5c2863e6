//! Clients and their secrets.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{AuditEntry, Client, Failure, PATIENT, Page, Result, Revocation, SecretHash, SqliteStore, StoreError};
use super::{logs, row};
use crate::model::{ClientSecret, Ledger, RevocationTarget, SigningAlg, TokenFormat};

const COLUMNS: &str = "client_id, client_name, grant_types, scope, token_format, signing_alg, audience, \
                       resource_server, token_ledger, access_token_lifetime, disabled, created_at, version, policy";

impl SqliteStore {
    pub(in crate::store) async fn create_client(
        &self,
        client: &Client,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let (client, audit) = (client.clone(), audit.clone());
        self.write(PATIENT, move |t| insert(t, &client, now_ms, client.created_at, &audit))
            .await
    }

    pub(in crate::store) async fn clients_named(&self, client_ids: &[String]) -> Result<Vec<Client>> {
        let client_ids = client_ids.to_vec();
        self.read(move |t| {
            let found = client_ids.iter().map(|client_id| find(t, client_id));
            Ok(found
                .collect::<std::result::Result<Vec<_>, _>>()?
                .into_iter()
                .flatten()
                .collect())
        })
        .await
    }

    pub(in crate::store) async fn client(&self, client_id: &str) -> Result<Option<Client>> {
        let client_id = client_id.to_owned();
        self.read(move |t| find(t, &client_id)).await
    }

    pub(in crate::store) async fn list_clients(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Client>> {
        let (prefix, end) = (prefix.to_owned(), row::prefix_end(prefix));
        let after = cursor.unwrap_or_default().to_owned();
        self.read(move |t| {
            let mut select = t.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM clients WHERE client_id > ?1 AND client_id >= ?2 AND client_id < ?3
                 ORDER BY client_id LIMIT ?4"
            ))?;
            let mut rows = select.query(params![after, prefix, end, limit as i64 + 1])?;
            let mut items = Vec::new();
            while let Some(r) = rows.next()? {
                items.push(with_secrets(t, read(r)?)?);
            }
            Ok(Page::cut(items, limit, |client| client.client_id.to_string()))
        })
        .await
    }

    pub(in crate::store) async fn update_client(&self, client: &Client, now: i64, audit: &AuditEntry) -> Result<bool> {
        let (client, audit) = (client.clone(), audit.clone());
        self.write(PATIENT, move |t| {
            if update(t, &client, now, &audit)? {
                return Ok(true);
            }
            if exists(t, &client.client_id)? {
                let text = format!("the client {} changed meanwhile: read it again", client.client_id);
                return Err(StoreError::Conflict(text).into());
            }
            Ok(false)
        })
        .await
    }

    pub(in crate::store) async fn delete_client(
        &self,
        client_id: &str,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let (client_id, audit) = (client_id.to_owned(), audit.clone());
        self.write(PATIENT, move |t| {
            if t.prepare_cached("DELETE FROM clients WHERE client_id = ?1")?
                .execute([&client_id])?
                == 0
            {
                return Ok(false);
            }
            let cutoff = Revocation {
                target: RevocationTarget::Client(client_id.clone()),
                cutoff_ms: now_ms,
            };
            logs::append_revocation(t, &cutoff)?;
            logs::append_audit(t, (now_ms / 1000) as i64, &audit, "client", &client_id)?;
            Ok(true)
        })
        .await
    }

    pub(in crate::store) async fn rotate_secret(
        &self,
        client_id: &str,
        new: &SecretHash,
        old_expire_at: i64,
        now: i64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let (client_id, new, audit) = (client_id.to_owned(), *new, audit.clone());
        self.write(PATIENT, move |t| {
            let changed = t
                .prepare_cached("UPDATE clients SET version = version + 1, updated_at = ?2 WHERE client_id = ?1")?
                .execute(params![client_id, now])?;
            if changed == 0 {
                return Ok(false);
            }
            t.prepare_cached("DELETE FROM client_secrets WHERE client_id = ?1 AND expires_at <= ?2")?
                .execute(params![client_id, now])?;
            t.prepare_cached(
                "UPDATE client_secrets SET expires_at = min(coalesce(expires_at, ?2), ?2) WHERE client_id = ?1",
            )?
            .execute(params![client_id, old_expire_at])?;
            add_secret(t, &client_id, &new, None)?;
            logs::append_audit(t, now, &audit, "client", &client_id)?;
            Ok(true)
        })
        .await
    }
}

/// Stores a new client; answers whether there was one of its name before, whose tokens are dead from now on.
pub(super) fn insert(
    t: &Connection,
    client: &Client,
    now_ms: u64,
    at: i64,
    audit: &AuditEntry,
) -> std::result::Result<bool, Failure> {
    let made = t
        .prepare_cached(&format!(
            "INSERT INTO clients ({COLUMNS}, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?12) ON CONFLICT DO NOTHING"
        ))?
        .execute(params![
            &*client.client_id,
            client.client_name.as_deref(),
            list(client.grant_types.iter().map(|g| g.as_str())),
            &*client.scope,
            client.token_format.map(TokenFormat::as_str),
            client.signing_alg.map(SigningAlg::as_str),
            list(client.audience.iter().map(|a| &**a)),
            list(client.resource_server.iter().map(|a| &**a)),
            client.token_ledger.map(Ledger::as_str),
            client.access_token_lifetime,
            client.disabled,
            client.created_at,
            client.version,
            policy_text(client),
        ])?;
    if made == 0 {
        return Err(StoreError::Conflict(format!("the client {} exists already", client.client_id)).into());
    }
    for secret in client.secrets.iter().rev() {
        add_secret(t, &client.client_id, &secret.hash, secret.expires_at)?;
    }
    let known = t
        .prepare_cached("SELECT 1 FROM revocations WHERE target_kind = 'client' AND target_id = ?1")?
        .exists([&*client.client_id])?;
    if known {
        let target = RevocationTarget::Client(client.client_id.to_string());
        let cutoff_ms = now_ms;
        logs::append_revocation(t, &Revocation { target, cutoff_ms })?;
    }
    logs::append_audit(t, at, audit, "client", &client.client_id)?;
    Ok(known)
}

/// Writes a client if its version is still the one that was read.
pub(super) fn update(
    t: &Connection,
    client: &Client,
    now: i64,
    audit: &AuditEntry,
) -> std::result::Result<bool, Failure> {
    let changed = t
        .prepare_cached(
            "UPDATE clients SET client_name = ?3, grant_types = ?4, scope = ?5, token_format = ?6,
                 signing_alg = ?7, audience = ?8, resource_server = ?9, token_ledger = ?10,
                 access_token_lifetime = ?11, disabled = ?12, updated_at = ?13, policy = ?14, version = version + 1
             WHERE client_id = ?1 AND version = ?2",
        )?
        .execute(params![
            &*client.client_id,
            client.version,
            client.client_name.as_deref(),
            list(client.grant_types.iter().map(|g| g.as_str())),
            &*client.scope,
            client.token_format.map(TokenFormat::as_str),
            client.signing_alg.map(SigningAlg::as_str),
            list(client.audience.iter().map(|a| &**a)),
            list(client.resource_server.iter().map(|a| &**a)),
            client.token_ledger.map(Ledger::as_str),
            client.access_token_lifetime,
            client.disabled,
            now,
            policy_text(client),
        ])?;
    if changed == 1 {
        logs::append_audit(t, now, audit, "client", &client.client_id)?;
    }
    Ok(changed == 1)
}

/// Clients in the order of their ids, each with its secrets: one statement, a row for each secret.
pub(super) fn page(t: &Connection, after: &str, limit: usize) -> std::result::Result<Vec<Client>, Failure> {
    let mut select = t.prepare_cached(&format!(
        "SELECT {}, s.hash, s.expires_at FROM (SELECT * FROM clients WHERE client_id > ?1 ORDER BY client_id LIMIT ?2) c
         LEFT JOIN client_secrets s ON s.client_id = c.client_id ORDER BY c.client_id, s.id DESC",
        COLUMNS.split(", ").map(|column| format!("c.{column}")).collect::<Vec<_>>().join(", ")
    ))?;
    let mut rows = select.query(params![after, limit as i64])?;
    let (mut clients, mut secrets): (Vec<Client>, Vec<ClientSecret>) = (Vec::with_capacity(limit), Vec::new());
    while let Some(r) = rows.next()? {
        let id = r.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        if clients.last().is_none_or(|client| *client.client_id != *id) {
            give(clients.last_mut(), &mut secrets);
            clients.push(read(r)?);
        }
        if let Some(hash) = r.get_ref(14)?.as_blob_or_null().map_err(rusqlite::Error::from)? {
            secrets.push(ClientSecret {
                hash: row::hash(hash)?,
                expires_at: r.get(15)?,
            });
        }
    }
    give(clients.last_mut(), &mut secrets);
    Ok(clients)
}

fn give(client: Option<&mut Client>, secrets: &mut Vec<ClientSecret>) {
    if let Some(client) = client {
        client.secrets = secrets.drain(..).collect();
    }
}

fn exists(t: &Connection, client_id: &str) -> rusqlite::Result<bool> {
    t.prepare_cached("SELECT 1 FROM clients WHERE client_id = ?1")?
        .exists([client_id])
}

fn add_secret(t: &Connection, client_id: &str, hash: &SecretHash, expires_at: Option<i64>) -> rusqlite::Result<usize> {
    t.prepare_cached("INSERT INTO client_secrets (client_id, hash, expires_at) VALUES (?1, ?2, ?3)")?
        .execute(params![client_id, hash, expires_at])
}

fn with_secrets(t: &Connection, mut client: Client) -> std::result::Result<Client, Failure> {
    let mut select =
        t.prepare_cached("SELECT hash, expires_at FROM client_secrets WHERE client_id = ?1 ORDER BY id DESC")?;
    let (mut rows, mut secrets) = (select.query([&*client.client_id])?, Vec::new());
    while let Some(r) = rows.next()? {
        let hash = row::hash(r.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?;
        secrets.push(ClientSecret {
            hash,
            expires_at: r.get(1)?,
        });
    }
    client.secrets = secrets.into();
    Ok(client)
}

fn find(t: &Connection, client_id: &str) -> std::result::Result<Option<Client>, Failure> {
    let found = t
        .prepare_cached(&format!("SELECT {COLUMNS} FROM clients WHERE client_id = ?1"))?
        .query_row([client_id], |r| Ok(read(r)))
        .optional()?
        .transpose()?;
    found.map(|client| with_secrets(t, client)).transpose()
}

fn read(r: &Row<'_>) -> std::result::Result<Client, Failure> {
    let named = |i: usize| r.get::<_, Option<String>>(i);
    let grants: Vec<String> = unlist(r, 2)?;
    let policy = named(13)?
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| row::bad_policy(&error))?;
    Ok(Client {
        client_id: r.get::<_, String>(0)?.into(),
        client_name: named(1)?.map(Into::into),
        grant_types: grants
            .iter()
            .map(|g| row::parse("a client's grant", g))
            .collect::<Result<Vec<_>>>()?
            .into(),
        scope: r.get::<_, String>(3)?.into(),
        token_format: named(4)?
            .map(|v| row::parse("a client's token format", &v))
            .transpose()?,
        signing_alg: named(5)?.map(|v| row::parse("a client's signature", &v)).transpose()?,
        audience: unlist(r, 6)?.into(),
        resource_server: unlist(r, 7)?.into(),
        token_ledger: named(8)?.map(|v| row::parse("a client's ledger", &v)).transpose()?,
        access_token_lifetime: r.get(9)?,
        policy: row::read_policy(policy)?,
        disabled: r.get(10)?,
        created_at: r.get(11)?,
        version: r.get(12)?,
        secrets: Box::default(),
    })
}

fn policy_text(client: &Client) -> Option<String> {
    row::policy(client).map(|policy| policy.to_string())
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    items
        .map(|i| serde_json::Value::String(i.to_owned()))
        .collect::<serde_json::Value>()
        .to_string()
}

fn unlist<T: From<String>>(r: &Row<'_>, column: usize) -> std::result::Result<Vec<T>, Failure> {
    let text: String = r.get(column)?;
    let items: Vec<String> = serde_json::from_str(&text)
        .map_err(|e| StoreError::Corrupt(format!("a client's list {text:?} cannot be read: {e}")))?;
    Ok(items.into_iter().map(T::from).collect())
}
