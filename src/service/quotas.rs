//! Quotas: how many tokens a client, and the clients of a group together, may be issued per hour, day and month (UTC).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth2_actors::directory::Directory;
use oauth2_actors::metrics::Instruments;
use oauth2_actors::quota_keeper;
use oauth2_actors::quota_keeper::{Counters, LeasedToken, QuotaError, QuotaLeases, WindowUsage};
use oauth2_actors::runtime::clock::{Clock, StoreClock};
use oauth2_actors::runtime::spans;
use oauth2_store::model::{Client, Decision, Group, Mode, Quotas, Usage, Window};

use super::error::{InvalidMetadata, Limit, LimitExceeded, Result, ServiceError};
use super::limit_status::{self, LimitStatus};
use super::store_access::StoreAccess;

pub mod top;
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
    /// The groups of clients.
    pub directory: Arc<Directory>,
    /// The store's clock.
    pub clock: Arc<StoreClock>,
    /// Metrics.
    pub instruments: Arc<Instruments>,
}

/// A token that is counted before it is issued. Dropping it uncounts the token, unless it was kept.
#[derive(Debug, Default)]
pub struct Reservation {
    client: Option<Counted>,
    group: Option<Counted>,
}

/// A token that is counted for a client or a group.
#[derive(Debug)]
enum Counted {
    /// On this node, which saves it later.
    Here(quota_keeper::Reservation),
    /// In the store, before.
    InStore(LeasedToken),
}

impl Reservation {
    /// Keeps the token counted: it was issued.
    pub fn keep(self) {
        for counted in [self.client, self.group].into_iter().flatten() {
            match counted {
                Counted::Here(token) => token.keep(),
                Counted::InStore(token) => token.keep(),
            }
        }
    }
}

impl Counted {
    fn usage(&self) -> &[WindowUsage] {
        match self {
            Self::Here(token) => &token.usage,
            Self::InStore(token) => &token.usage,
        }
    }
}

/// What a token is counted for.
struct Account<'a> {
    /// The client's id, or the key of its group.
    key: &'a str,
    quotas: Quotas,
    mode: Mode,
    limit: Limit,
    name: fn(Window) -> &'static str,
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

/// Why quotas are not acceptable: one is below what is used of it. One that was the same before may stay.
pub fn below_use(used: &[WindowUsage], after: &Quotas, before: Option<&Quotas>) -> Option<String> {
    used.iter().find_map(|WindowUsage { window, used, .. }| {
        let quota = window.quota(after).filter(|quota| quota < used)?;
        let is_new = before.is_none_or(|before| window.quota(before) != Some(quota));
        is_new.then(|| format!("member {window} must be at least {used}, the tokens already issued in this {window}"))
    })
}

impl QuotaControl {
    /// A client's quotas, and whether they are enforced; `None` if it has none.
    pub fn effective(&self, client: &Client) -> Option<(Quotas, Mode)> {
        let quotas = effective(client, self.defaults)?;
        Some((quotas, mode(client, self.mode)))
    }

    /// The quotas of a client's group, and whether they are enforced.
    fn of_group(&self, group: &Group) -> (Quotas, Mode) {
        (group.limits.quotas, group.limits.quota_mode.unwrap_or(self.mode))
    }

    /// Counts a token if the client or its group has quotas. The count is undone when the reservation is dropped without being kept.
    pub async fn reserve(
        &self,
        client: &Client,
        status: &mut Vec<LimitStatus>,
        deadline: Instant,
    ) -> Result<Reservation> {
        let mut reservation = Reservation::default();
        if let Some((quotas, mode)) = self.effective(client) {
            let account = Account {
                key: &client.client_id,
                quotas,
                mode,
                limit: Limit::Quota,
                name: Window::as_str,
            };
            reservation.client = Some(self.reserve_for(&account, status, deadline).await?);
        }
        let group = self.directory.group_of(client);
        if let Some(group) = group.filter(|group| group.limits.quotas != Quotas::default()) {
            let (quotas, mode) = self.of_group(&group);
            let account = Account {
                key: &group.key,
                quotas,
                mode,
                limit: Limit::GroupQuota,
                name: limit_status::of_group_window,
            };
            reservation.group = Some(self.reserve_for(&account, status, deadline).await?);
        }
        Ok(reservation)
    }

    async fn reserve_for(
        &self,
        account: &Account<'_>,
        status: &mut Vec<LimitStatus>,
        deadline: Instant,
    ) -> Result<Counted> {
        let mut span = spans::child("check quota");
        let mut count = |decision: Decision| {
            span.set("oauth2.decision", decision.as_str());
            self.instruments.quota(decision);
        };
        let now = self.now();
        match self.count(account, deadline).await {
            Ok((counted, over)) => {
                count(if over { Decision::Observed } else { Decision::Allowed });
                append_status(status, counted.usage(), account, now);
                Ok(counted)
            }
            Err(QuotaError::Exceeded { usage, resets_at }) => {
                count(Decision::Limited);
                append_status(status, &usage, account, now);
                Err(ServiceError::LimitExceeded(Box::new(LimitExceeded {
                    limit: account.limit,
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
        account: &Account<'_>,
        deadline: Instant,
    ) -> std::result::Result<(Counted, bool), QuotaError> {
        let (quotas, now) = (&account.quotas, self.now());
        let is_enforced = account.mode == Mode::Enforce;
        if let (Some(leases), true) = (&self.leases, is_enforced) {
            let token = leases.reserve(account.key, quotas, now, deadline).await?;
            return Ok((Counted::InStore(token), false));
        }
        let (token, over) = self.counters.reserve(account.key, quotas, is_enforced, now)?;
        Ok((Counted::Here(token), over))
    }

    /// Counts tokens that were issued to a client: what its group is charged for.
    pub fn issued(&self, client: &Client, tokens: u64) {
        if let Some(group) = &client.group {
            self.counters.groups.add(group, tokens);
        }
    }

    /// Counts tokens that an operator issued. They count as used of quotas, which reject none of them.
    pub fn add(&self, client: &Client, tokens: u64) {
        let now = self.now();
        if self.effective(client).is_some() {
            self.counters.add(&client.client_id, tokens, now);
        }
        let group = self.directory.group_of(client);
        if let Some(group) = group.filter(|group| group.limits.quotas != Quotas::default()) {
            self.counters.add(&group.key, tokens, now);
        }
        self.issued(client, tokens);
    }

    /// What the clients of a group used of its quotas together, as [`Self::usage`].
    pub async fn group_usage(&self, group: &Group, deadline: Instant) -> Result<QuotaUse> {
        let saved = self.saved(vec![group.key.to_string()], deadline).await?;
        let (quotas, mode) = self.of_group(group);
        let is_enforced = mode == Mode::Enforce && quotas != Quotas::default();
        Ok(QuotaUse {
            quotas,
            mode,
            windows: self.windows(&group.key, is_enforced, &saved).collect(),
        })
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
            windows: self
                .windows(client_id, self.enforced(&client).is_some(), &saved)
                .collect(),
        })
    }

    /// How many unexpired tokens a client has, as this node knows.
    pub fn unexpired_tokens(&self, client_id: &str) -> u64 {
        self.counters.unexpired(client_id, self.now())
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
        let used: Vec<_> = self.windows(&changed.client_id, true, saved).collect();
        match below_use(&used, &after, self.enforced(current).as_ref()) {
            Some(reason) => Err(InvalidMetadata::new(
                "quotas",
                format!("{reason}; to stop the client, disable it"),
            )),
            None => Ok(()),
        }
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

    /// What is counted under a key. `is_enforced`: of quotas that are leased where nodes share the store.
    fn windows(&self, key: &str, is_enforced: bool, saved: &SavedUse) -> impl Iterator<Item = WindowUsage> {
        let saved = saved.0.get(key).cloned().unwrap_or_default();
        let counted = self.counters.usage(key, self.now()).into_iter();
        // The store counts what this node may still issue.
        let leased = self.leases.as_ref().filter(|_| is_enforced);
        let leased = leased.map(|leases| (leases.left(key), self.counters.unsaved(key)));
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

fn append_status(status: &mut Vec<LimitStatus>, usage: &[WindowUsage], account: &Account<'_>, now: i64) {
    for window in usage {
        if let Some(limit) = window.window.quota(&account.quotas) {
            status.push(LimitStatus {
                name: (account.name)(window.window),
                limit,
                window: (window.ends_at - window.began_at).unsigned_abs(),
                remaining: limit.saturating_sub(window.used),
                reset: (window.ends_at - now).max(0).unsigned_abs(),
            });
        }
    }
}
