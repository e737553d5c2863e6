//! The probe of writes: whether this server accepts what requests write.

use super::connection::Connection;
use super::failure::{Failure, READ_ONLY};
use super::pool::{PostgresStore, with_connection};
use super::timeouts::ORDINARY;
use crate::error::{Result, StoreError};

/// Whether the server is a standby, whether the session is read-only, the missing privileges, and whether one of them is to write.
const STATE: &str = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
    coalesce(string_agg(privilege || ' on ' || name, ', '), ''), coalesce(bool_or(privilege <> 'SELECT'), false)
    FROM (VALUES
        ('tokens', 'SELECT'), ('revocations', 'SELECT'), ('audit_log', 'SELECT'), ('clients', 'SELECT'), ('client_secrets', 'SELECT'),
        ('signing_keys', 'SELECT'),
        ('tokens', 'INSERT'), ('revocations', 'INSERT'), ('audit_log', 'INSERT'),
        ('clients', 'INSERT'), ('clients', 'UPDATE'), ('clients', 'DELETE'),
        ('client_secrets', 'INSERT'), ('client_secrets', 'UPDATE'), ('client_secrets', 'DELETE'),
        ('signing_keys', 'INSERT'), ('signing_keys', 'UPDATE'), ('signing_keys', 'DELETE'),
        ('verify_only_keys', 'SELECT'), ('verify_only_keys', 'INSERT'), ('verify_only_keys', 'UPDATE'), ('verify_only_keys', 'DELETE'),
        ('key_fetchers', 'SELECT'), ('key_fetchers', 'INSERT'), ('key_fetchers', 'UPDATE'), ('key_fetchers', 'DELETE'),
        ('quota_usage', 'SELECT'), ('quota_usage', 'INSERT'), ('quota_usage', 'UPDATE'), ('quota_usage', 'DELETE'),
        ('remembered', 'SELECT'), ('remembered', 'INSERT'), ('remembered', 'UPDATE'), ('remembered', 'DELETE'), ('id_clock', 'SELECT'), ('id_clock', 'UPDATE'),
        ('client_groups', 'SELECT'), ('client_groups', 'INSERT'), ('client_groups', 'UPDATE'), ('client_groups', 'DELETE'),
        ('group_usage', 'SELECT'), ('group_usage', 'INSERT'), ('group_usage', 'UPDATE'), ('group_usage', 'DELETE'),
        ('cutoff_corrections', 'SELECT'), ('cutoff_corrections', 'INSERT'), ('log_epochs', 'SELECT')) AS needed (name, privilege)
    WHERE NOT has_table_privilege(name, privilege)";

/// Rows of a thorough probe: of 260 bytes each, they fill two pages.
const ROWS: u32 = 64;

/// Writes rows to the ledger and takes them back, in a transaction that is committed: its commit record reaches the disk.
fn write(rows: u32) -> String {
    format!(
        "SET LOCAL lock_timeout = '500ms'; SAVEPOINT probe;
         INSERT INTO tokens (jti, expires_at, client_id, scope, aud, format)
             SELECT gen_random_uuid(), now(), '', repeat('x', 200), '', 0 FROM generate_series(1, {rows});
         ROLLBACK TO SAVEPOINT probe"
    )
}

impl PostgresStore {
    pub(crate) async fn probe_writes(&self, is_thorough: bool) -> Result<()> {
        let rows = if is_thorough { ROWS } else { 1 };
        with_connection!(self, ORDINARY, |connection| {
            probe(connection, rows).await?;
            // After a failure: sessions that began while the database was read-only remain so, and are closed.
            if is_thorough {
                connection.report_read_only();
            }
            Ok(())
        })
    }
}

async fn probe(connection: &mut Connection, rows: u32) -> std::result::Result<(), Failure> {
    let state = connection.query_one(STATE, &[]).await?;
    let (is_standby, is_read_only) = (state.try_get(0)?, state.try_get(1)?);
    let (missing, is_write_missing): (&str, bool) = (state.try_get(2)?, state.try_get(3)?);
    let lacks = || format!("the database role lacks privileges: {missing}; grant them to the user in the database URL");
    let problem = match (is_standby, is_read_only) {
        (true, _) => STANDBY.to_owned(),
        (false, true) => READ_ONLY.to_owned(),
        (false, false) if is_write_missing => lacks(),
        (false, false) if !missing.is_empty() => return Err(StoreError::Denied(lacks()).into()),
        (false, false) => {
            connection.begin(&write(rows)).await?;
            return Ok(connection.commit().await?);
        }
    };
    if is_standby || is_read_only {
        connection.report_read_only();
    }
    Err(StoreError::NotWritable(problem).into())
}

/// Why a standby accepts no writes.
const STANDBY: &str =
    "the database server is a standby, which is read-only until it is promoted: connect to the primary";
