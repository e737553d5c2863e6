//! One connection: how statements are sent, what it remembers, when it is of no more use.

use std::collections::HashMap;
use std::fmt;

use futures_util::TryStreamExt;
use futures_util::future::join3;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{CancelToken, Client, Error, Row, RowStream, Statement};

use super::backends::Claim;
use super::param::Param;
use super::{Failure, STATEMENT, StoreError};

/// A connection, and what is between it and a session of the server.
pub struct Connection {
    /// Dropped before the client: when another connection may get the session, nobody is to think it still taken.
    pub(super) claim: Option<Claim>,
    pub(super) client: Client,
    pub(super) session: Session,
    /// A verb is under way: if it never says that it left, the session is in an unknown state.
    pub(super) in_use: bool,
}

/// What of a session lasts.
pub(super) enum Session {
    /// All of it: statements are prepared once.
    Own(HashMap<&'static str, Statement>),
    /// Nothing beyond a transaction: each begins with its own settings, and statements bring their types along.
    Lent { begin: &'static str, open: bool },
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn is_broken(&self) -> bool {
        self.in_use || self.client.is_closed() || self.claim.as_ref().is_some_and(Claim::is_void)
    }

    /// The session turned out not to be this connection's alone.
    pub(super) fn refute(&self) {
        if let Some(claim) = &self.claim {
            claim.refute();
        }
    }

    pub(super) fn enter(&mut self) {
        self.in_use = true;
    }

    pub(super) fn leave(&mut self) {
        self.in_use = false;
    }

    /// What ends the statement under way. Not behind a pooler: by the time it comes through the session may be another's, and
    /// pgbouncer 1.18 was seen to die of it.
    pub(super) fn cancel_token(&self) -> Option<CancelToken> {
        match self.session {
            Session::Own(_) => Some(self.client.cancel_token()),
            Session::Lent { .. } => None,
        }
    }

    /// Begins a transaction with statements that need no parameters, in one round trip.
    pub(super) async fn begin(&mut self, then: &str) -> Result<(), Error> {
        let begin = match &mut self.session {
            Session::Own(_) => "BEGIN",
            Session::Lent { begin, open } => {
                *open = true;
                *begin
            }
        };
        self.client.batch_execute(&format!("{begin}; {then}")).await
    }

    pub(super) async fn commit(&mut self) -> Result<(), Error> {
        self.end("COMMIT").await
    }

    pub(super) async fn abandon(&mut self) -> Result<(), Error> {
        self.end("ROLLBACK").await
    }

    async fn end(&mut self, how: &str) -> Result<(), Error> {
        if let Session::Lent { open, .. } = &mut self.session {
            *open = false;
        }
        self.client.batch_execute(how).await
    }

    /// Ends what a failed verb may have begun. `ROLLBACK` outside a transaction is a warning, not an error.
    pub(super) async fn roll_back(&mut self) {
        let ended = tokio::time::timeout(STATEMENT, self.abandon()).await;
        self.in_use = !matches!(ended, Ok(Ok(())));
    }

    /// Prepares a statement where that is of use later.
    pub(super) async fn prepare(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<(), Error> {
        if let Session::Own(known) = &mut self.session {
            prepared(known, &self.client, sql, params).await?;
        }
        Ok(())
    }

    pub(super) async fn query(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<Vec<Row>, Error> {
        match &mut self.session {
            Session::Own(known) => {
                let statement = prepared(known, &self.client, sql, params).await?;
                let rows = self.client.query_raw(&statement, untyped(params)).await?;
                rows.try_collect().await
            }
            Session::Lent { begin, open } => {
                let rows = async {
                    let rows = self.client.query_typed_raw(sql, typed(params)).await?;
                    rows.try_collect().await
                };
                within(&self.client, begin, *open, rows).await
            }
        }
    }

    /// The first row of a statement that answers one.
    pub(super) async fn query_one(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<Row, Failure> {
        let first = self.query(sql, params).await?.into_iter().next();
        first.ok_or_else(|| StoreError::Corrupt("a statement that always answers a row answered none".into()).into())
    }

    /// Rows as they come, without holding all of them. Within a transaction only.
    pub(super) async fn stream(&mut self, sql: &'static str) -> Result<RowStream, Error> {
        match &mut self.session {
            Session::Own(known) => {
                let statement = prepared(known, &self.client, sql, &[]).await?;
                self.client.query_raw(&statement, untyped(&[])).await
            }
            Session::Lent { .. } => self.client.query_typed_raw(sql, typed(&[])).await,
        }
    }

    pub(super) async fn execute(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<u64, Error> {
        match &mut self.session {
            Session::Own(known) => {
                let statement = prepared(known, &self.client, sql, params).await?;
                self.client.execute_raw(&statement, untyped(params)).await
            }
            Session::Lent { begin, open } => {
                let params: Vec<(&(dyn ToSql + Sync), Type)> = typed(params).collect();
                let done = self.client.execute_typed(sql, &params);
                within(&self.client, begin, *open, done).await
            }
        }
    }

    /// Statements without parameters, in one round trip. Within a transaction only.
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

/// Prepares a statement once a connection.
async fn prepared(
    known: &mut HashMap<&'static str, Statement>,
    client: &Client,
    sql: &'static str,
    params: &[&dyn Param],
) -> Result<Statement, Error> {
    if let Some(statement) = known.get(sql) {
        return Ok(statement.clone());
    }
    let types: Vec<Type> = params.iter().map(|param| param.ty()).collect();
    let statement = client.prepare_typed(sql, &types).await?;
    known.insert(sql, statement.clone());
    Ok(statement)
}

/// A statement in a transaction of its own, unless one is open: the settings must hold for it, and only it. All three messages
/// are on their way before the first is answered; where one fails, those that follow it do nothing.
async fn within<T>(
    client: &Client,
    begin: &str,
    open: bool,
    statement: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    if open {
        return statement.await;
    }
    let (opened, done, ended) = join3(client.batch_execute(begin), statement, client.batch_execute("COMMIT")).await;
    opened?;
    let done = done?;
    ended?;
    Ok(done)
}
