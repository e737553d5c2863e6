//! What must happen after a restore, so that it revives nothing: a restored store has forgotten what was committed after its backup.
//!
//! Every token issued so far is revoked. Changes of clients, groups and keys after the backup are read from audit rows that were kept elsewhere,
//! and made again: a secret that had been replaced is removed, a client that had been disabled is disabled, a revoked key is revoked.

use std::sync::Arc;
use std::time::Instant;

use oauth2_store::model::{AuditFilter, AuditPosition, AuditRow, Client};
use serde::Serialize;

use super::clients::Clients;
use super::clients::changes::{self, Change};
use super::clients::precondition::Precondition;
use super::error::{NotFound, Result, ServiceError};
use super::groups::Groups;
use super::keys::SigningKeys;
use super::operator::Operator;
use super::revoke::{CutOff, Revoke};
use super::store_access::StoreAccess;

pub mod history;

use history::{ClientHistory, History, RESTORED};

/// Clients that are read or written at once.
const CHUNK: usize = 500;

/// Rows of a client that are compared with those of a file.
const KNOWN_ROWS: usize = 100;

/// The use case.
#[derive(Debug)]
pub struct Restore {
    /// The restored store.
    pub store: StoreAccess,
    /// Its clients.
    pub clients: Arc<Clients>,
    /// Its groups of clients.
    pub groups: Arc<Groups>,
    /// Its signing keys.
    pub keys: Arc<SigningKeys>,
    /// Its revocation log.
    pub revoke: Arc<Revoke>,
}

/// What was done, or would be.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// Every token issued before this time is revoked, Unix milliseconds. `null`: nothing was done yet.
    pub revoked_before_ms: Option<u64>,
    /// Clients that were changed again.
    pub changed: Vec<String>,
    /// Clients that were deleted again.
    pub deleted: Vec<String>,
    /// Clients of the rows that the store does not have: they were created after the backup, and must be registered again.
    pub missing: Vec<String>,
    /// Clients that have no valid secret now, and need a new one.
    pub without_secret: Vec<String>,
    /// Groups whose limits were set or removed again.
    pub groups: Vec<String>,
    /// Keys that were revoked again.
    pub revoked_keys: Vec<String>,
}

/// How to treat changes that are in no audit row.
#[derive(Debug, Clone, Copy, Default)]
pub struct RestoreOptions {
    /// Removes the secrets of all clients: any of them may have been replaced since the backup.
    pub expire_secrets: bool,
    /// Changes nothing.
    pub dry_run: bool,
}

impl Restore {
    /// Makes the changes of the history again, and revokes every token. If it fails, it can be called again.
    pub async fn run(
        &self,
        operator: &Operator,
        history: &History,
        options: RestoreOptions,
        deadline: Instant,
    ) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        if !options.dry_run {
            // First as well: whatever fails below, no old token is active.
            self.revoke.everything_of(operator, CutOff::Issuer, deadline).await?;
        }
        let now = (self.store.now_ms().await? / 1000) as i64;
        for (client_id, history) in &history.clients {
            self.client(
                operator,
                client_id,
                history,
                (now, options.dry_run),
                &mut outcome,
                deadline,
            )
            .await?;
        }
        self.groups(operator, history, options.dry_run, &mut outcome, deadline)
            .await?;
        let known = self.keys.list(deadline).await?;
        for kid in history.revoked_keys.iter().filter(|kid| known.has(kid)) {
            if !options.dry_run {
                match self.keys.revoke(operator, kid, deadline).await {
                    // It was revoked above, under another id.
                    Ok(()) | Err(ServiceError::NotFound(NotFound::Key(_))) => {}
                    Err(error) => return Err(error),
                }
            }
            outcome.revoked_keys.push(kid.clone());
        }
        if options.expire_secrets {
            self.expire_secrets(operator, options.dry_run, &mut outcome, deadline)
                .await?;
        }
        if !options.dry_run {
            self.keys.forget_verifiers(deadline).await?;
            // Last: it includes every token that was issued until here.
            let cutoff = self.revoke.everything_of(operator, CutOff::Issuer, deadline).await?;
            outcome.revoked_before_ms = Some(cutoff);
        }
        Ok(outcome)
    }

    async fn client(
        &self,
        operator: &Operator,
        client_id: &str,
        history: &ClientHistory,
        (now, dry_run): (i64, bool),
        outcome: &mut Outcome,
        deadline: Instant,
    ) -> Result<()> {
        let client = match self.clients.find(client_id, deadline).await {
            Ok(client) => client,
            Err(ServiceError::NotFound(NotFound::Client(_))) => {
                if !history.is_deleted() {
                    outcome.missing.push(client_id.to_owned());
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let Some(history) = history.since(&self.known(client_id, deadline).await?) else {
            return Ok(());
        };
        if history.is_deleted() {
            if !dry_run {
                self.clients
                    .delete(operator, client_id, &Precondition::None, deadline)
                    .await?;
            }
            outcome.deleted.push(client_id.to_owned());
            return Ok(());
        }
        let changed = history.applied_to(&client)?;
        if changed == client {
            return Ok(());
        }
        let is_valid = |client: &Client| {
            client
                .secrets
                .iter()
                .any(|known| known.expires_at.is_none_or(|at| at > now))
        };
        if is_valid(&client) && !is_valid(&changed) {
            outcome.without_secret.push(client_id.to_owned());
        }
        if !dry_run {
            let change = Change {
                before: client,
                after: changed,
            };
            self.write(operator, vec![change], deadline).await?;
        }
        outcome.changed.push(client_id.to_owned());
        Ok(())
    }

    async fn groups(
        &self,
        operator: &Operator,
        history: &History,
        dry_run: bool,
        outcome: &mut Outcome,
        deadline: Instant,
    ) -> Result<()> {
        let stored = self.groups.list(deadline).await?;
        for (name, change) in &history.groups {
            let known = stored.iter().find(|group| *group.name == **name);
            let is_same = known.map(|group| group.limits) == change.limits;
            if is_same || known.is_some_and(|group| !change.is_later_than(group.updated_at)) {
                continue;
            }
            if !dry_run {
                self.groups.put_back(operator, name, change.limits, deadline).await?;
            }
            outcome.groups.push(name.clone());
        }
        Ok(())
    }

    /// The newest rows that the store has about a client, newest first.
    async fn known(&self, client_id: &str, deadline: Instant) -> Result<Vec<AuditRow>> {
        let filter = AuditFilter {
            client_id: Some(client_id.to_owned()),
            kind: Some("client".to_owned()),
            ..AuditFilter::default()
        };
        self.store
            .call(deadline, move |store| async move {
                store.audit(&filter, AuditPosition::Newest, KNOWN_ROWS).await
            })
            .await
    }

    async fn expire_secrets(
        &self,
        operator: &Operator,
        dry_run: bool,
        outcome: &mut Outcome,
        deadline: Instant,
    ) -> Result<()> {
        let mut after = String::new();
        loop {
            let page = self.clients.page_after(&after, CHUNK, deadline).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.client_id.to_string();
            let with_secrets = page.into_iter().filter(|client| !client.secrets.is_empty());
            let change = |client: Client| Change {
                after: Client {
                    secrets: Box::default(),
                    ..client.clone()
                },
                before: client,
            };
            let expired: Vec<_> = with_secrets.map(change).collect();
            for change in &expired {
                let id = change.before.client_id.to_string();
                if !outcome.without_secret.contains(&id) {
                    outcome.without_secret.push(id);
                }
            }
            if !dry_run && !expired.is_empty() {
                self.write(operator, expired, deadline).await?;
            }
        }
    }

    async fn write(&self, operator: &Operator, changed: Vec<Change>, deadline: Instant) -> Result<()> {
        let cutoff_ms = self.store.cutoff_ms().await?;
        let entry = |change: Change| {
            let detail = changes::detail(Some(&change.before), Some(&change.after));
            (change.after, operator.audit(RESTORED, detail))
        };
        let rows: Vec<_> = changed.into_iter().map(entry).collect();
        self.store
            .change(deadline, move |store| async move {
                store.write_clients(&[], &[], &rows, cutoff_ms).await
            })
            .await?;
        Ok(())
    }
}
