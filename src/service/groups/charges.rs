//! What groups are charged for: the tokens issued to their clients, per day or month.

use std::collections::BTreeMap;
use std::time::Instant;

use oauth2_store::model::{GROUP_USAGE_DAYS, Window};
use serde::Serialize;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time};
use utoipa::ToSchema;

use super::Groups;
use crate::service::error::{Result, ServiceError};

const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
const MONTH: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]");

/// Which tokens, and how they are added up.
#[derive(Debug, Default, Clone, Copy)]
pub struct ChargeQuery<'a> {
    /// The first day (UTC), as `2026-11-01`; by default the first of this month.
    pub from: Option<&'a str>,
    /// The last day; by default today.
    pub until: Option<&'a str>,
    /// `day` or `month`; by default `month`.
    pub by: Option<&'a str>,
    /// Of this group only.
    pub group: Option<&'a str>,
}

/// The tokens of a group in a period.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct Charge {
    /// A day (UTC), as `2026-11-30`, or the days of the query within a month, as `2026-11`.
    pub period: String,
    /// The group.
    pub group: String,
    /// Tokens issued to clients that were in the group then.
    pub tokens: u64,
}

impl Groups {
    /// What groups are charged for, by period and group. Nodes add what they issued four times a second.
    pub async fn charges(&self, query: ChargeQuery<'_>, deadline: Instant) -> Result<Vec<Charge>> {
        let now = (self.store.now_ms().await? / 1000) as i64;
        let first = match query.from {
            Some(text) => day("from", text)?,
            None => Window::Month.bounds_at(now).0,
        };
        let last = match query.until {
            Some(text) => day("until", text)?,
            None => Window::Day.bounds_at(now).0,
        };
        if last < first {
            return Err(ServiceError::parameter("until", "must not be before from"));
        }
        if (last - first) / 86_400 >= GROUP_USAGE_DAYS {
            let reason = format!("must be less than {GROUP_USAGE_DAYS} days after from");
            return Err(ServiceError::parameter("until", reason));
        }
        let format = match query.by {
            None | Some("month") => MONTH,
            Some("day") => DAY,
            Some(_) => return Err(ServiceError::parameter("by", "must be day or month")),
        };
        let group = query.group.map(str::to_owned);
        let usages = self
            .store
            .call(deadline, move |store| async move {
                store.group_usage(first..last + 86_400, group.as_deref()).await
            })
            .await?;
        let mut charges: BTreeMap<(String, String), u64> = BTreeMap::new();
        for usage in usages {
            let key = (written(usage.day, format), usage.group.to_string());
            *charges.entry(key).or_default() += usage.tokens;
        }
        let charge = |((period, group), tokens)| Charge { period, group, tokens };
        Ok(charges.into_iter().map(charge).collect())
    }
}

/// As CSV (RFC 4180) with a header. No name of a group begins a formula.
pub fn csv(charges: &[Charge]) -> Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let written = writer
        .write_record(["period", "group", "tokens"])
        .and_then(|()| charges.iter().try_for_each(|charge| writer.serialize(charge)));
    let text = written.ok().and_then(|()| writer.into_inner().ok());
    text.ok_or(ServiceError::Internal("CSV cannot be written to memory"))
}

/// The beginning of a day, Unix seconds.
fn day(name: &'static str, text: &str) -> Result<i64> {
    let date =
        Date::parse(text, DAY).map_err(|_| ServiceError::parameter(name, "must be a day, such as 2026-11-30"))?;
    Ok(date.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp())
}

fn written(day: i64, format: &[BorrowedFormatItem<'_>]) -> String {
    let day = OffsetDateTime::from_unix_timestamp(day).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    day.format(format).unwrap_or_default()
}
