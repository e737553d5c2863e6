//! One connection: how statements are sent, which of them are prepared, and when it must be closed.

use std::collections::HashMap;
use std::fmt;

use futures_util::TryStreamExt;
use futures_util::future::join3;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{CancelToken, Client, Error, Row, RowStream, Statement};

use super::backends::BackendClaim;
use super::failure::Failure;
use super::generation::Generation;
use super::param::Param;
use super::timeouts::ROLLBACK;
use super::wal::Position;
use crate::error::StoreError;

/// A connection to the server, directly or through a pooler.
pub struct Connection {
    /// Dropped before the client: another connection may get the backend as soon as this one is closed.
    pub(super) claim: Option<BackendClaim>,
    pub(super) client: Client,
    pub(super) session: Session,
    generation: Generation,
    /// How far the server had replayed earlier in this session, if it is a replica.
    pub(super) replayed: Option<Position>,
    /// Set while a verb uses the connection. If it is still set when the connection is returned to the pool, the verb was
    /// cancelled and the state of the session is unknown.
    in_use: bool,
}

/// The kind of session behind a connection.
pub(super) enum Session {
    /// A server session for this connection alone: settings persist, and each statement is prepared once.
    Dedicated(HashMap<&'static str, Statement>),
    /// A session for one transaction at a time, from a pooler in transaction mode: each transaction begins with the settings
    /// (`begin`), and statements carry the types of their parameters instead of being prepared.
    Pooled { begin: &'static str, in_transaction: bool },
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(claim: Option<BackendClaim>, client: Client, session: Session, generation: Generation) -> Self {
        Self {
            claim,
            client,
            session,
            generation,
            replayed: None,
            in_use: false,
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.in_use
            || self.client.is_closed()
            || self.generation.is_over()
            || self.claim.as_ref().is_some_and(BackendClaim::is_invalid)
    }

    /// Reports an error that proves an undeclared pooler.
    fn report_pooler(&self) {
        if let Some(claim) = &self.claim {
            claim.report_pooler();
        }
    }

    /// Reports that sessions of this age may be read-only: they are closed.
    pub(super) fn report_read_only(&self) {
        self.generation.end();
    }

    /// Reports what a failure says about other connections.
    pub(super) fn report(&self, failure: &Failure) {
        if failure.proves_pooler() {
            self.report_pooler();
        }
        if failure.code() == Some("25006") {
            self.report_read_only();
        }
    }

    /// Marks the beginning of a verb.
    pub(super) fn start_use(&mut self) {
        self.in_use = true;
    }

    /// Marks the regular end of a verb.
    pub(super) fn end_use(&mut self) {
        self.in_use = false;
    }

    /// Whether the session is this connection's alone, so that it stays on one server.
    pub(super) fn is_dedicated(&self) -> bool {
        matches!(self.session, Session::Dedicated(_))
    }

    /// Token to cancel the statement in progress. `None` behind a pooler: the session may belong to another client when the
    /// request arrives, and pgbouncer 1.18 was seen to exit on such requests.
    pub(super) fn cancel_token(&self) -> Option<CancelToken> {
        match self.session {
            Session::Dedicated(_) => Some(self.client.cancel_token()),
            Session::Pooled { .. } => None,
        }
    }

    /// Begins a transaction and executes statements without parameters, in one round trip.
    pub(super) async fn begin(&mut self, statements: &str) -> Result<(), Error> {
        let begin = match &mut self.session {
            Session::Dedicated(_) => "BEGIN",
            Session::Pooled { begin, in_transaction } => {
                *in_transaction = true;
                *begin
            }
        };
        self.client.batch_execute(&format!("{begin}; {statements}")).await
    }

    pub(super) async fn commit(&mut self) -> Result<(), Error> {
        self.end_transaction("COMMIT").await
    }

    pub(super) async fn roll_back(&mut self) -> Result<(), Error> {
        self.end_transaction("ROLLBACK").await
    }

    async fn end_transaction(&mut self, statement: &str) -> Result<(), Error> {
        if let Session::Pooled { in_transaction, .. } = &mut self.session {
            *in_transaction = false;
        }
        self.client.batch_execute(statement).await
    }

    /// Rolls back the transaction that a failed verb may have left open. `ROLLBACK` outside a transaction is a warning, not an
    /// error. If it fails, the connection counts as broken.
    pub(super) async fn reset(&mut self) {
        let rolled_back = tokio::time::timeout(ROLLBACK, self.roll_back()).await;
        self.in_use = !matches!(rolled_back, Ok(Ok(())));
    }

    /// Prepares a statement for later; does nothing on a pooled session.
    pub(super) async fn prepare(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<(), Error> {
        if let Session::Dedicated(statements) = &mut self.session {
            prepared(statements, &self.client, sql, params).await?;
        }
        Ok(())
    }

    pub(super) async fn query(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<Vec<Row>, Error> {
        match &mut self.session {
            Session::Dedicated(statements) => {
                let statement = prepared(statements, &self.client, sql, params).await?;
                let rows = self.client.query_raw(&statement, untyped(params)).await?;
                rows.try_collect().await
            }
            Session::Pooled { begin, in_transaction } => {
                let rows = async {
                    let rows = self.client.query_typed_raw(sql, typed(params)).await?;
                    rows.try_collect().await
                };
                in_own_transaction(&self.client, begin, *in_transaction, rows).await
            }
        }
    }

    /// The first row of a statement that always returns one.
    pub(super) async fn query_one(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<Row, Failure> {
        let first = self.query(sql, params).await?.into_iter().next();
        first.ok_or_else(|| StoreError::Corrupt("a statement that always returns a row returned none".into()).into())
    }

    /// Streams rows without holding all of them in memory. Only within a transaction.
    pub(super) async fn stream(&mut self, sql: &'static str) -> Result<RowStream, Error> {
        match &mut self.session {
            Session::Dedicated(statements) => {
                let statement = prepared(statements, &self.client, sql, &[]).await?;
                self.client.query_raw(&statement, untyped(&[])).await
            }
            Session::Pooled { .. } => self.client.query_typed_raw(sql, typed(&[])).await,
        }
    }

    /// Executes a statement; returns the number of rows it affected.
    pub(super) async fn execute(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<u64, Error> {
        match &mut self.session {
            Session::Dedicated(statements) => {
                let statement = prepared(statements, &self.client, sql, params).await?;
                self.client.execute_raw(&statement, untyped(params)).await
            }
            Session::Pooled { begin, in_transaction } => {
                let params: Vec<(&(dyn ToSql + Sync), Type)> = typed(params).collect();
                let executed = self.client.execute_typed(sql, &params);
                in_own_transaction(&self.client, begin, *in_transaction, executed).await
            }
        }
    }

    /// Executes statements without parameters, in one round trip. Only within a transaction.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await
    }
}

fn untyped<'a>(params: &'a [&'a dyn Param]) -> impl ExactSizeIterator<Item = &'a (dyn ToSql + Sync)> {
    params.iter().map(|param| *param as &(dyn ToSql + Sync))
}

fn typed<'a>(params: &'a [&'a dyn Param]) -> impl ExactSizeIterator<Item = (&'a (dyn ToSql + Sync), Type)> {
    params.iter().map(|param| (*param as &(dyn ToSql + Sync), param.ty()))
}

/// The prepared statement of an SQL text; prepares it on first use.
async fn prepared(
    statements: &mut HashMap<&'static str, Statement>,
    client: &Client,
    sql: &'static str,
    params: &[&dyn Param],
) -> Result<Statement, Error> {
    if let Some(statement) = statements.get(sql) {
        return Ok(statement.clone());
    }
    let types: Vec<Type> = params.iter().map(|param| param.ty()).collect();
    let statement = client.prepare_typed(sql, &types).await?;
    statements.insert(sql, statement.clone());
    Ok(statement)
}

/// Executes a statement in a transaction of its own unless one is open, so that the settings in `begin` apply to it alone. All
/// three messages are sent before the first response; after one fails, the others have no effect.
async fn in_own_transaction<T>(
    client: &Client,
    begin: &str,
    in_transaction: bool,
    statement: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    if in_transaction {
        return statement.await;
    }
    let (opened, executed, committed) =
        join3(client.batch_execute(begin), statement, client.batch_execute("COMMIT")).await;
    opened?;
    let result = executed?;
    committed?;
    Ok(result)
}
