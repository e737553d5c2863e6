//! Clients in numbers: written a chunk at a time, and read in the order of their ids.

use std::fmt::Write;
use std::pin::pin;

use futures_util::TryStreamExt;

use serde_json::{Value, json};

use super::column::Seconds;
use super::{AuditEntry, Client, Failure, LONG, PATIENT, Param, PostgresStore, Result, StoreError, clients, row, verb};
use crate::model::{ClientSecret, Ledger, SigningAlg, TokenFormat};
use crate::store::Loaded;

/// What a chunk of clients looks like to SQL: one document, taken apart by the server.
macro_rules! asked {
    () => {
        "asked AS (
            SELECT * FROM json_to_recordset($1::text::json) AS t (client_id text, client_name text, grant_types text[],
                scope text, token_format text, signing_alg text, audience text[], resource_server text[], token_ledger text,
                access_token_lifetime bigint, disabled boolean, created_at bigint, version bigint, policy jsonb))"
    };
}

const INSERT: &str = concat!(
    "WITH ",
    asked!(),
    ", made AS (
        INSERT INTO clients (client_id, client_name, grant_types, scope, token_format, signing_alg, audience, resource_server,
            token_ledger, access_token_lifetime, disabled, created_at, updated_at, version, policy)
        SELECT client_id, client_name, grant_types, scope, token_format, signing_alg, audience, resource_server, token_ledger,
            access_token_lifetime, disabled, to_timestamp(created_at), $3, version, policy FROM asked
        ON CONFLICT DO NOTHING RETURNING client_id),
    kept AS (
        INSERT INTO client_secrets (client_id, hash, expires_at)
        SELECT s.client_id, decode(s.hash, 'hex'), to_timestamp(s.expires_at)
        FROM json_to_recordset($2::text::json) AS s (client_id text, hash text, expires_at bigint, age int)
        JOIN made USING (client_id) ORDER BY s.age DESC),
    cut AS (
        INSERT INTO revocations (target_kind, target_id, cutoff_ms, expires_at)
        SELECT 'client', client_id, $7, $8 FROM made
        WHERE EXISTS (SELECT 1 FROM revocations r WHERE r.target_kind = 'client' AND r.target_id = made.client_id)),
    noted AS (
        INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
        SELECT $3, $4, $5, 'client', client_id, $6 FROM made)
    SELECT count(*) FROM made"
);

const UPDATE: &str = concat!(
    "WITH ",
    asked!(),
    ", changed AS (
        UPDATE clients c SET client_name = t.client_name, grant_types = t.grant_types, scope = t.scope,
            token_format = t.token_format, signing_alg = t.signing_alg, audience = t.audience,
            resource_server = t.resource_server, token_ledger = t.token_ledger,
            access_token_lifetime = t.access_token_lifetime, disabled = t.disabled, policy = t.policy, updated_at = $2,
            version = c.version + 1
        FROM asked t WHERE c.client_id = t.client_id AND c.version = t.version RETURNING c.client_id),
    noted AS (
        INSERT INTO audit_log (at, actor, action, target_kind, target_id, detail)
        SELECT $2, $3, $4, 'client', client_id, $5 FROM changed)
    SELECT count(*) FROM changed"
);

fn document(client: &Client) -> Value {
    json!({
        "client_id": &*client.client_id,
        "client_name": client.client_name.as_deref(),
        "grant_types": client.grant_types.iter().map(|grant| grant.as_str()).collect::<Vec<_>>(),
        "scope": &*client.scope,
        "token_format": client.token_format.map(TokenFormat::as_str),
        "signing_alg": client.signing_alg.map(SigningAlg::as_str),
        "audience": client.audience.iter().map(|uri| &**uri).collect::<Vec<_>>(),
        "resource_server": client.resource_server.iter().map(|uri| &**uri).collect::<Vec<_>>(),
        "token_ledger": client.token_ledger.map(Ledger::as_str),
        "access_token_lifetime": client.access_token_lifetime,
        "disabled": client.disabled,
        "created_at": client.created_at,
        "version": client.version,
        "policy": row::policy(client),
    })
}

fn secrets(client: &Client) -> impl Iterator<Item = Value> + '_ {
    client.secrets.iter().enumerate().map(|(age, secret)| {
        let hash = secret.hash.iter().fold(String::with_capacity(64), |mut hash, byte| {
            // Into a string: there is nothing that could fail.
            let _ = write!(hash, "{byte:02x}");
            hash
        });
        json!({"client_id": &*client.client_id, "hash": hash, "expires_at": secret.expires_at, "age": age})
    })
}

impl PostgresStore {
    pub(in crate::store) async fn write_clients(
        &self,
        new: &[Client],
        changed: &[Client],
        now_ms: u64,
        audit: &AuditEntry,
    ) -> Result<()> {
        let documents = |clients: &[Client]| clients.iter().map(document).collect::<Value>().to_string();
        let (made, kept) = (
            documents(new),
            new.iter().flat_map(secrets).collect::<Value>().to_string(),
        );
        let (laid, at) = (documents(changed), Seconds((now_ms / 1000) as i64));
        verb!(self, PATIENT, |connection| {
            connection.begin("SET LOCAL statement_timeout = 5000").await?;
            if !new.is_empty() {
                let params: [&dyn Param; 8] = [
                    &made,
                    &kept,
                    &at,
                    &audit.actor,
                    &audit.action,
                    &audit.detail,
                    &(now_ms as i64),
                    &Seconds(row::cutoff_expiry(now_ms)),
                ];
                let count: i64 = connection.query_one(INSERT, &params).await?.try_get(0)?;
                expect(count, new)?;
            }
            if !changed.is_empty() {
                let params: [&dyn Param; 5] = [&laid, &at, &audit.actor, &audit.action, &audit.detail];
                let count: i64 = connection.query_one(UPDATE, &params).await?.try_get(0)?;
                expect(count, changed)?;
            }
            connection.commit().await?;
            Ok(())
        })
    }

    pub(in crate::store) async fn each_client(&self, take: &mut (dyn FnMut(Loaded) + Send)) -> Result<()> {
        verb!(self, LONG, |connection| {
            // One snapshot for both tables, each read from its beginning to its end: to join them would cost several times that.
            connection
                .begin(
                    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = 60000",
                )
                .await?;
            let mut rows = pin!(connection.stream(clients::EVERY).await?);
            while let Some(row) = rows.try_next().await? {
                take(Loaded::Client(clients::read_bare(&row)?));
            }
            let sql = "SELECT client_id, hash, expires_at FROM client_secrets ORDER BY id DESC";
            let mut rows = pin!(connection.stream(sql).await?);
            while let Some(row) = rows.try_next().await? {
                let secret = ClientSecret {
                    hash: row::hash(row.try_get(1)?)?,
                    expires_at: row.try_get::<_, Option<Seconds>>(2)?.map(|at| at.0),
                };
                take(Loaded::Secret(row.try_get(0)?, secret));
            }
            connection.commit().await?;
            Ok(())
        })
    }

    pub(in crate::store) async fn load_clients(&self, after: &str, limit: usize) -> Result<Vec<Client>> {
        verb!(self, PATIENT, |connection| {
            // A page's secrets are looked up by the index: a plan for all of them would read the whole table for each page.
            connection
                .begin("SET LOCAL statement_timeout = 5000; SET LOCAL enable_hashjoin = off; SET LOCAL enable_seqscan = off")
                .await?;
            let rows = connection.query(clients::PAGE, &[&after, &(limit as i64)]).await?;
            connection.commit().await?;
            rows.iter().map(clients::read).collect()
        })
    }
}

fn expect(count: i64, clients: &[Client]) -> std::result::Result<(), Failure> {
    if count as usize == clients.len() {
        return Ok(());
    }
    Err(StoreError::Conflict("some of the clients changed meanwhile: read them again".to_owned()).into())
}
