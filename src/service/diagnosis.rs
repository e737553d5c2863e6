//! Checks of a store that an operator asks for: does it respond, is its clock right, is its schema current, does it
//! accept writes, can its keys sign.

use std::time::Duration;

use oauth2_actors::runtime::clock::{Clock, SystemClock};
use oauth2_store::{Store, StoreError};
use serde::Serialize;

use super::cut_offs::revokes_new_tokens;
use super::error::{Result, ServiceError};
use crate::keys::keyring::Keyring;
use crate::keys::wrapping::KeyWrapper;

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
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It passes.
    Ok,
    /// It passes, but something should be done.
    Warning,
    /// There is nothing to check.
    Skipped,
    /// It fails.
    Failed,
}

/// A check and its outcome.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What was checked.
    #[serde(rename = "check")]
    pub name: &'static str,
    /// The outcome.
    pub status: Status,
    /// For people.
    pub detail: String,
}

impl Check {
    /// A check with this outcome.
    pub fn new(name: &'static str, status: Status, detail: impl Into<String>) -> Self {
        Self {
            name,
            status,
            detail: detail.into(),
        }
    }
}

impl Diagnosis {
    /// Runs the checks. A check whose precondition fails is left out.
    pub async fn run(&self) -> Vec<Check> {
        let clock_ms = match self.store.ping().await {
            Ok(clock_ms) => clock_ms,
            Err(error) => return vec![Check::new("store", Status::Failed, error.to_string())],
        };
        let schema = self.schema().await;
        let is_current = schema.status == Status::Ok;
        let clock = if is_current {
            self.clock().await
        } else {
            difference(clock_ms)
        };
        let mut checks = vec![self.connection(), clock, schema];
        if is_current {
            checks.push(self.writes().await);
            let keys = self.keys().await;
            checks.push(keys.unwrap_or_else(|error| Check::new("keys", Status::Failed, error.to_string())));
        }
        checks
    }

    fn connection(&self) -> Check {
        let protection = self.store.transport_security();
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
        Check::new("schema", status, detail)
    }

    /// Writes and takes it back: a store that responds may accept no writes.
    async fn writes(&self) -> Check {
        match self.store.probe_writes(true).await {
            Ok(()) => Check::new("writes", Status::Ok, "the store accepts writes"),
            Err(error) => Check::new("writes", Status::Failed, error.to_string()),
        }
    }

    async fn keys(&self) -> Result<Check> {
        let keys = self.store.keys().await?;
        if keys.is_empty() {
            return Ok(Check::new(
                "keys",
                Status::Skipped,
                "there are none: the first start creates them",
            ));
        }
        let wrapper = self.wrapper.clone()?.ok_or_else(|| {
            ServiceError::Key("the key encryption key that unwraps the signing keys is missing".to_owned())
        })?;
        let (_, errors) = Keyring::open_lenient(&self.issuer, &wrapper, &keys, None, Duration::ZERO);
        if !errors.is_empty() {
            let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let detail = format!(
                "{} of {} signing keys cannot sign: {}",
                errors.len(),
                keys.len(),
                reasons.join("; ")
            );
            return Ok(Check::new("keys", Status::Failed, detail));
        }
        let stale = keys.iter().filter(|key| !wrapper.is_current(key)).count();
        if stale > 0 {
            let detail = format!(
                "{stale} of {} signing keys are wrapped under the previous key encryption key; run: oauth2_server key rewrap",
                keys.len()
            );
            return Ok(Check::new("keys", Status::Warning, detail));
        }
        let previous = if wrapper.previous.is_some() {
            "; OAUTH2_KEY_ENCRYPTION_KEY_PREVIOUS is not needed any more"
        } else {
            ""
        };
        let detail = format!("{} signing keys unwrap{previous}", keys.len());
        Ok(Check::new("keys", Status::Ok, detail))
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
