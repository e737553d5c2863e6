//! Quotas: how many tokens a client may be issued per hour, day and month (UTC).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth2_actors::metrics::Instruments;
use oauth2_actors::quota_keeper;
use oauth2_actors::quota_keeper::{Counters, LeasedToken, QuotaError, QuotaLeases, WindowUsage};
use oauth2_actors::runtime::clock::{Clock, StoreClock};
use oauth2_actors::runtime::spans;
use oauth2_store::model::{Client, Decision, Mode, Quotas, Usage};

use super::error::{InvalidMetadata, Limit, LimitExceeded, Result, ServiceError};
use super::limit_status::LimitStatus;
use super::store_access::StoreAccess;

pub mod view;

/// Counts tokens against the quotas of clients.
#[derive(Debug)]
pub struct QuotaControl {
    /// What this node counted. Empty on the command line.
    pub counters: Arc<Counters>,
    /// This node's leases of enforced quotas, where nodes share the store.
    pub leases: Option<Arc<QuotaLeases>>,
    /// What all nodes saved.
    pub store: StoreAccess,
    /// Quotas of clients that have none of their own.
    pub defaults: Quotas,
    /// Whether those clients' quotas are enforced.
    pub mode: Mode,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// Metrics.
    pub instruments: Arc<Instruments>,
}

/// A token that is counted before it is issued. Dropping it uncounts the token, unless it was kept.
#[derive(Debug)]
pub enum Reservation {
    /// On this node, which saves it later.
    Counted(quota_keeper::Reservation),
    /// In the store, before.
    Leased(LeasedToken),
}

impl Reservation {
    /// Keeps the token counted: it was issued.
    pub fn keep(self) {
        match self {
            Self::Counted(token) => token.keep(),
            Self::Leased(token) => token.keep(),
        }
    }

    fn usage(&self) -> &[WindowUsage] {
        match self {
            Self::Counted(token) => &token.usage,
            Self::Leased(token) => &token.usage,
        }
    }
}

/// What a client used of its quotas.
#[derive(Debug)]
pub struct QuotaUse {
    /// Its quotas.
    pub quotas: Quotas,
    /// Whether they are enforced.
    pub mode: Mode,
    /// Each window.
    pub windows: Vec<WindowUsage>,
}

/// What clients saved, by their ids.
#[derive(Debug, Default)]
pub struct SavedUse(HashMap<String, Vec<Usage>>);

/// A client's quotas; `None` if it has none. `defaults`: those of clients that have none of their own.
pub fn effective(client: &Client, defaults: Quotas) -> Option<Quotas> {
    let own = client.policy.as_deref();
    if own.is_none() && defaults == Quotas::default() {
        return None;
    }
    let given = own.map_or(Quotas::default(), |policy| policy.quotas);
    let quotas = Quotas {
        hour: given.hour.or(defaults.hour),
        day: given.day.or(defaults.day),
        month: given.month.or(defaults.month),
    };
    (quotas != Quotas::default()).then_some(quotas)
}

/// Whether a client's quotas are enforced. `default`: for clients that have no mode of their own.
pub fn mode(client: &Client, default: Mode) -> Mode {
    let own = client.policy.as_deref();
    own.and_then(|policy| policy.quota_mode).unwrap_or(default)
}

impl QuotaControl {
    /// A client's quotas, and whether they are enforced; `None` if it has none.
    pub fn effective(&self, client: &Client) -> Option<(Quotas, Mode)> {
        let quotas = effective(client, self.defaults)?;
        Some((quotas, mode(client, self.mode)))
    }

    /// Counts a token if the client has quotas. The count is undone when the reservation is dropped without being kept.
    pub async fn reserve(
        &self,
        client: &Client,
        status: &mut Vec<LimitStatus>,
        deadline: Instant,
    ) -> Result<Option<Reservation>> {
        let Some((quotas, mode)) = self.effective(client) else {
            return Ok(None);
        };
        let mut span = spans::child("check quota");
        let mut count = |decision: Decision| {
            span.set("oauth2.decision", decision.as_str());
            self.instruments.quota(decision);
        };
        let now = self.now();
        match self.count(client, &quotas, mode, deadline).await {
            Ok((reserved, over)) => {
                count(if over { Decision::Observed } else { Decision::Allowed });
                append_status(status, reserved.usage(), &quotas, now);
                Ok(Some(reserved))
            }
            Err(QuotaError::Exceeded { usage, resets_at }) => {
                count(Decision::Limited);
                append_status(status, &usage, &quotas, now);
                Err(ServiceError::LimitExceeded(Box::new(LimitExceeded {
                    limit: Limit::Quota,
                    retry_after: Duration::from_secs((resets_at - now).max(1).unsigned_abs()),
                    status: std::mem::take(status),
                })))
            }
            Err(QuotaError::Unknown) => Err(ServiceError::QuotaUnknown),
        }
    }

    /// Counts a token; the second value is whether a quota that is only observed was used up before.
    async fn count(
        &self,
        client: &Client,
        quotas: &Quotas,
        mode: Mode,
        deadline: Instant,
    ) -> std::result::Result<(Reservation, bool), QuotaError> {
        let (client_id, now) = (&*client.client_id, self.now());
        let is_enforced = mode == Mode::Enforce;
        if let (Some(leases), true) = (&self.leases, is_enforced) {
            let token = leases.reserve(client_id, quotas, now, deadline).await?;
            return Ok((Reservation::Leased(token), false));
        }
        let (token, over) = self.counters.reserve(client_id, quotas, is_enforced, now)?;
        Ok((Reservation::Counted(token), over))
    }

    /// What a client used: by all nodes' counts as saved, and this node's as of now.
    pub async fn usage(&self, client_id: &str, deadline: Instant) -> Result<QuotaUse> {
        let id = client_id.to_owned();
        let client = self
            .store
            .call(deadline, move |store| async move { store.client(&id).await })
            .await?
            .ok_or_else(|| ServiceError::no_client(client_id.to_owned()))?;
        let saved = self.saved(vec![client_id.to_owned()], deadline).await?;
        let (quotas, mode) = self.effective(&client).unwrap_or((Quotas::default(), self.mode));
        Ok(QuotaUse {
            quotas,
            mode,
            windows: self.windows(&client, &saved).collect(),
        })
    }

    /// How many unexpired tokens a client has, as this node knows.
    pub fn unexpired_tokens(&self, client_id: &str) -> u64 {
        self.counters.unexpired(client_id, self.now())
    }

    /// The clients with the most unexpired tokens, and how many: as this node knows, or on the command line as recorded.
    pub async fn top(&self, limit: usize, deadline: Instant) -> Result<Vec<(Arc<str>, u64)>> {
        let now = self.now();
        if let StoreAccess::Gateway(_) = &self.store {
            return Ok(self.counters.top(limit, now));
        }
        let top = self
            .store
            .call(
                deadline,
                move |store| async move { store.top_clients(now, limit).await },
            )
            .await?;
        Ok(top
            .into_iter()
            .map(|(client_id, count)| (client_id.into(), count))
            .collect())
    }

    /// The saved use of the clients whose changes may lower a quota below it.
    pub async fn saved_for_changes<'a>(
        &self,
        changes: impl Iterator<Item = (&'a Client, &'a Client)>,
        deadline: Instant,
    ) -> Result<SavedUse> {
        let concerned = |(current, changed): &(&Client, &Client)| {
            let quotas = self.enforced(changed);
            quotas.is_some_and(|quotas| quotas != Quotas::default()) && quotas != self.enforced(current)
        };
        let ids: Vec<String> = changes
            .filter(concerned)
            .map(|(_, changed)| changed.client_id.to_string())
            .collect();
        self.saved(ids, deadline).await
    }

    /// Rejects a changed client whose quota is lower than its use: that would stop the client at once, which is what disabling
    /// is for. A quota that was enforced before may stay.
    pub fn check_change(
        &self,
        current: &Client,
        changed: &Client,
        saved: &SavedUse,
    ) -> std::result::Result<(), InvalidMetadata> {
        let Some(after) = self.enforced(changed) else {
            return Ok(());
        };
        let before = self.enforced(current);
        for WindowUsage { window, used, .. } in self.windows(changed, saved) {
            let Some(quota) = window.quota(&after).filter(|quota| *quota < used) else {
                continue;
            };
            if before.is_some_and(|before| window.quota(&before) == Some(quota)) {
                continue;
            }
            let reason = format!(
                "member {window} must be at least {used}, the tokens already issued in this {window}; to stop the client, disable it"
            );
            return Err(InvalidMetadata::new("quotas", reason));
        }
        Ok(())
    }

    fn enforced(&self, client: &Client) -> Option<Quotas> {
        let (quotas, mode) = self.effective(client)?;
        (mode == Mode::Enforce).then_some(quotas)
    }

    async fn saved(&self, client_ids: Vec<String>, deadline: Instant) -> Result<SavedUse> {
        let mut saved = SavedUse::default();
        if client_ids.is_empty() {
            return Ok(saved);
        }
        let usages = self
            .store
            .call(deadline, move |store| async move {
                store.quota_usage_by_client(&client_ids).await
            })
            .await?;
        for usage in usages {
            saved.0.entry(usage.client_id.clone()).or_default().push(usage);
        }
        Ok(saved)
    }

    fn windows(&self, client: &Client, saved: &SavedUse) -> impl Iterator<Item = WindowUsage> {
        let client_id = &*client.client_id;
        let saved = saved.0.get(client_id).cloned().unwrap_or_default();
        let counted = self.counters.usage(client_id, self.now()).into_iter();
        let is_enforced = self.enforced(client).is_some();
        // The store counts what this node may still issue.
        let leased = self.leases.as_ref().filter(|_| is_enforced);
        let leased = leased.map(|leases| (leases.left(client_id), self.counters.unsaved(client_id)));
        counted.zip(0..).map(move |(counted, index): (WindowUsage, usize)| {
            let saved = saved
                .iter()
                .find(|usage| usage.window == counted.window && usage.start == counted.began_at)
                .map_or(0, |usage| usage.used);
            let used = match &leased {
                Some((left, unsaved)) => saved.saturating_sub(*left) + unsaved[index],
                None => counted.used.max(saved),
            };
            WindowUsage { used, ..counted }
        })
    }

    fn now(&self) -> i64 {
        (self.clock.unix_ms() / 1000) as i64
    }
}

fn append_status(status: &mut Vec<LimitStatus>, usage: &[WindowUsage], quotas: &Quotas, now: i64) {
    for window in usage {
        if let Some(limit) = window.window.quota(quotas) {
            status.push(LimitStatus {
                name: window.window.as_str(),
                limit,
                window: (window.ends_at - window.began_at).unsigned_abs(),
                remaining: limit.saturating_sub(window.used),
                reset: (window.ends_at - now).max(0).unsigned_abs(),
            });
        }
    }
}
