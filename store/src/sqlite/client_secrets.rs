//! Secrets of clients.

use rusqlite::{Connection, Row, params};

use super::audit::append_audit;
use super::failure::Failure;
use super::threads::SqliteStore;
use super::timeouts::ADMIN_LOCK_WAIT;
use crate::error::Result;
use crate::model::{AuditEntry, Client, ClientSecret, SecretHash};
use crate::row::{self, SecretRow};

impl SqliteStore {
    pub(crate) async fn replace_foreign_hash(
        &self,
        client_id: &str,
        foreign_id: &SecretHash,
        hash: &SecretHash,
        now: i64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let (client_id, foreign_id, hash, audit) = (client_id.to_owned(), *foreign_id, *hash, audit.clone());
        self.write(ADMIN_LOCK_WAIT, move |t| {
            // The right sides are the values before the update.
            let replaced = t
                .prepare_cached(
                    "UPDATE client_secrets SET hash = ?3, imported_as = hash, foreign_hash = NULL
                     WHERE client_id = ?1 AND hash = ?2 AND foreign_hash IS NOT NULL",
                )?
                .execute(params![client_id, foreign_id, hash])?;
            if replaced > 0 {
                append_audit(t, now, &audit, "client", &client_id)?;
            }
            Ok(replaced > 0)
        })
        .await
    }
}

/// Adds the secrets of a client, the oldest first.
pub(super) fn add_secrets(t: &Connection, client: &Client) -> rusqlite::Result<()> {
    for secret in client.secrets.iter().rev() {
        add_secret(t, &client.client_id, secret)?;
    }
    Ok(())
}

pub(super) fn add_secret(t: &Connection, client_id: &str, secret: &ClientSecret) -> rusqlite::Result<usize> {
    let (hash, foreign_hash, imported_as) = row::secret_columns(&secret.verifier);
    t.prepare_cached(
        "INSERT INTO client_secrets (client_id, hash, foreign_hash, imported_as, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![client_id, hash, foreign_hash, imported_as, secret.expires_at])
}

/// The secret in the four columns of a row that begin at `index`, if there is one.
pub(super) fn read_secret(r: &Row<'_>, index: usize) -> std::result::Result<Option<ClientSecret>, Failure> {
    let blob = |index| {
        r.get_ref(index)
            .and_then(|value| value.as_blob_or_null().map_err(rusqlite::Error::from))
    };
    let Some(hash) = blob(index)? else {
        return Ok(None);
    };
    let row = SecretRow {
        hash,
        foreign_hash: r.get_ref(index + 1)?.as_str_or_null().map_err(rusqlite::Error::from)?,
        imported_as: blob(index + 2)?,
        expires_at: r.get(index + 3)?,
    };
    Ok(Some(row.read()?))
}

pub(super) fn with_secrets(t: &Connection, mut client: Client) -> std::result::Result<Client, Failure> {
    let mut select = t.prepare_cached(
        "SELECT hash, foreign_hash, imported_as, expires_at FROM client_secrets WHERE client_id = ?1 ORDER BY id DESC",
    )?;
    let (mut rows, mut secrets) = (select.query([&*client.client_id])?, Vec::new());
    while let Some(r) = rows.next()? {
        secrets.extend(read_secret(r, 0)?);
    }
    client.secrets = secrets.into();
    Ok(client)
}
