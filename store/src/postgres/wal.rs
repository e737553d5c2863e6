//! Positions in the write-ahead log: what a replica has replayed of what the primary wrote.
//!
//! A commit that is visible on the primary is in its log up to the flushed position. A replica that has replayed up to a position
//! that the primary had at a time therefore misses no commit of before that time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio_postgres::Row;

use super::failure::Failure;
use crate::replica::Fallback;

/// Positions of the primary that are remembered: a replica that is further behind has an unknown lag.
const REMEMBERED: usize = 256;

/// A query for a [`Position`]. `$of_primary`: the position of a server that is no standby.
macro_rules! position {
    ($of_primary:literal) => {
        concat!(
            "SELECT pg_is_in_recovery(),
                (CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn(), '0/0') ELSE ",
            $of_primary,
            " END - '0/0')::bigint,
                (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, c.system_identifier, d.oid::bigint
             FROM pg_control_system() c, pg_database d WHERE d.datname = current_database()"
        )
    };
}

/// Selects a [`Position`]. On a primary it is what is flushed, on a standby what is replayed.
pub(super) const POSITION: &str = position!("pg_current_wal_flush_lsn()");

/// The same, on a primary with what is written but not flushed, such as the record of an aborted transaction. Until a standby has replayed
/// that too, the transaction seems to run, and hides rows of the logs after it.
pub(super) const WRITTEN: &str = position!("pg_current_wal_insert_lsn()");

/// The position of a server at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) is_standby: bool,
    lsn: i64,
    /// When the server started: tells servers of one cluster apart.
    run: i64,
    database: Database,
}

/// A database and all of its physical copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Database {
    system_identifier: i64,
    oid: i64,
}

impl Position {
    /// Reads a row of [`POSITION`].
    pub(super) fn read(row: &Row) -> Result<Self, Failure> {
        Ok(Self {
            is_standby: row.try_get(0)?,
            lsn: row.try_get(1)?,
            run: row.try_get(2)?,
            database: Database {
                system_identifier: row.try_get(3)?,
                oid: row.try_get(4)?,
            },
        })
    }

    /// Whether this server is the other one, or a standby of the same cluster. Of two that are not standbys, one is not the primary.
    fn may_replicate(&self, primary: &Self) -> bool {
        self.database == primary.database && (self.is_standby || self.run == primary.run)
    }

    /// Whether this server has everything that the primary had at its position.
    pub(super) fn has_reached(&self, primary: &Self) -> Result<(), Fallback> {
        if !self.may_replicate(primary) {
            return Err(Fallback::Foreign);
        }
        if self.is_standby && self.lsn < primary.lsn {
            return Err(Fallback::Behind);
        }
        Ok(())
    }
}

/// Positions that the primary has had, each with a time at which it had reached it.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Oldest first, all of the same run of the same server.
    samples: VecDeque<(Instant, Position)>,
}

impl History {
    /// Adds a position of the primary that was asked for at `asked`.
    pub(super) fn add(&mut self, asked: Instant, position: Position) {
        if position.is_standby {
            // The primary is not known.
            self.samples.clear();
            return;
        }
        // After a failover positions of the old primary say nothing about the new one.
        let is_same = |(_, last): &(Instant, Position)| last.run == position.run && last.database == position.database;
        if !self.samples.back().is_some_and(is_same) {
            self.samples.clear();
        }
        if self.samples.len() == REMEMBERED {
            self.samples.pop_front();
        }
        self.samples.push_back((asked, position));
    }

    /// A time such that a server at this position has every commit of before it; `None`: unknown.
    fn covered(&self, position: &Position) -> Option<Instant> {
        let newest_first = self.samples.iter().rev();
        let mut reached = newest_first.filter(|(_, primary)| position.lsn >= primary.lsn);
        reached.next().map(|(asked, _)| *asked)
    }

    /// Whether a server at this position misses commits of the last `max_lag` at most.
    pub(super) fn admits(&self, position: &Position, max_lag: Duration) -> Result<(), Fallback> {
        let Some((_, primary)) = self.samples.back() else {
            return Err(Fallback::Behind);
        };
        if !position.may_replicate(primary) {
            return Err(Fallback::Foreign);
        }
        let is_recent = || self.covered(position).is_some_and(|at| at.elapsed() <= max_lag);
        if !position.is_standby || is_recent() {
            Ok(())
        } else {
            Err(Fallback::Behind)
        }
    }

    /// Judges a replica by a position that was read before the last one of the primary. The time that it has everything of, or why
    /// it is not read from.
    pub(super) fn judge(&self, replica: &Position, max_lag: Duration) -> (Option<Instant>, Result<(), Problem>) {
        let Some((newest, primary)) = self.samples.back() else {
            let problem = "the position of the primary is unknown".to_owned();
            return (None, Err((Fallback::Behind, problem)));
        };
        let foreign = |problem: &str| (None, Err((Fallback::Foreign, problem.to_owned())));
        if replica.database != primary.database {
            return foreign(
                "it is not a copy of the database of OAUTH2_DATABASE_URL, but another cluster or another database",
            );
        }
        if !replica.is_standby {
            return if replica.run == primary.run {
                (Some(*newest), Ok(()))
            } else {
                foreign("it accepts writes and is not the primary of OAUTH2_DATABASE_URL")
            };
        }
        if replica.lsn > primary.lsn {
            return foreign(
                "it is ahead of the primary: its history differs, as that of a standby that was not rewound after a failover",
            );
        }
        let covered = self.covered(replica);
        let admitted = self.admits(replica, max_lag).map_err(|reason| {
            (
                reason,
                format!("it is behind the primary by more than {} ms", max_lag.as_millis()),
            )
        });
        (covered, admitted)
    }
}

/// Why a replica is not read from, and a sentence about it.
pub(super) type Problem = (Fallback, String);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const LAG: Duration = Duration::from_secs(1);

    fn at(is_standby: bool, lsn: i64, run: i64) -> Position {
        let database = Database {
            system_identifier: 7,
            oid: 5,
        };
        Position {
            is_standby,
            lsn,
            run,
            database,
        }
    }

    fn ago(milliseconds: u64) -> Instant {
        Instant::now().checked_sub(Duration::from_millis(milliseconds)).unwrap()
    }

    /// A primary that was at 10, 20 and 30.
    fn history() -> History {
        let mut history = History::default();
        for (milliseconds, lsn) in [(1500, 10), (600, 20), (100, 30)] {
            history.add(ago(milliseconds), at(false, lsn, 1));
        }
        history
    }

    #[test]
    fn a_replica_is_admitted_by_the_newest_position_that_it_has_replayed() {
        let history = history();
        assert_eq!(history.admits(&at(true, 9, 2), LAG), Err(Fallback::Behind));
        assert_eq!(history.admits(&at(true, 19, 2), LAG), Err(Fallback::Behind), "1.5 s");
        assert_eq!(history.admits(&at(true, 20, 2), LAG), Ok(()));
        assert_eq!(
            history.admits(&at(true, 29, 2), Duration::from_millis(300)),
            Err(Fallback::Behind)
        );
        assert_eq!(history.admits(&at(true, 30, 2), Duration::from_millis(300)), Ok(()));
        assert_eq!(History::default().admits(&at(true, 30, 2), LAG), Err(Fallback::Behind));
    }

    #[test]
    fn a_server_that_is_no_replica_is_foreign() {
        let history = history();
        let mut other = at(true, 30, 2);
        other.database.oid = 6;
        let second_primary = at(false, 30, 2);
        for foreign in [other, second_primary] {
            assert_eq!(history.admits(&foreign, LAG), Err(Fallback::Foreign));
            assert_eq!(foreign.has_reached(&at(false, 1, 1)), Err(Fallback::Foreign));
            assert_eq!(history.judge(&foreign, LAG).1.unwrap_err().0, Fallback::Foreign);
        }
        // It has what the primary does not: it follows an earlier one.
        assert_eq!(history.judge(&at(true, 31, 2), LAG).1.unwrap_err().0, Fallback::Foreign);
        assert_eq!(history.judge(&at(true, 30, 2), LAG).1, Ok(()));
        assert_eq!(history.judge(&at(false, 30, 1), LAG).1, Ok(()), "the primary itself");
    }

    #[test]
    fn positions_of_another_primary_are_forgotten() {
        let mut history = history();
        history.add(ago(0), at(false, 5, 3));
        assert_eq!(history.admits(&at(true, 4, 2), LAG), Err(Fallback::Behind));
        assert_eq!(history.admits(&at(true, 5, 2), LAG), Ok(()));
        history.add(ago(0), at(true, 50, 3));
        assert_eq!(
            history.admits(&at(true, 50, 2), LAG),
            Err(Fallback::Behind),
            "no primary"
        );
    }

    #[test]
    fn a_list_needs_all_that_the_primary_has_written() {
        let primary = at(false, 30, 1);
        assert_eq!(at(true, 29, 2).has_reached(&primary), Err(Fallback::Behind));
        assert_eq!(at(true, 30, 2).has_reached(&primary), Ok(()));
        assert_eq!(primary.has_reached(&primary), Ok(()));
    }
}
