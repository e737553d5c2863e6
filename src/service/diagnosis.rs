//! Checks of a store that an operator asks for: does it respond, is its clock right, is its schema current, does it
//! accept writes, can its replica be read from, is its ledger maintained, can its keys sign and are they rotated.

use oauth2_actors::runtime::clock::{Clock, SystemClock};
use oauth2_store::model::Capacity;
use oauth2_store::{Store, StoreError};

use super::cut_offs::revokes_new_tokens;
use super::error::Result;
use crate::keys::lifecycle::KeyTiming;
use crate::keys::wrapping::KeyWrapper;

mod check;
mod keys;
mod ledger;
mod replica;

pub use check::{Check, RUNBOOKS, Status};

/// A store whose clock differs by more gives tokens another lifetime than the configured one.
const MAX_CLOCK_DIFFERENCE_MS: u64 = 2_000;

/// Ids that are less ahead of the clock are not reported, milliseconds: a correction of a cut-off moves them by as much.
const MAX_IDS_AHEAD_MS: u64 = 30_000;

/// Cut-offs that are checked, newest first.
const CUT_OFFS: usize = 1000;

/// Diagnoses a store.
#[derive(Debug)]
pub struct Diagnosis {
    /// The store.
    pub store: Store,
    /// See [`SigningKeys::wrapper`](super::keys::SigningKeys::wrapper).
    pub wrapper: Result<Option<KeyWrapper>>,
    /// This issuer.
    pub issuer: String,
    /// When keys are rotated.
    pub key_timing: KeyTiming,
    /// The default lifetime of tokens, seconds.
    pub token_lifetime: u32,
}

impl Diagnosis {
    /// Runs the checks. A check whose precondition fails is left out.
    pub async fn run(&self) -> Vec<Check> {
        let clock_ms = match self.store.ping().await {
            Ok(clock_ms) => clock_ms,
            Err(error) => {
                let check = Check::new("store", Status::Failed, error.to_string());
                return vec![check.with_runbook("OAuth2StoreUnavailable")];
            }
        };
        let schema = self.schema().await;
        let is_current = schema.status == Status::Ok;
        let clock = if is_current {
            self.clock().await
        } else {
            difference(clock_ms)
        };
        let mut checks = vec![self.connection(), clock.with_runbook("OAuth2ClockSkew"), schema];
        if is_current {
            checks.push(self.writes().await.with_runbook("OAuth2StoreNotWritable"));
            checks.extend(replica::check(&self.store).await);
            checks.extend(ledger::check(&self.store, clock_ms as i64 / 1000, self.token_lifetime).await);
            let expected = keys::Expected {
                wrapper: &self.wrapper,
                issuer: &self.issuer,
                timing: &self.key_timing,
            };
            checks.extend(keys::check(self.store.keys().await, &expected));
        }
        checks
    }

    /// The connections of the database server, and its standbys; `None` for SQLite.
    pub async fn server_capacity(&self) -> Result<Option<Capacity>> {
        Ok(self.store.capacity().await?)
    }

    /// How connections to the database are protected; `None` for SQLite.
    pub fn protection(&self) -> Option<String> {
        self.store.transport_security()
    }

    fn connection(&self) -> Check {
        let protection = self.protection();
        let protection = protection.map_or_else(String::new, |protection| format!("; {protection}"));
        Check::new(
            "store",
            Status::Ok,
            format!("{} responds{protection}", self.store.kind()),
        )
    }

    /// Compares the store's clock with this machine's, with the token ids that were given, and with the cut-offs.
    async fn clock(&self) -> Check {
        let read =
            async { Ok::<_, StoreError>((self.store.time().await?, self.store.cut_offs(i64::MAX, CUT_OFFS).await?)) };
        let (time, cut_offs) = match read.await {
            Ok(read) => read,
            Err(error) => return Check::new("clock", Status::Failed, error.to_string()),
        };
        let mut check = difference(time.now_ms);
        let ahead_ms = time.id_ms().saturating_sub(time.now_ms);
        if ahead_ms > MAX_IDS_AHEAD_MS {
            let detail = format!(
                "; it was set back: token ids are {} s ahead of it and run at half speed until it has caught up",
                ahead_ms / 1000
            );
            check.detail.push_str(&detail);
            if check.status == Status::Ok {
                check.status = Status::Warning;
            }
        }
        let harmful = cut_offs
            .iter()
            .filter(|cut_off| revokes_new_tokens(cut_off, &time))
            .count();
        if harmful > 0 {
            let detail = format!(
                "; {harmful} cut-offs are later than every token id and revoke new tokens; run: oauth2_server token cutoffs"
            );
            check.detail.push_str(&detail);
            check.status = Status::Failed;
        }
        check
    }

    async fn schema(&self) -> Check {
        const RUN: &str = "run: oauth2_server migrate";
        let expected = self.store.required_schema_version();
        let (status, detail) = match self.store.schema_version().await {
            Ok(Some(version)) if version == expected => (Status::Ok, format!("version {version}")),
            Ok(Some(version)) => (Status::Failed, format!("version {version}, expected {expected}; {RUN}")),
            Ok(None) => (Status::Failed, format!("there is no schema; {RUN}")),
            Err(error) => (Status::Failed, error.to_string()),
        };
        Check::new("schema", status, detail).with_runbook("OAuth2StoreCorrupt")
    }

    /// Writes and takes it back: a store that responds may accept no writes.
    async fn writes(&self) -> Check {
        match self.store.probe_writes(true).await {
            Ok(()) => Check::new("writes", Status::Ok, "the store accepts writes"),
            Err(error @ StoreError::Denied(_)) => Check::new("privileges", Status::Failed, error.to_string()),
            Err(error) => Check::new("writes", Status::Failed, error.to_string()),
        }
    }
}

/// Compares the store's clock with this machine's.
fn difference(store_ms: u64) -> Check {
    let difference = SystemClock.unix_ms().abs_diff(store_ms);
    let status = if difference > MAX_CLOCK_DIFFERENCE_MS {
        Status::Failed
    } else {
        Status::Ok
    };
    Check::new("clock", status, format!("the store's clock differs by {difference} ms"))
}
