//! The read replica: its connections, and whether a read may be answered by it.
//!
//! Each read checks the server that it reads from: on the same session, or in the same transaction, it first reads how far that
//! server has replayed. So several replicas may be behind one URL, and a server may be replaced at any time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bb8_postgres::bb8::{Pool, PooledConnection, QueueStrategy};
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::failure::Failure;
use super::opener::Opener;
use super::timeouts::{LONG, ORDINARY};
use super::wal::{History, POSITION, Position, Problem};
use crate::error::{Result, StoreError};
use crate::options::{ReadReplica, StoreOptions};
use crate::replica::{Fallback, ReadCounts, ReplicaState, ReplicaStatus};

/// Limit of a check of the replica.
const CHECK: Duration = Duration::from_secs(1);

/// A replica whose answer to the smallest query takes longer is not read from.
const MAX_ROUND_TRIP: Duration = Duration::from_millis(100);

/// How long a read waits for the replica to replay what the primary has written. Records that no commit flushes reach a standby after
/// 200 ms.
const CATCH_UP: Duration = Duration::from_millis(500);

/// Pause between two looks at how far it is.
const CATCH_UP_STEP: Duration = Duration::from_millis(5);

/// Begins a read whose server is checked in the same transaction. The read must not use a snapshot of before the check, as it would with
/// another default of the database.
const BEGIN_CHECKED: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// The same for a list, with the time limit of `LONG_STATEMENT`.
const BEGIN_CHECKED_LIST: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 5000";

/// What may be missing in the database role of the read URL.
const MISSING_PRIVILEGES: &str = "SELECT coalesce(string_agg('SELECT on ' || name, ', '), '')
    FROM (VALUES ('tokens'), ('audit_log'), ('log_epochs')) AS needed (name) WHERE NOT has_table_privilege(name, 'SELECT')";

/// What a read needs from the replica.
#[derive(Debug, Clone, Copy)]
pub(super) enum Need {
    /// It misses commits of the configured time at most.
    Recent,
    /// It has everything that the primary had at this position.
    Everything(Position),
}

/// The replica of a store.
#[derive(Debug)]
pub struct Replica {
    pool: Pool<Opener>,
    /// Error of the last attempt to connect, `None` after a success.
    last_failure: Arc<Mutex<Option<StoreError>>>,
    max_lag: Duration,
    max_connections: u32,
    history: Mutex<History>,
    checked: Mutex<Checked>,
    pub(super) counts: ReadCounts,
}

/// Result of the last check.
#[derive(Debug)]
struct Checked {
    state: ReplicaState,
    /// The replica has every commit of before this time.
    covered: Option<Instant>,
    is_primary: bool,
}

impl Replica {
    /// Builds the pool without connecting. Fails if the URL or a file that it names is invalid.
    pub(super) fn new(options: &ReadReplica, store: &StoreOptions) -> Result<Self> {
        let last_failure = Arc::new(Mutex::new(None));
        let opener = Opener::for_reads(&options.url, store, last_failure.clone()).map_err(|error| match error {
            StoreError::Corrupt(text) => StoreError::Corrupt(format!("OAUTH2_DATABASE_READ_URL: {text}")),
            other => other,
        })?;
        let pool = Pool::builder()
            .max_size(options.max_connections.max(1))
            .test_on_check_out(false)
            .connection_timeout(store.acquire_timeout.max(Duration::from_millis(1)))
            .idle_timeout(store.idle_timeout.max(Duration::from_secs(1)))
            .queue_strategy(QueueStrategy::Lifo)
            .build_unchecked(opener);
        let unchecked = "it was not checked yet".to_owned();
        Ok(Self {
            pool,
            last_failure,
            max_lag: options.max_lag,
            max_connections: options.max_connections.max(1),
            history: Mutex::default(),
            checked: Mutex::new(Checked {
                state: ReplicaState::Unused(Fallback::Unreachable, unchecked),
                covered: None,
                is_primary: false,
            }),
            counts: ReadCounts::default(),
        })
    }

    /// The state as of the last check, and the lag now.
    pub(super) fn status(&self) -> ReplicaStatus {
        let checked = self.checked();
        ReplicaStatus {
            state: checked.state.clone(),
            lag: checked.covered.map(|at| at.elapsed()),
            is_primary: checked.is_primary,
        }
    }

    /// Ends the use of a replica that did not answer in time. While every connection is in use, a read may only have waited for one of them:
    /// then the replica is left when one of these does not answer.
    pub(super) fn leave_slow(&self, why: &str) {
        let state = self.pool.state();
        if state.idle_connections > 0 || state.connections < self.max_connections {
            self.leave(Fallback::Slow, why);
        }
    }

    /// Ends the use of the replica until a check finds it usable.
    pub(super) fn leave(&self, reason: Fallback, why: &str) {
        self.checked().state = ReplicaState::Unused(reason, why.to_owned());
    }

    /// Why the replica is not in use.
    fn unused(&self) -> Option<Fallback> {
        match &self.checked().state {
            ReplicaState::InUse => None,
            ReplicaState::Unused(reason, _) => Some(*reason),
        }
    }

    /// Runs statements on the replica if it has what they need. They are the only ones of their transaction, if there is one.
    pub(super) async fn run<T>(
        &self,
        need: Need,
        read: impl AsyncFnOnce(&mut Connection) -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Fallback> {
        if let Some(reason) = self.unused() {
            return Err(reason);
        }
        let limit = match need {
            Need::Recent => ORDINARY,
            Need::Everything(_) => LONG,
        };
        let attempt = self.with_connection(limit, async |connection| {
            let statements = match need {
                Need::Recent if connection.is_dedicated() => None,
                Need::Recent => Some(BEGIN_CHECKED),
                Need::Everything(_) => Some(BEGIN_CHECKED_LIST),
            };
            if let Some(statements) = statements {
                connection.begin(statements).await?;
            }
            let answer = match self.confirm(connection, need).await? {
                Ok(()) => Ok(read(connection).await?),
                Err(reason) => Err(reason),
            };
            if statements.is_some() {
                connection.commit().await?;
            }
            Ok(answer)
        });
        match attempt.await {
            Ok(answer) => answer,
            Err((reason, why)) => {
                match reason {
                    Fallback::Slow => self.leave_slow(&why),
                    Fallback::Unreachable => self.leave(reason, &why),
                    _ => {}
                }
                Err(reason)
            }
        }
    }

    /// Whether the server of this connection has what a read needs.
    async fn confirm(
        &self,
        connection: &mut Connection,
        need: Need,
    ) -> std::result::Result<std::result::Result<(), Fallback>, Failure> {
        match need {
            Need::Recent => {
                // A server never goes back: what it had replayed earlier in this session may suffice.
                if let Some(known) = connection.replayed
                    && connection.is_dedicated()
                    && self.admits(&known).is_ok()
                {
                    return Ok(Ok(()));
                }
                let position = position(connection).await?;
                Ok(self.admits(&position))
            }
            Need::Everything(primary) => {
                let began = Instant::now();
                loop {
                    match position(connection).await?.has_reached(&primary) {
                        Err(Fallback::Behind) if began.elapsed() < CATCH_UP => sleep(CATCH_UP_STEP).await,
                        outcome => return Ok(outcome),
                    }
                }
            }
        }
    }

    fn admits(&self, position: &Position) -> std::result::Result<(), Fallback> {
        self.history().admits(position, self.max_lag)
    }

    /// Reads the replica's position, for [`Self::conclude`].
    pub(super) async fn check(&self) -> std::result::Result<Position, Problem> {
        self.with_connection(CHECK, async |connection| {
            let missing: String = connection.query_one(MISSING_PRIVILEGES, &[]).await?.try_get(0)?;
            if !missing.is_empty() {
                let problem = format!("the database role lacks privileges: {missing}");
                return Err(StoreError::Corrupt(problem).into());
            }
            connection.prepare(POSITION, &[]).await?;
            let asked = Instant::now();
            let position = position(connection).await?;
            Ok((position, asked.elapsed()))
        })
        .await
        .and_then(|(position, took)| {
            if took > MAX_ROUND_TRIP {
                let problem = format!("a round trip to it takes {} ms", took.as_millis());
                return Err((Fallback::Slow, problem));
            }
            Ok(position)
        })
    }

    /// Decides on the replica by a [`Self::check`] and by what the primary answered after it: its position, and when it was asked.
    pub(super) fn conclude(
        &self,
        replica: std::result::Result<Position, Problem>,
        primary: Option<(Instant, Position)>,
    ) -> ReplicaStatus {
        let is_primary = replica.as_ref().is_ok_and(|position| !position.is_standby);
        let (covered, judged) = {
            let mut history = self.history();
            if let Some((asked, position)) = primary {
                history.add(asked, position);
            }
            match (replica, primary) {
                (Ok(position), Some(_)) => history.judge(&position, self.max_lag),
                (Ok(_), None) => (
                    None,
                    Err((Fallback::Behind, "the primary does not tell its position".to_owned())),
                ),
                (Err(problem), _) => (None, Err(problem)),
            }
        };
        {
            let mut checked = self.checked();
            checked.is_primary = is_primary;
            // A server that was reached and is no replica has no lag.
            let is_foreign = matches!(judged, Err((Fallback::Foreign, _)));
            checked.covered = if is_foreign { None } else { covered.max(checked.covered) };
            checked.state = match judged {
                Ok(()) => ReplicaState::InUse,
                Err((reason, why)) => ReplicaState::Unused(reason, why),
            };
        }
        self.status()
    }

    /// Runs a block on a connection to the replica within a time limit.
    async fn with_connection<T>(
        &self,
        limit: Duration,
        block: impl AsyncFnOnce(&mut Connection) -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Problem> {
        let mut connection = self.acquire().await?;
        connection.start_use();
        let Ok(outcome) = timeout(limit, block(&mut *connection)).await else {
            // Dropped while it is in use, the connection is closed.
            return Err((Fallback::Slow, "it did not answer in time".to_owned()));
        };
        let failure = match outcome {
            Ok(done) => {
                connection.end_use();
                return Ok(done);
            }
            Err(failure) => failure,
        };
        connection.report(&failure);
        let is_lost = failure.breaks_connection();
        if !is_lost {
            connection.reset().await;
        }
        let error = StoreError::from(failure);
        let reason = match error {
            StoreError::Timeout => Fallback::Slow,
            _ if is_lost => Fallback::Unreachable,
            _ => Fallback::Failed,
        };
        Err((reason, error.to_string()))
    }

    async fn acquire(&self) -> std::result::Result<PooledConnection<'_, Opener>, Problem> {
        loop {
            match self.pool.get().await {
                // The server closed it while it was idle; dropping it removes it from the pool.
                Ok(connection) if connection.is_broken() => drop(connection),
                Ok(connection) => return Ok(connection),
                Err(_) => break,
            }
        }
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Err(match last {
            Some(error) => (Fallback::Unreachable, error.to_string()),
            None => (
                Fallback::Slow,
                "no connection to it was opened or free in time".to_owned(),
            ),
        })
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn checked(&self) -> MutexGuard<'_, Checked> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The position of the server of a connection.
async fn position(connection: &mut Connection) -> std::result::Result<Position, Failure> {
    let row = connection.query_one(POSITION, &[]).await?;
    let position = Position::read(&row)?;
    connection.replayed = Some(position);
    Ok(position)
}
