//! Groups of clients, such as tenants or plans: limits of all their clients together, and the tokens that they are charged for.

use std::time::Instant;

use oauth2_store::model::{Group, GroupLimits, Mode, Quotas, RateLimits};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::clients::checks;
use super::clients::field::{Field, Patch};
use super::clients::policy::LimitPatches;
use super::error::{InvalidMetadata, NotFound, Result, ServiceError};
use super::operator::Operator;
use super::quotas::view::QuotaView;
use super::quotas::{QuotaControl, below_use};
use super::reread::until_unchanged;
use super::schema;
use super::store_access::StoreAccess;

pub mod charges;

/// The use cases of groups.
#[derive(Debug)]
pub struct Groups {
    /// The stored groups.
    pub store: StoreAccess,
    /// What they used.
    pub quotas: std::sync::Arc<QuotaControl>,
}

/// What the limits of a group should be. An absent member means that there is no such limit.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupRequest {
    /// Rate limits per endpoint of all its clients together, such as `100/s` or `6000/m:200`.
    #[serde(default)]
    #[schema(value_type = Option<schema::RateLimits>)]
    pub rate_limits: Patch<String>,
    /// Whether its rate limits are enforced or only counted.
    #[serde(default)]
    #[schema(value_type = Option<schema::Mode>)]
    pub rate_limit_mode: Field<String>,
    /// Tokens of all its clients together per hour, day and month (UTC).
    #[serde(default)]
    #[schema(value_type = Option<schema::Quotas>)]
    pub quotas: Patch<i64>,
    /// Whether its quotas are enforced or only counted.
    #[serde(default)]
    #[schema(value_type = Option<schema::Mode>)]
    pub quota_mode: Field<String>,
}

impl GroupRequest {
    /// The limits.
    pub fn limits(&self) -> std::result::Result<GroupLimits, InvalidMetadata> {
        let mut limits = GroupLimits::default();
        let patches = LimitPatches {
            rate_limits: &self.rate_limits,
            rate_limit_mode: &self.rate_limit_mode,
            quotas: &self.quotas,
            quota_mode: &self.quota_mode,
        };
        patches.apply(
            (&mut limits.rate_limits, &mut limits.rate_limit_mode),
            (&mut limits.quotas, &mut limits.quota_mode),
        )?;
        Ok(limits)
    }
}

/// The limits of a group. `null`: the server's default.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub struct GroupView<'a> {
    /// Its name: `group` of its clients.
    pub group: &'a str,
    /// Rate limits per endpoint of all its clients together.
    #[schema(value_type = schema::RateLimits)]
    pub rate_limits: &'a RateLimits,
    /// Whether its rate limits are enforced or only counted.
    #[schema(value_type = Option<schema::Mode>)]
    pub rate_limit_mode: Option<Mode>,
    /// Tokens of all its clients together per hour, day and month (UTC).
    #[schema(value_type = schema::Quotas)]
    pub quotas: &'a Quotas,
    /// Whether its quotas are enforced or only counted.
    #[schema(value_type = Option<schema::Mode>)]
    pub quota_mode: Option<Mode>,
    /// When the limits were set, Unix seconds.
    pub updated_at: i64,
}

impl<'a> GroupView<'a> {
    /// A group.
    pub fn new(group: &'a Group) -> Self {
        let limits = &group.limits;
        Self {
            group: &group.name,
            rate_limits: &limits.rate_limits,
            rate_limit_mode: limits.rate_limit_mode,
            quotas: &limits.quotas,
            quota_mode: limits.quota_mode,
            updated_at: group.updated_at,
        }
    }
}

impl Groups {
    /// All groups with limits, by name.
    pub async fn list(&self, deadline: Instant) -> Result<Vec<Group>> {
        self.store
            .call(deadline, |store| async move { store.groups().await })
            .await
    }

    /// One group with limits.
    pub async fn find(&self, name: &str, deadline: Instant) -> Result<Group> {
        let found = self.stored(name, deadline).await?;
        found.ok_or_else(|| ServiceError::NotFound(NotFound::Group(name.to_owned())))
    }

    /// What the clients of a group used of its quotas together.
    pub async fn usage(&self, group: &Group, deadline: Instant) -> Result<Vec<QuotaView>> {
        Ok(QuotaView::all(&self.quotas.group_usage(group, deadline).await?))
    }

    /// Sets the limits of a group, in place of those that it had. A quota that is enforced cannot be less than what is used of it: that
    /// would stop all its clients.
    pub async fn set(
        &self,
        operator: &Operator,
        name: &str,
        request: &GroupRequest,
        deadline: Instant,
    ) -> Result<Group> {
        checks::group(name).map_err(|error| ServiceError::parameter("group", error.reason))?;
        let limits = request.limits()?;
        until_unchanged(deadline, async || -> Result<Group> {
            let group = Group::new(name, limits, self.now().await?);
            let before = self.stored(name, deadline).await?;
            self.check_quotas(before.as_ref(), &group, deadline).await?;
            self.put(operator, before, group.clone(), deadline).await?;
            Ok(group)
        })
        .await
    }

    /// Removes the limits of a group. Its clients stay in it.
    pub async fn delete(&self, operator: &Operator, name: &str, deadline: Instant) -> Result<()> {
        let delete = async || -> Result<bool> {
            let (group, now) = (self.find(name, deadline).await?, self.now().await?);
            let audit = operator.audit("group.delete", detail(Some(&group), None));
            self.store
                .change(deadline, move |store| async move {
                    store.delete_group(&group, now, &audit).await
                })
                .await
        };
        if until_unchanged(deadline, delete).await? {
            Ok(())
        } else {
            Err(ServiceError::NotFound(NotFound::Group(name.to_owned())))
        }
    }

    /// Sets or removes the limits of a group as they were before: what is used of its quotas does not matter.
    pub async fn put_back(
        &self,
        operator: &Operator,
        name: &str,
        limits: Option<GroupLimits>,
        deadline: Instant,
    ) -> Result<()> {
        let Some(limits) = limits else {
            return self.delete(operator, name, deadline).await;
        };
        until_unchanged(deadline, async || -> Result<()> {
            let group = Group::new(name, limits, self.now().await?);
            let before = self.stored(name, deadline).await?;
            self.put(operator, before, group, deadline).await
        })
        .await
    }

    /// Sets the limits of a group if they are still those of `before`, so that the audit row is true.
    async fn put(&self, operator: &Operator, before: Option<Group>, group: Group, deadline: Instant) -> Result<()> {
        let audit = operator.audit("group.update", detail(before.as_ref(), Some(&group)));
        self.store
            .change(deadline, move |store| async move {
                store.put_group(&group, before.as_ref(), &audit).await
            })
            .await
    }

    /// The store's clock, Unix seconds.
    async fn now(&self) -> Result<i64> {
        Ok((self.store.now_ms().await? / 1000) as i64)
    }

    async fn stored(&self, name: &str, deadline: Instant) -> Result<Option<Group>> {
        let name = name.to_owned();
        self.store
            .call(deadline, move |store| async move { store.group(&name).await })
            .await
    }

    async fn check_quotas(&self, before: Option<&Group>, group: &Group, deadline: Instant) -> Result<()> {
        let usage = self.quotas.group_usage(group, deadline).await?;
        if usage.mode == Mode::Observe {
            return Ok(());
        }
        let kept = |quotas: &Group| quotas.limits.quotas;
        match below_use(&usage.windows, &usage.quotas, before.map(kept).as_ref()) {
            Some(reason) => Err(InvalidMetadata::new("quotas", format!("{reason}, or remove its limits")).into()),
            None => Ok(()),
        }
    }
}

/// `{"changes": {"limits": {"old": …, "new": …}}}`; `null`: none.
fn detail(before: Option<&Group>, after: Option<&Group>) -> Value {
    let limits = |group: Option<&Group>| group.map(|group| json!(group.limits));
    json!({"changes": {"limits": {"old": limits(before), "new": limits(after)}}})
}
