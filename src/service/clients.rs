//! Registered clients: create, read, update, delete, rotate secrets, import and export.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use oauth2_store::model::{AuditEntry, Client, MAX_TOKEN_LIFETIME, Page, Revocation, SigningAlg};

use super::cursor;
use super::error::{Result, ServiceError};
use super::keys::SigningKeys;
use super::operator::Operator;
use super::quotas::QuotaControl;
use super::reread::until_unchanged;
use super::store_access::StoreAccess;
use crate::tokens::secret;

pub mod apply;
pub mod changes;
pub mod checks;
pub mod field;
mod foreign_hashes;
pub mod from;
pub mod import;
pub mod import_notes;
pub mod metadata;
pub mod policy;
pub mod precondition;
pub mod put;
pub mod registration;
mod secrets;
pub mod text;

use field::Field;
use import::{ImportOptions, ImportPlan, ImportRow, LineRange};
use metadata::ClientRequest;
use precondition::Precondition;
use registration::{GeneratedCredentials, Registered, RegistrationDefaults};

/// Seconds for which the old secret remains valid after a rotation, where the caller does not say.
pub const DEFAULT_OVERLAP: i64 = 3600;

/// The longest such overlap, seconds.
pub const MAX_OVERLAP: i64 = MAX_TOKEN_LIFETIME;

/// The clients that are listed.
#[derive(Debug, Clone, Copy)]
pub struct ClientFilter<'a> {
    /// The beginning of their ids.
    pub prefix: &'a str,
    /// Only clients with a valid secret of which only another product's hash is known: it was not presented yet, or is too weak to be
    /// stored as a fast hash.
    pub slow_secrets: bool,
}

/// The use cases of clients.
#[derive(Debug)]
pub struct Clients {
    /// The stored clients.
    pub store: StoreAccess,
    /// Makes a key for an algorithm that is used for the first time.
    pub keys: Arc<SigningKeys>,
    /// Whether a changed quota is acceptable.
    pub quotas: Arc<QuotaControl>,
    /// The server's settings.
    pub defaults: RegistrationDefaults,
}

impl Clients {
    /// Registers a client. Answers it with its secret, which is shown this once.
    pub async fn create(&self, operator: &Operator, request: &ClientRequest, deadline: Instant) -> Result<Registered> {
        let generated = GeneratedCredentials::generate()?;
        let mut registered = registration::register(request, self.defaults, generated, self.now().await?)?;
        let client = &registered.client;
        let id = client.client_id.to_string();
        if self.stored(&id, deadline).await?.is_some() {
            // The store would say so, too, but a key would be made for a client that is not created.
            return Err(ServiceError::Conflict(format!("the client {id} exists already")));
        }
        self.ensure_key(operator, client.signing_alg, deadline).await?;
        let audit = operator.audit("client.create", changes::detail(None, Some(client)));
        let (row, cutoff_ms) = (client.clone(), self.store.cutoff_ms().await?);
        let cutoff = self
            .store
            .change(deadline, move |store| async move {
                store.create_client(&row, cutoff_ms, &audit).await
            })
            .await?;
        if let Some(cutoff) = &cutoff {
            // Versions continue those of a predecessor.
            registered.client.version = cutoff.client_version;
        }
        self.enforce(cutoff, deadline).await?;
        Ok(registered)
    }

    /// A page of clients by id.
    pub async fn list(
        &self,
        filter: ClientFilter<'_>,
        after: Option<&str>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Page<Client>> {
        checks::prefix(filter.prefix)?;
        let after = after.map(|after| cursor::decode(cursor::CLIENTS, after)).transpose()?;
        let prefix = filter.prefix.to_owned();
        let slow_at = if filter.slow_secrets {
            Some(self.now().await?)
        } else {
            None
        };
        let verb = move |store: oauth2_store::Store| async move {
            let after = after.as_deref();
            match slow_at {
                Some(now) => store.list_clients_with_foreign_hashes(&prefix, after, limit, now).await,
                None => store.list_clients(&prefix, after, limit).await,
            }
        };
        let mut page = self.store.call(deadline, verb).await?;
        page.next = page.next.map(|next| cursor::encode(cursor::CLIENTS, &next));
        Ok(page)
    }

    /// Clients by id, ascending, after an id: for exports.
    pub async fn page_after(&self, after: &str, limit: usize, deadline: Instant) -> Result<Vec<Client>> {
        let after = after.to_owned();
        self.store
            .call(
                deadline,
                move |store| async move { store.load_clients(&after, limit).await },
            )
            .await
    }

    /// One client.
    pub async fn find(&self, client_id: &str, deadline: Instant) -> Result<Client> {
        let found = self.stored(client_id, deadline).await?;
        found.ok_or_else(|| ServiceError::no_client(client_id))
    }

    /// Applies a merge patch. Answers the client as changed.
    pub async fn update(
        &self,
        operator: &Operator,
        client_id: &str,
        request: &ClientRequest,
        precondition: &Precondition,
        deadline: Instant,
    ) -> Result<Client> {
        let current = self.find(client_id, deadline).await?;
        precondition.check(client_id, Some(&current))?;
        let changed = registration::update(request, &current, self.defaults)?;
        // Without a change there is no new version, as for PUT and imports: a version ends the reuse of tokens.
        if changed == current {
            return Ok(current);
        }
        let written = self.write_update(operator, &current, changed, deadline).await;
        written.map_err(|error| precondition.raced(client_id, error))
    }

    /// Writes a changed client. Answers it with its new version.
    async fn write_update(
        &self,
        operator: &Operator,
        current: &Client,
        mut changed: Client,
        deadline: Instant,
    ) -> Result<Client> {
        let change = std::iter::once((current, &changed));
        let saved = self.quotas.saved_for_changes(change, deadline).await?;
        self.quotas.check_change(current, &changed, &saved)?;
        self.ensure_key(operator, changed.signing_alg, deadline).await?;
        let audit = operator.audit("client.update", changes::detail(Some(current), Some(&changed)));
        let (row, now) = (changed.clone(), self.now().await?);
        let found = self
            .store
            .change(deadline, move |store| async move {
                store.update_client(&row, now, &audit).await
            })
            .await?;
        if !found {
            return Err(ServiceError::no_client(&*changed.client_id));
        }
        changed.version += 1;
        Ok(changed)
    }

    /// Disables or enables a client: a disabled client gets no tokens, and its tokens are inactive.
    pub async fn set_disabled(
        &self,
        operator: &Operator,
        client_id: &str,
        disabled: bool,
        precondition: &Precondition,
        deadline: Instant,
    ) -> Result<Client> {
        let request = ClientRequest {
            disabled: Field::Value(disabled),
            ..ClientRequest::default()
        };
        self.update(operator, client_id, &request, precondition, deadline).await
    }

    /// Deletes a client and revokes its tokens permanently.
    pub async fn delete(
        &self,
        operator: &Operator,
        client_id: &str,
        precondition: &Precondition,
        deadline: Instant,
    ) -> Result<()> {
        let delete = async || -> Result<()> {
            let current = self.find(client_id, deadline).await?;
            precondition.check(client_id, Some(&current))?;
            self.delete_read(operator, &current, deadline).await
        };
        let deleted = until_unchanged(deadline, delete).await;
        deleted.map_err(|error| precondition.raced(client_id, error))
    }

    /// Deletes a client if it is unchanged since it was read, so that the audit row is true.
    async fn delete_read(&self, operator: &Operator, current: &Client, deadline: Instant) -> Result<()> {
        let audit = operator.audit("client.delete", changes::detail(Some(current), None));
        let (id, version) = (current.client_id.to_string(), Some(current.version));
        let cutoff_ms = self.store.cutoff_ms().await?;
        let cutoff = self
            .store
            .change(deadline, move |store| async move {
                store.delete_client(&id, version, cutoff_ms, &audit).await
            })
            .await?
            .ok_or_else(|| ServiceError::no_client(&*current.client_id))?;
        // A client created under the same id next must not find the tokens of this one active.
        self.enforce([cutoff], deadline).await
    }

    /// Gives a client a new secret. The secrets it has remain valid for `overlap` seconds. Answers the client and the new secret,
    /// which is shown this once.
    pub async fn rotate_secret(
        &self,
        operator: &Operator,
        client_id: &str,
        overlap: i64,
        deadline: Instant,
    ) -> Result<(Client, String)> {
        if !(0..=MAX_OVERLAP).contains(&overlap) {
            let reason = format!("must be from 0 to {MAX_OVERLAP}");
            return Err(ServiceError::parameter("overlap_seconds", reason));
        }
        let secret = secret::generate_client_secret()?;
        let hash = secret::hash(&secret);
        let rotate = async || -> Result<bool> {
            let current = self.find(client_id, deadline).await?;
            let (id, version, now) = (client_id.to_owned(), Some(current.version), self.now().await?);
            let audit = operator.audit("client.rotate_secret", changes::rotation(&current, hash, overlap, now));
            self.store
                .change(deadline, move |store| async move {
                    store
                        .rotate_secret(&id, version, &hash, now + overlap, now, &audit)
                        .await
                })
                .await
        };
        if !until_unchanged(deadline, rotate).await? {
            return Err(ServiceError::no_client(client_id));
        }
        Ok((self.find(client_id, deadline).await?, secret))
    }

    /// Decides what rows of an import do.
    pub async fn plan_import(
        &self,
        rows: &[(LineRange, ImportRow)],
        options: ImportOptions,
        deadline: Instant,
    ) -> Result<ImportPlan> {
        let ids: Vec<String> = rows.iter().map(|(_, row)| row.client_id().to_owned()).collect();
        let current = if ids.is_empty() {
            Vec::new()
        } else {
            self.store
                .call(deadline, move |store| async move { store.clients_by_id(&ids).await })
                .await?
        };
        let mut plan = ImportPlan::new(rows, current, self.defaults, self.now().await?, options);
        let changes = plan.changed.iter().map(|change| (&change.before, &change.after));
        let saved = self.quotas.saved_for_changes(changes, deadline).await?;
        plan.reject_changes(|before, after| self.quotas.check_change(before, after, &saved));
        Ok(plan)
    }

    /// Makes the keys that the clients of a plan need.
    pub async fn ensure_keys_for_import(
        &self,
        operator: &Operator,
        algorithms: &HashSet<SigningAlg>,
        deadline: Instant,
    ) -> Result<Vec<SigningAlg>> {
        let mut without_key = Vec::new();
        for algorithm in algorithms {
            if !self.ensure_key(operator, Some(*algorithm), deadline).await? {
                without_key.push(*algorithm);
            }
        }
        Ok(without_key)
    }

    /// Writes a plan, all of it or nothing. [`ServiceError::Conflict`]: some clients changed since it was made.
    pub async fn write_import(&self, operator: &Operator, plan: &ImportPlan, deadline: Instant) -> Result<()> {
        if plan.is_empty() {
            return Ok(());
        }
        let audit = |detail| operator.audit("client.import", detail);
        let new: Vec<(Client, AuditEntry)> = plan
            .new
            .iter()
            .map(|client| (client.clone(), audit(changes::detail(None, Some(client)))))
            .collect();
        let (mut changed, mut overwritten) = (Vec::new(), Vec::new());
        for change in &plan.changed {
            let entry = (change.after.clone(), audit(change.detail()));
            if change.is_overwrite() {
                overwritten.push(entry);
            } else {
                changed.push(entry);
            }
        }
        let cutoff_ms = self.store.cutoff_ms().await?;
        let cutoffs = self
            .store
            .change(deadline, move |store| async move {
                store.write_clients(&new, &changed, &overwritten, cutoff_ms).await
            })
            .await?;
        self.enforce(cutoffs, deadline).await
    }

    /// Whether a client is stored, and this is one of its secrets.
    pub async fn has_secret(&self, client_id: &str, secret: &str, deadline: Instant) -> Result<bool> {
        let stored = self.stored(client_id, deadline).await?;
        let hash = secret::hash(secret);
        Ok(stored.is_some_and(|client| client.secrets.iter().any(|known| *known.id() == hash)))
    }

    async fn stored(&self, client_id: &str, deadline: Instant) -> Result<Option<Client>> {
        let id = client_id.to_owned();
        self.store
            .call(deadline, move |store| async move { store.client(&id).await })
            .await
    }

    async fn ensure_key(&self, operator: &Operator, alg: Option<SigningAlg>, deadline: Instant) -> Result<bool> {
        match alg.and_then(SigningAlg::key_algorithm) {
            Some(algorithm) => self.keys.ensure(operator, algorithm, deadline).await,
            None => Ok(true),
        }
    }

    async fn enforce(&self, cutoffs: impl IntoIterator<Item = Revocation>, deadline: Instant) -> Result<()> {
        let cutoffs: Vec<_> = cutoffs.into_iter().collect();
        if cutoffs.is_empty() {
            return Ok(());
        }
        self.store.enforce(cutoffs, deadline).await
    }

    /// The store's clock, Unix seconds.
    async fn now(&self) -> Result<i64> {
        Ok((self.store.now_ms().await? / 1000) as i64)
    }
}
