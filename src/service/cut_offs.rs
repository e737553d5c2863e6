//! Revocation cut-offs: lists them, and corrects one that was taken with a clock ahead of the store's.
//!
//! A cut-off that a server took never needs a correction: ids of new tokens are later than it, even if the clock was set back since. One
//! that is later than any id revokes new tokens too, until the ids have reached it. It was written with another clock: by the command line
//! next to an embedded store, by hand, or by an earlier version. No token that it was meant for has an id above the latest that was ever
//! given. So lowering it to that makes none of them active again.

use std::time::Instant;

use oauth2_store::model::{CutOff, Page, RevocationTarget, StoreTime};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::cursor;
use super::error::{NotFound, Result, ServiceError};
use super::operator::Operator;
use super::store_access::StoreAccess;

/// The list's name in its cursors.
const LIST: &str = "cutoffs";

/// Nodes move their ids past a cut-off that is this much ahead of them at most, milliseconds.
const FOLLOWED_MS: u64 = 30_000;

/// The use cases of cut-offs.
#[derive(Debug)]
pub struct CutOffs {
    /// The revocation log.
    pub store: StoreAccess,
}

/// A page of cut-offs, and the time by which they are judged.
#[derive(Debug)]
pub struct ListedCutOffs {
    /// The cut-offs, newest first.
    pub page: Page<CutOff>,
    /// When they were read.
    pub time: StoreTime,
}

/// A cut-off.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListedCutOff)]
pub struct CutOffView<'a> {
    /// Its id.
    pub id: i64,
    /// Whose tokens it revokes: `client`, `user`, `key` or `issuer`.
    pub target_kind: &'static str,
    /// The client, user or key; empty for the issuer.
    pub target_id: &'a str,
    /// Tokens issued up to this time are revoked, Unix milliseconds.
    pub revoked_before_ms: u64,
    /// The time before it was corrected, Unix milliseconds; `null` if it was not.
    pub corrected_from_ms: Option<u64>,
    /// Whether the time is later than the store's clock.
    pub is_in_future: bool,
    /// Whether it revokes tokens that are issued now. Correct it.
    pub revokes_new_tokens: bool,
}

impl<'a> CutOffView<'a> {
    /// A cut-off at a time.
    pub fn new(cut_off: &'a CutOff, time: &StoreTime) -> Self {
        let (target_kind, target_id) = match &cut_off.revocation.target {
            RevocationTarget::Client(id) => ("client", id.as_str()),
            RevocationTarget::User(id) => ("user", id.as_str()),
            RevocationTarget::Key(kid) => ("key", kid.as_str()),
            RevocationTarget::Issuer | RevocationTarget::Token { .. } => ("issuer", ""),
        };
        let (now, written) = (cut_off.revocation.cutoff_ms, cut_off.written_ms);
        Self {
            id: cut_off.id,
            target_kind,
            target_id,
            revoked_before_ms: now,
            corrected_from_ms: (written != now).then_some(written),
            is_in_future: now > time.now_ms,
            revokes_new_tokens: revokes_new_tokens(cut_off, time),
        }
    }
}

/// The latest time of any id that was given or that ids soon have, Unix milliseconds.
fn latest_id_ms(time: &StoreTime) -> u64 {
    time.id_ms().max(time.reserved_ms)
}

/// Whether a cut-off revokes tokens that are issued now.
pub fn revokes_new_tokens(cut_off: &CutOff, time: &StoreTime) -> bool {
    cut_off.revocation.cutoff_ms > latest_id_ms(time).max(time.id_ms().saturating_add(FOLLOWED_MS))
}

impl CutOffs {
    /// A page of cut-offs whose tokens may be unexpired, newest first.
    pub async fn list(&self, after: Option<&str>, limit: usize, deadline: Instant) -> Result<ListedCutOffs> {
        let before = match after {
            Some(cursor) => cursor::decode(LIST, cursor)?.parse().map_err(|_| cursor::damaged())?,
            None => i64::MAX,
        };
        let (rows, time) = self
            .store
            .call(deadline, move |store| async move {
                Ok((store.cut_offs(before, limit + 1).await?, store.time().await?))
            })
            .await?;
        let page = Page::cut(rows, limit, |row| cursor::encode(LIST, &row.id.to_string()));
        Ok(ListedCutOffs { page, time })
    }

    /// Lowers a cut-off that revokes new tokens to the latest id that was given. Answers it as it holds now, and the time. Nodes learn of
    /// it from the log.
    pub async fn correct(&self, operator: &Operator, id: i64, deadline: Instant) -> Result<(CutOff, StoreTime)> {
        let (found, time) = self
            .store
            .call(deadline, move |store| async move {
                Ok((store.cut_offs(id.saturating_add(1), 1).await?, store.time().await?))
            })
            .await?;
        let mut cut_off = found
            .into_iter()
            .find(|row| row.id == id)
            .ok_or(ServiceError::NotFound(NotFound::CutOff(id)))?;
        if !revokes_new_tokens(&cut_off, &time) {
            let text = format!(
                "the cut-off {id} does not revoke tokens that are issued now; lowering it would make tokens active that it revoked"
            );
            return Err(ServiceError::Conflict(text));
        }
        let (from_ms, to_ms) = (cut_off.revocation.cutoff_ms, latest_id_ms(&time));
        let audit = operator.audit(
            "revocation.correct",
            json!({"cutoff_id": id, "from_ms": from_ms, "to_ms": to_ms}),
        );
        let row = cut_off.clone();
        let is_corrected = self
            .store
            .call(deadline, move |store| async move {
                store.correct_cut_off(&row, to_ms, time.now_ms, &audit).await
            })
            .await?;
        if !is_corrected {
            return Err(ServiceError::Conflict(format!(
                "the cut-off {id} was corrected already"
            )));
        }
        cut_off.revocation.cutoff_ms = to_ms;
        Ok((cut_off, time))
    }
}
