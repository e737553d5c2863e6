//! Clients and their secrets.

use std::sync::Arc;

use tokio_postgres::Row;

use super::column::Seconds;
use super::{
    AuditEntry, Client, Failure, ORDINARY, PATIENT, Page, Param, PostgresStore, Result, SecretHash, StoreError,
};
use super::{row, verb};
use crate::model::{ClientSecret, Ledger, SigningAlg, TokenFormat};

/// A client with its secrets, newest first, in one row and so in one snapshot.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT client_id, client_name, grant_types, scope, token_format, signing_alg, audience, resource_server,
                token_ledger, access_token_lifetime, disabled, created_at, version, policy,
                ARRAY(SELECT s.hash FROM client_secrets s WHERE s.client_id = c.client_id ORDER BY s.id DESC),
                ARRAY(SELECT s.expires_at FROM client_secrets s WHERE s.client_id = c.client_id ORDER BY s.id DESC)
             FROM clients c ",
            $rest
        )
    };
}

/// All clients, without their secrets.
pub(super) const EVERY: &str =
    "SELECT client_id, client_name, grant_types, scope, token_format, signing_alg, audience, resource_server,
    token_ledger, access_token_lifetime, disabled, created_at, version, policy FROM clients";

/// A page in the order of the ids.
pub(super) const PAGE: &str = select!("WHERE client_id > $1 ORDER BY client_id LIMIT $2");

/// A client's lists as the driver wants them.
struct Lists<'a> {
    grants: Vec<&'a str>,
    audience: Vec<&'a str>,
    resource_server: Vec<&'a str>,
}

impl<'a> Lists<'a> {
    fn of(client: &'a Client) -> Self {
        Self {
            grants: client.grant_types.iter().map(|g| g.as_str()).collect(),
            audience: client.audience.iter().map(|a| &**a).collect(),
            resource_server: client.resource_server.iter().map(|a| &**a).collect(),
        }
    }
}

impl PostgresStore {
    pub(in crate::store) async fn create_client(
        &self,
        client: &Client,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let sql = "WITH made AS (
                INSERT INTO clients (client_id, client_name, grant_types, scope, token_format, signing_alg, audience,
                    resource_server, token_ledger, access_token_lifetime, disabled, created_at, updated_at, version, policy)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $21)),
            kept AS (
                INSERT INTO client_secrets (client_id, hash, expires_at)
                SELECT $1, s.hash, s.expires_at
                FROM unnest($14::bytea[], $15::timestamptz[]) WITH ORDINALITY AS s (hash, expires_at, age)
                ORDER BY s.age DESC),
            cut AS (
                INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at)
                SELECT 'client', $1, $19, $20
                WHERE EXISTS (SELECT 1 FROM revocations WHERE target_kind = 'client' AND target_id = $1)
                RETURNING id),
            noted AS (
                INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
                VALUES ($12, $16, $17, 'client', $1, $18))
            SELECT EXISTS (SELECT 1 FROM cut)";
        let lists = Lists::of(client);
        let hashes: Vec<&[u8]> = client.secrets.iter().map(|s| &s.hash[..]).collect();
        let expiries: Vec<Option<Seconds>> = client.secrets.iter().map(|s| s.expires_at.map(Seconds)).collect();
        verb!(self, ORDINARY, |connection| {
            let made = connection
                .query_one(
                    sql,
                    &[
                        &&*client.client_id,
                        &client.client_name.as_deref(),
                        &lists.grants,
                        &&*client.scope,
                        &client.token_format.map(TokenFormat::as_str),
                        &client.signing_alg.map(SigningAlg::as_str),
                        &lists.audience,
                        &lists.resource_server,
                        &client.token_ledger.map(Ledger::as_str),
                        &client.access_token_lifetime.map(i64::from),
                        &client.disabled,
                        &Seconds(client.created_at),
                        &client.version,
                        &hashes,
                        &expiries,
                        &audit.actor,
                        &audit.action,
                        &audit.detail,
                        &(now_ms as i64),
                        &Seconds(row::cutoff_expiry(now_ms)),
                        &row::policy(client),
                    ],
                )
                .await;
            match made {
                Err(failure) if failure.code() == Some("23505") => {
                    Err(StoreError::Conflict(format!("the client {} exists already", client.client_id)).into())
                }
                made => Ok(made?.try_get(0)?),
            }
        })
    }

    pub(in crate::store) async fn client(&self, client_id: &str) -> Result<Option<Client>> {
        verb!(self, ORDINARY, |connection| {
            let rows = connection.query(select!("WHERE client_id = $1"), &[&client_id]).await?;
            rows.first().map(read).transpose()
        })
    }

    pub(in crate::store) async fn clients_named(&self, client_ids: &[String]) -> Result<Vec<Client>> {
        verb!(self, ORDINARY, |connection| {
            // A plan made while the table was small is kept while it grows: it must not be one that reads all of it.
            connection.begin("SET LOCAL enable_seqscan = off").await?;
            let rows = connection
                .query(select!("WHERE client_id = ANY ($1)"), &[&client_ids])
                .await?;
            connection.commit().await?;
            rows.iter().map(read).collect()
        })
    }

    pub(in crate::store) async fn list_clients(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Client>> {
        let end = row::prefix_end(prefix);
        verb!(self, PATIENT, |connection| {
            connection.begin("SET LOCAL statement_timeout = 5000").await?;
            let rows = connection
                .query(
                    select!("WHERE client_id > $1 AND client_id >= $2 AND client_id < $3 ORDER BY client_id LIMIT $4"),
                    &[&cursor.unwrap_or_default(), &prefix, &end, &(limit as i64 + 1)],
                )
                .await?;
            connection.commit().await?;
            let items = rows.iter().map(read).collect::<std::result::Result<_, Failure>>()?;
            Ok(Page::cut(items, limit, |client: &Client| client.client_id.to_string()))
        })
    }

    pub(in crate::store) async fn update_client(&self, client: &Client, now: i64, audit: &AuditEntry) -> Result<bool> {
        let sql = "WITH changed AS (
                UPDATE clients SET client_name = $3, grant_types = $4, scope = $5, token_format = $6, signing_alg = $7,
                    audience = $8, resource_server = $9, token_ledger = $10, access_token_lifetime = $11,
                    disabled = $12, updated_at = $13, version = version + 1, policy = $17
                WHERE client_id = $1 AND version = $2 RETURNING client_id),
            noted AS (
                INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
                SELECT $13, $14, $15, 'client', client_id, $16 FROM changed)
            SELECT EXISTS (SELECT 1 FROM changed), EXISTS (SELECT 1 FROM clients WHERE client_id = $1)";
        let lists = Lists::of(client);
        verb!(self, ORDINARY, |connection| {
            let answer = connection
                .query_one(
                    sql,
                    &[
                        &&*client.client_id,
                        &client.version,
                        &client.client_name.as_deref(),
                        &lists.grants,
                        &&*client.scope,
                        &client.token_format.map(TokenFormat::as_str),
                        &client.signing_alg.map(SigningAlg::as_str),
                        &lists.audience,
                        &lists.resource_server,
                        &client.token_ledger.map(Ledger::as_str),
                        &client.access_token_lifetime.map(i64::from),
                        &client.disabled,
                        &Seconds(now),
                        &audit.actor,
                        &audit.action,
                        &audit.detail,
                        &row::policy(client),
                    ],
                )
                .await?;
            match (answer.try_get(0)?, answer.try_get(1)?) {
                (true, _) => Ok(true),
                (false, false) => Ok(false),
                (false, true) => {
                    let text = format!("the client {} changed meanwhile: read it again", client.client_id);
                    Err(StoreError::Conflict(text).into())
                }
            }
        })
    }

    pub(in crate::store) async fn delete_client(
        &self,
        client_id: &str,
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let sql = "WITH gone AS (DELETE FROM clients WHERE client_id = $1 RETURNING client_id),
            cut AS (
                INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at)
                SELECT 'client', client_id, $2, $3 FROM gone)
            INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
            SELECT $4, $5, $6, 'client', client_id, $7 FROM gone";
        verb!(self, ORDINARY, |connection| {
            let gone = connection
                .execute(
                    sql,
                    &[
                        &client_id,
                        &(now_ms as i64),
                        &Seconds(row::cutoff_expiry(now_ms)),
                        &Seconds((now_ms / 1000) as i64),
                        &audit.actor,
                        &audit.action,
                        &audit.detail,
                    ],
                )
                .await?;
            Ok(gone == 1)
        })
    }

    pub(in crate::store) async fn rotate_secret(
        &self,
        client_id: &str,
        new: &SecretHash,
        old_expire_at: i64,
        now: i64,
        audit: &AuditEntry,
    ) -> Result<bool> {
        let locked = "UPDATE clients SET version = version + 1, updated_at = $2 WHERE client_id = $1";
        let removed = "DELETE FROM client_secrets WHERE client_id = $1 AND expires_at <= $2";
        // LEAST leaves a null out.
        let ended = "UPDATE client_secrets SET expires_at = LEAST(expires_at, $2) WHERE client_id = $1";
        let added = "WITH added AS (INSERT INTO client_secrets (client_id, hash) VALUES ($1, $2))
            INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
            VALUES ($3, $4, $5, 'client', $1, $6)";
        verb!(self, ORDINARY, |connection| {
            // Its own statements, so that each sees what a rotation that held the lock before has committed.
            connection.begin("").await?;
            if connection.execute(locked, &[&client_id, &Seconds(now)]).await? == 0 {
                connection.abandon().await?;
                return Ok(false);
            }
            connection.execute(removed, &[&client_id, &Seconds(now)]).await?;
            connection
                .execute(ended, &[&client_id, &Seconds(old_expire_at)])
                .await?;
            let params: [&dyn Param; 6] = [
                &client_id,
                &&new[..],
                &Seconds(now),
                &audit.actor,
                &audit.action,
                &audit.detail,
            ];
            connection.execute(added, &params).await?;
            connection.commit().await?;
            Ok(true)
        })
    }
}

pub(super) fn read(r: &Row) -> std::result::Result<Client, Failure> {
    let hashes: Vec<&[u8]> = r.try_get(14)?;
    let expiries: Vec<Option<Seconds>> = r.try_get(15)?;
    let secret = |(hash, expiry): (&[u8], Option<Seconds>)| {
        Ok(ClientSecret {
            hash: row::hash(hash)?,
            expires_at: expiry.map(|e| e.0),
        })
    };
    Ok(Client {
        secrets: hashes.into_iter().zip(expiries).map(secret).collect::<Result<_>>()?,
        ..read_bare(r)?
    })
}

/// A client without its secrets.
pub(super) fn read_bare(r: &Row) -> std::result::Result<Client, Failure> {
    let named = |i: usize| r.try_get::<_, Option<&str>>(i);
    let texts = |i: usize| r.try_get::<_, Vec<&str>>(i);
    let lifetime: Option<i64> = r.try_get(9)?;
    Ok(Client {
        client_id: r.try_get::<_, &str>(0)?.into(),
        client_name: named(1)?.map(Into::into),
        grant_types: texts(2)?
            .iter()
            .map(|g| row::parse("a client's grant", g))
            .collect::<Result<Vec<_>>>()?
            .into(),
        scope: r.try_get::<_, &str>(3)?.into(),
        token_format: named(4)?
            .map(|v| row::parse("a client's token format", v))
            .transpose()?,
        signing_alg: named(5)?.map(|v| row::parse("a client's signature", v)).transpose()?,
        audience: texts(6)?.into_iter().map(Arc::from).collect(),
        resource_server: texts(7)?.into_iter().map(Arc::from).collect(),
        token_ledger: named(8)?.map(|v| row::parse("a client's ledger", v)).transpose()?,
        access_token_lifetime: lifetime
            .map(u32::try_from)
            .transpose()
            .map_err(|_| StoreError::Corrupt(format!("a client's token lifetime is {lifetime:?}")))?,
        policy: row::read_policy(r.try_get(13)?)?,
        disabled: r.try_get(10)?,
        created_at: r.try_get::<_, Seconds>(11)?.0,
        version: r.try_get(12)?,
        secrets: Box::default(),
    })
}
