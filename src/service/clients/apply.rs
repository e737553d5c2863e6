//! Clients as files: what the files of an owner do to the stored clients, as a plan that is shown before it is written.
//!
//! A client is what its file says: what the file leaves out gets the server's default, except `disabled` and the secrets, which stay. A plan
//! changes clients of its owner only, and only as it read them: a change by somebody else in between is a conflict.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use oauth2_store::model::{AuditEntry, Client, ClientSecret, SigningAlg};
use serde_json::{Value, json};

use super::{Clients, changes};
use crate::service::error::{Result, ServiceError};
use crate::service::operator::Operator;
use crate::tokens::secret;

pub mod declaration;
pub mod documents;

use declaration::{Action, ApplyOptions, Declaration, SecretChange};

/// Clients that are read, or written, together.
pub const CHUNK: usize = 1000;

/// A client of a plan.
#[derive(Debug)]
pub struct Step {
    /// The client.
    pub client_id: Arc<str>,
    /// Who owns it.
    pub owner: Arc<str>,
    /// What happens to it.
    pub action: Action,
    /// What happens to its secrets.
    pub secret: SecretChange,
}

/// What files do to the stored clients.
#[derive(Default)]
pub struct ApplyPlan {
    /// Every client that the files describe, in their order; then those that are deleted, by id.
    pub steps: Vec<Step>,
    /// Rejected declarations, as sentences with their locations. With one of them nothing is written.
    pub rejected: Vec<String>,
}

impl Step {
    /// The changed fields, without secrets: `{field: {"old": …, "new": …}}`.
    pub fn changes(&self) -> Value {
        let mut detail = match &self.action {
            Action::Create(client) => changes::detail(None, Some(client)),
            Action::Update(change) => change.detail(),
            Action::Delete(client) => changes::detail(Some(client), None),
            Action::Unchanged | Action::Pending(_) => return json!({}),
        };
        let mut fields = detail["changes"].take();
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("secrets");
        }
        fields
    }

    /// Gives a new client its generated secret.
    pub fn set_generated_secret(&mut self, text: &str) {
        if let Action::Create(client) = &mut self.action {
            client.secrets = [ClientSecret::fast(secret::hash(text), None)].into();
        }
    }

    /// The row of the audit log.
    fn audit(&self, operator: &Operator) -> AuditEntry {
        match &self.action {
            Action::Create(client) => operator.audit("client.create", changes::detail(None, Some(client))),
            Action::Update(change) => match self.secret {
                SecretChange::Rotated(overlap) => {
                    let mut detail = change.detail();
                    detail["overlap_seconds"] = overlap.into();
                    operator.audit("client.rotate_secret", detail)
                }
                _ => operator.audit("client.update", change.detail()),
            },
            Action::Delete(client) => operator.audit("client.delete", changes::detail(Some(client), None)),
            Action::Unchanged | Action::Pending(_) => operator.audit("client.update", Value::Null),
        }
    }
}

impl Clients {
    /// Decides what files do. `owners`: the owners of all files, also of those that describe no client.
    pub async fn plan_apply(
        &self,
        declared: &[Declaration],
        owners: &BTreeSet<Arc<str>>,
        options: ApplyOptions,
        deadline: Instant,
    ) -> Result<ApplyPlan> {
        let mut plan = ApplyPlan::default();
        for chunk in declared.chunks(CHUNK) {
            self.plan_chunk(&mut plan, chunk, options, deadline).await?;
        }
        if options.prune {
            let kept: HashSet<&str> = declared.iter().map(|one| one.row.client_id()).collect();
            for owner in owners {
                self.plan_prune(&mut plan, owner, &kept, deadline).await?;
            }
        }
        Ok(plan)
    }

    async fn plan_chunk(
        &self,
        plan: &mut ApplyPlan,
        chunk: &[Declaration],
        options: ApplyOptions,
        deadline: Instant,
    ) -> Result<()> {
        let current = self
            .by_id(chunk.iter().map(|one| one.row.client_id()), deadline)
            .await?;
        let now = self.now().await?;
        let mut judged = Vec::with_capacity(chunk.len());
        for one in chunk {
            match one.judge(current.get(one.row.client_id()), self.defaults, now, options) {
                Ok((action, secret)) => judged.push((one, action, secret)),
                Err(error) => plan.rejected.push(one.location.error(&error)),
            }
        }
        let changes = judged.iter().filter_map(|(_, action, _)| match action {
            Action::Update(change) => Some((&change.before, &change.after)),
            _ => None,
        });
        let saved = self.quotas.saved_for_changes(changes, deadline).await?;
        for (one, action, secret) in judged {
            if let Action::Update(change) = &action
                && let Err(error) = self.quotas.check_change(&change.before, &change.after, &saved)
            {
                plan.rejected.push(one.location.error(&error.to_string()));
                continue;
            }
            plan.steps.push(Step {
                client_id: one.row.client_id().into(),
                owner: Arc::clone(&one.owner),
                action,
                secret,
            });
        }
        Ok(())
    }

    /// Deletes the clients of an owner that no file describes.
    async fn plan_prune(
        &self,
        plan: &mut ApplyPlan,
        owner: &Arc<str>,
        kept: &HashSet<&str>,
        deadline: Instant,
    ) -> Result<()> {
        let mut after = String::new();
        loop {
            let (of, begin) = (owner.to_string(), after.clone());
            let verb =
                move |store: oauth2_store::Store| async move { store.clients_managed_by(&of, &begin, CHUNK).await };
            let page = self.store.call(deadline, verb).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.client_id.to_string();
            let absent = page.into_iter().filter(|client| !kept.contains(&*client.client_id));
            plan.steps.extend(absent.map(|client| Step {
                client_id: Arc::clone(&client.client_id),
                owner: Arc::clone(owner),
                action: Action::Delete(Box::new(client)),
                secret: SecretChange::None,
            }));
        }
    }

    /// Makes the keys that the clients of a plan need.
    pub async fn ensure_keys_for_apply(&self, operator: &Operator, plan: &ApplyPlan, deadline: Instant) -> Result<()> {
        let algorithm = |step: &Step| match &step.action {
            Action::Create(client) => client.signing_alg,
            Action::Update(change) => change.after.signing_alg,
            _ => None,
        };
        let algorithms: HashSet<SigningAlg> = plan.steps.iter().filter_map(algorithm).collect();
        self.ensure_keys_for_import(operator, &algorithms, deadline).await?;
        Ok(())
    }

    /// Writes up to [`CHUNK`] new and changed clients, all of them or none. [`ServiceError::Conflict`]: some changed since they were read.
    pub async fn write_apply(&self, operator: &Operator, steps: &[&Step], deadline: Instant) -> Result<()> {
        let (mut new, mut changed, mut overwritten) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            match &step.action {
                Action::Create(client) if client.secrets.is_empty() => {
                    return Err(ServiceError::Internal("a new client has no secret"));
                }
                Action::Create(client) => new.push(((**client).clone(), step.audit(operator))),
                Action::Update(change) if change.is_overwrite() => {
                    overwritten.push((change.after.clone(), step.audit(operator)));
                }
                Action::Update(change) => changed.push((change.after.clone(), step.audit(operator))),
                Action::Delete(_) | Action::Unchanged | Action::Pending(_) => {}
            }
        }
        if new.is_empty() && changed.is_empty() && overwritten.is_empty() {
            return Ok(());
        }
        let cutoff_ms = self.store.cutoff_ms().await?;
        let verb = move |store: oauth2_store::Store| async move {
            store.write_clients(&new, &changed, &overwritten, cutoff_ms).await
        };
        match self.store.change(deadline, verb).await {
            Ok(cutoffs) => self.enforce(cutoffs, deadline).await,
            Err(error @ ServiceError::Conflict(_)) => Err(self.name_conflicts(steps, error, deadline).await?),
            Err(error) => Err(error),
        }
    }

    /// Deletes a client of a plan.
    pub async fn delete_for_apply(&self, operator: &Operator, step: &Step, deadline: Instant) -> Result<()> {
        let Action::Delete(client) = &step.action else {
            return Ok(());
        };
        match self.delete_read(operator, client, deadline).await {
            // It is gone, as it should be.
            Err(ServiceError::NotFound(_)) => Ok(()),
            Err(ServiceError::Conflict(_)) => Err(conflict(&[&*client.client_id])),
            other => other,
        }
    }

    /// A conflict that names the clients that are not as they were read.
    async fn name_conflicts(&self, steps: &[&Step], error: ServiceError, deadline: Instant) -> Result<ServiceError> {
        let current = self.by_id(steps.iter().map(|step| &*step.client_id), deadline).await?;
        let is_changed = |step: &&&Step| {
            let version = current.get(&*step.client_id).map(|client| client.version);
            match &step.action {
                Action::Create(_) => version.is_some(),
                Action::Update(change) => version != Some(change.before.version),
                _ => false,
            }
        };
        let ids: Vec<&str> = steps.iter().filter(is_changed).map(|step| &*step.client_id).collect();
        Ok(if ids.is_empty() { error } else { conflict(&ids) })
    }

    async fn by_id<'a>(
        &self,
        ids: impl Iterator<Item = &'a str>,
        deadline: Instant,
    ) -> Result<HashMap<Arc<str>, Client>> {
        let ids: Vec<String> = ids.map(str::to_owned).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let verb = move |store: oauth2_store::Store| async move { store.clients_by_id(&ids).await };
        let found = self.store.call(deadline, verb).await?;
        let by_id = found.into_iter().map(|client| (Arc::clone(&client.client_id), client));
        Ok(by_id.collect())
    }
}

fn conflict(ids: &[&str]) -> ServiceError {
    ServiceError::Conflict(format!(
        "changed by somebody else since they were compared with the files: {}; compare again",
        ids.join(", ")
    ))
}
