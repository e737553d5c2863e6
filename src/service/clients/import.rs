//! Bulk import and export of clients: one JSON object a line, or CSV with a header.
//!
//! What a row does to a client that exists is chosen for the whole import ([`ExistingClients`]). By default it changes the client as an update
//! does: what it leaves out stays, also `disabled`. The same text can be imported again and changes nothing, and so can exports.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::Arc;

use oauth2_store::model::{Client, ClientSecret, SecretVerifier};
use serde_json::{Map, Value};

use super::changes::Change;
use super::checks;
use super::field::Field;
use super::import_notes::ImportNotes;
use super::metadata::ClientRequest;
use super::registration::{self, GeneratedCredentials, RegistrationDefaults};
use super::secrets::{self, RowSecret};
use crate::service::error::InvalidMetadata;
use crate::service::members;
use crate::tokens::secret::{self, NoRandomness};

/// Why a row is rejected: a sentence that names the field and never repeats a value that may be secret.
pub type RowError = String;

/// The lines of a row, counted from 1; the header of CSV is line 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineRange {
    /// Its first line.
    pub first: u64,
    /// Its last line.
    pub last: u64,
}

impl std::fmt::Display for LineRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.last {
            last if last == self.first => write!(f, "line {last}"),
            last => write!(f, "lines {} to {last}", self.first),
        }
    }
}

/// What an import does with rows whose clients exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExistingClients {
    /// Changes what the row names. A row with another secret is rejected.
    #[default]
    Update,
    /// Leaves the client as it is.
    Skip,
    /// Makes the client what the row says: what it leaves out gets the default, except `disabled` and the secrets.
    Overwrite,
}

impl ExistingClients {
    /// The choice of two switches; `None` if both are set.
    pub fn from_switches(skip: bool, overwrite: bool) -> Option<Self> {
        match (skip, overwrite) {
            (false, false) => Some(Self::Update),
            (true, false) => Some(Self::Skip),
            (false, true) => Some(Self::Overwrite),
            (true, true) => None,
        }
    }
}

/// The choices of an import.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportOptions {
    /// Whether a new client without a secret gets a generated one.
    pub generate_secrets: bool,
    /// What happens to clients that exist.
    pub existing: ExistingClients,
}

/// What one row asks for.
#[derive(Clone)]
pub struct ImportRow {
    request: ClientRequest,
    client_id: String,
    /// The secrets, newest first; empty if the row gives none.
    secrets: Vec<RowSecret>,
    created_at: Option<i64>,
}

/// What a row does to the store.
pub enum Outcome {
    /// Creates a client, with a generated secret if the row gives none.
    New(Box<Client>, Option<String>),
    /// Changes a client.
    Changed(Box<Client>),
    /// Nothing: the client is as the row says.
    Unchanged,
    /// Nothing: the client exists.
    Skipped,
}

impl ImportRow {
    /// Reads the members of a client as the admin API shows it, and the hashes of its secrets.
    pub fn parse(mut row: Map<String, Value>) -> Result<Self, RowError> {
        let (hash, previous) = secrets::take(&mut row)?;
        let created_at = match row.remove("created_at") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let at = value.as_i64().filter(|at| checks::TIMES.contains(at));
                Some(at.ok_or("created_at must be Unix seconds")?)
            }
        };
        let request: ClientRequest = members::read(Value::Object(row))?;
        let client_id = request.client_id.value().cloned().ok_or("client_id is missing")?;
        // Before it is looked up: Postgres has no text with a NUL.
        checks::id(&client_id).map_err(|error| error.to_string())?;
        let given = match request.client_secret.value() {
            None => None,
            Some(_) if hash.is_some() => {
                return Err(
                    "client_secret and client_secret_sha256 or client_secret_hash are both given; keep one of them"
                        .to_owned(),
                );
            }
            Some(text) => {
                checks::secret(text).map_err(|error| error.to_string())?;
                Some(RowSecret::newest(SecretVerifier::Fast(secret::hash(text))))
            }
        };
        let newest = given.or(hash);
        if newest.is_none() && !previous.is_empty() {
            return Err(
                "previous_secrets requires client_secret, client_secret_sha256 or client_secret_hash".to_owned(),
            );
        }
        Ok(Self {
            request: ClientRequest {
                client_secret: Field::Absent,
                ..request
            },
            client_id,
            secrets: newest.into_iter().chain(previous).collect(),
            created_at,
        })
    }

    /// The client that the row describes.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Whether the row gives a secret, or a hash of one.
    pub fn has_secret(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// The newest secret that the row gives.
    pub(super) fn newest_secret(&self) -> Option<&SecretVerifier> {
        self.secrets.first().map(|secret| &secret.verifier)
    }

    /// The client that the row describes, with the secrets of the row, if it is new.
    pub(super) fn describe(&self, defaults: RegistrationDefaults, now: i64) -> Result<Client, RowError> {
        let mut client = self.registered(&self.request, defaults, now)?;
        client.secrets = self.resolved(None, now);
        Ok(client)
    }

    fn notes(&self) -> ImportNotes {
        let is_truncating = self.secrets.iter().any(|secret| secret.is_truncating);
        let default_expiry = self.secrets.iter().filter(|secret| secret.has_default_expiry());
        ImportNotes {
            truncating: is_truncating.into(),
            default_expiry: default_expiry.count() as u64,
        }
    }

    /// The secrets of the row as they are to be stored.
    fn resolved(&self, current: Option<&Client>, now: i64) -> Box<[ClientSecret]> {
        self.secrets.iter().map(|secret| secret.resolve(current, now)).collect()
    }

    /// Decides what the row does to the current client, if there is one. `now`: Unix seconds.
    pub fn judge(
        &self,
        current: Option<&Client>,
        defaults: RegistrationDefaults,
        now: i64,
        options: ImportOptions,
    ) -> Result<Outcome, RowError> {
        let Some(current) = current else {
            return self.create(defaults, now, options.generate_secrets);
        };
        let client = match options.existing {
            ExistingClients::Skip => return Ok(Outcome::Skipped),
            ExistingClients::Update => self.update(current, defaults, now)?,
            ExistingClients::Overwrite => self.overwrite(current, defaults, now)?,
        };
        Ok(if client == *current {
            Outcome::Unchanged
        } else {
            Outcome::Changed(Box::new(client))
        })
    }

    fn create(&self, defaults: RegistrationDefaults, now: i64, generate_secrets: bool) -> Result<Outcome, RowError> {
        let mut client = self.describe(defaults, now)?;
        let mut generated = None;
        if self.secrets.is_empty() {
            if !generate_secrets {
                return Err(
                    "client_secret, client_secret_sha256 or client_secret_hash is required for a new client, unless secrets are generated"
                        .to_owned(),
                );
            }
            let secret = secret::generate_client_secret().map_err(|error: NoRandomness| error.to_string())?;
            client.secrets = [ClientSecret::fast(secret::hash(&secret), None)].into();
            generated = Some(secret);
        }
        Ok(Outcome::New(Box::new(client), generated))
    }

    fn update(&self, current: &Client, defaults: RegistrationDefaults, now: i64) -> Result<Client, RowError> {
        let is_known = |secret: &RowSecret| secrets::find(current, &secret.verifier).is_some();
        if !self
            .secrets
            .iter()
            .all(|secret| is_known(secret) || secret.is_expired(now))
        {
            return Err(
                "client_secret differs from the client's: rotate it, leave it out, or import with skip-existing or overwrite"
                    .to_owned(),
            );
        }
        let request = ClientRequest {
            client_id: Field::Absent,
            ..self.request.clone()
        };
        registration::update(&request, current, defaults).map_err(|error| error.to_string())
    }

    /// The client as the row says: what it leaves out gets the default, except `disabled` and the secrets.
    pub(super) fn overwrite(
        &self,
        current: &Client,
        defaults: RegistrationDefaults,
        now: i64,
    ) -> Result<Client, RowError> {
        let mut request = self.request.clone();
        if request.disabled == Field::Absent {
            // An old file must not enable a client that was disabled since.
            request.disabled = Field::Value(current.disabled);
        }
        let mut client = self.registered(&request, defaults, current.created_at)?;
        client.version = current.version;
        client.secrets = if self.secrets.is_empty() {
            current.secrets.clone()
        } else {
            self.resolved(Some(current), now)
        };
        Ok(client)
    }

    /// The client that a request describes, with the time of creation of the row and without secrets. `created_at`: without one.
    fn registered(
        &self,
        request: &ClientRequest,
        defaults: RegistrationDefaults,
        created_at: i64,
    ) -> Result<Client, RowError> {
        let placeholder = GeneratedCredentials {
            client_id: String::new(),
            secret: PLACEHOLDER.to_owned(),
        };
        let registered = registration::register(request, defaults, placeholder, created_at);
        let mut client = registered.map_err(|error| error.to_string())?.client;
        client.created_at = self.created_at.unwrap_or(created_at);
        client.secrets = Box::default();
        Ok(client)
    }
}

/// Passes the check of a secret that is replaced before anything is stored.
const PLACEHOLDER: &str = "this is replaced before anything is stored";

/// What rows do to the store, together.
#[derive(Default)]
pub struct ImportPlan {
    /// New clients.
    pub new: Vec<Client>,
    /// Changed clients.
    pub changed: Vec<Change>,
    /// The rows of the changed clients.
    changed_at: Vec<LineRange>,
    /// Clients that are as their rows say.
    pub unchanged: u64,
    /// Clients that exist and are left as they are.
    pub skipped: u64,
    /// Generated secrets, by client.
    pub secrets: Vec<(Arc<str>, String)>,
    /// Warnings about the clients that it writes.
    pub notes: ImportNotes,
    /// Rejected rows.
    pub rejected: Vec<(LineRange, RowError)>,
}

impl ImportPlan {
    /// Judges rows by the current clients.
    pub fn new(
        rows: &[(LineRange, ImportRow)],
        current: Vec<Client>,
        defaults: RegistrationDefaults,
        now: i64,
        options: ImportOptions,
    ) -> Self {
        let by_id = |client: Client| (Arc::clone(&client.client_id), client);
        let mut current: HashMap<Arc<str>, Client> = current.into_iter().map(by_id).collect();
        let mut plan = Self::default();
        for (lines, row) in rows {
            match row.judge(current.get(row.client_id()), defaults, now, options) {
                Ok(Outcome::New(client, generated)) => {
                    plan.notes.add(row.notes());
                    plan.secrets
                        .extend(generated.map(|secret| (Arc::clone(&client.client_id), secret)));
                    plan.new.push(*client);
                }
                Ok(Outcome::Changed(after)) => {
                    if let Some(before) = current.remove(row.client_id()) {
                        plan.notes.add(row.notes());
                        plan.changed_at.push(*lines);
                        plan.changed.push(Change { before, after: *after });
                    }
                }
                Ok(Outcome::Unchanged) => plan.unchanged += 1,
                Ok(Outcome::Skipped) => plan.skipped += 1,
                Err(error) => plan.rejected.push((*lines, error)),
            }
        }
        plan
    }

    /// Rejects the changes that `check` rejects.
    pub(super) fn reject_changes(&mut self, check: impl Fn(&Client, &Client) -> Result<(), InvalidMetadata>) {
        let changes = mem::take(&mut self.changed).into_iter();
        for (change, lines) in changes.zip(mem::take(&mut self.changed_at)) {
            match check(&change.before, &change.after) {
                Ok(()) => {
                    self.changed.push(change);
                    self.changed_at.push(lines);
                }
                Err(error) => self.rejected.push((lines, error.to_string())),
            }
        }
        self.rejected.sort_unstable();
    }

    /// The clients that it writes.
    pub fn written(&self) -> impl Iterator<Item = &Client> {
        self.new.iter().chain(self.changed.iter().map(|change| &change.after))
    }

    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.changed.is_empty()
    }
}

/// Finds ids that occur twice. It keeps 16 bytes of the SHA-256 of each, so that millions fit into memory.
#[derive(Default)]
pub struct DuplicateCheck(HashMap<[u8; 16], u64>);

impl DuplicateCheck {
    /// Remembers an id and its line. The error names the line where the id occurred before.
    pub fn insert(&mut self, client_id: &str, line: u64) -> Result<(), RowError> {
        let hash = secret::hash(client_id);
        let short = hash.first_chunk().copied().unwrap_or_default();
        match self.0.entry(short) {
            Entry::Occupied(before) => Err(format!("client_id {client_id} occurs on line {} already", before.get())),
            Entry::Vacant(entry) => {
                entry.insert(line);
                Ok(())
            }
        }
    }
}
