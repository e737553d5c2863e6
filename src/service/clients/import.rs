//! Bulk import and export of clients: one JSON object a line, or CSV with a header.
//!
//! A row changes an existing client as an update does: what it leaves out stays as it is. So an old file cannot enable a client that
//! was disabled since. The same text can be imported again and changes nothing. Exports can be imported.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::Arc;

use oauth2_store::model::{Client, ClientSecret};
use serde_json::{Map, Value};

use super::checks;
use super::field::Field;
use super::metadata::ClientRequest;
use super::registration::{self, GeneratedCredentials, RegistrationDefaults};
use crate::service::error::InvalidMetadata;
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
        if self.first == self.last {
            write!(f, "line {}", self.first)
        } else {
            write!(f, "lines {} to {}", self.first, self.last)
        }
    }
}

/// What one row asks for.
#[derive(Clone)]
pub struct ImportRow {
    request: ClientRequest,
    client_id: String,
    /// SHA-256 of the secret, if the row gives it.
    secret: Option<[u8; 32]>,
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
}

impl ImportRow {
    /// Reads the members of a client as the admin API shows it, and `client_secret_sha256`: the hash of a secret, hexadecimal.
    pub fn parse(mut members: Map<String, Value>) -> Result<Self, RowError> {
        let hash = match members.remove("client_secret_sha256") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(parse_hash(&text)?),
            Some(_) => return Err("client_secret_sha256 must be a string".to_owned()),
        };
        let created_at = match members.remove("created_at") {
            None | Some(Value::Null) => None,
            Some(value) => Some(
                value
                    .as_i64()
                    .filter(|at| *at >= 0)
                    .ok_or("created_at must be Unix seconds")?,
            ),
        };
        let request: ClientRequest =
            serde_path_to_error::deserialize(Value::Object(members)).map_err(|error| wrong_type(&error))?;
        let client_id = request.client_id.value().cloned().ok_or("client_id is missing")?;
        let given = match request.client_secret.value() {
            None => None,
            Some(_) if hash.is_some() => {
                return Err("client_secret and client_secret_sha256 are both given; keep one of them".to_owned());
            }
            Some(text) => {
                checks::secret(text).map_err(|error| error.to_string())?;
                Some(secret::hash(text))
            }
        };
        Ok(Self {
            request: ClientRequest {
                client_secret: Field::Absent,
                ..request
            },
            client_id,
            secret: given.or(hash),
            created_at,
        })
    }

    /// The client that the row describes.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Decides what the row does to the current client, if there is one. `now`: Unix seconds. `generate_secrets`: whether a new
    /// client without a secret gets one.
    pub fn judge(
        &self,
        current: Option<&Client>,
        defaults: RegistrationDefaults,
        now: i64,
        generate_secrets: bool,
    ) -> Result<Outcome, RowError> {
        let rejected = |error: InvalidMetadata| error.to_string();
        let placeholder = GeneratedCredentials {
            client_id: String::new(),
            secret: PLACEHOLDER.to_owned(),
        };
        if let Some(current) = current {
            let known = |hash: &[u8; 32]| current.secrets.iter().any(|secret| secret.hash == *hash);
            if self.secret.is_some_and(|hash| !known(&hash)) {
                return Err("client_secret differs from the client's: rotate it, or leave it out".to_owned());
            }
            let request = ClientRequest {
                client_id: Field::Absent,
                ..self.request.clone()
            };
            let client = registration::update(&request, current, defaults).map_err(rejected)?;
            return Ok(if client == *current {
                Outcome::Unchanged
            } else {
                Outcome::Changed(Box::new(client))
            });
        }
        let mut client = registration::register(&self.request, defaults, placeholder, now)
            .map_err(rejected)?
            .client;
        client.created_at = self.created_at.unwrap_or(now);
        let (hash, generated) = match self.secret {
            Some(hash) => (hash, None),
            None if generate_secrets => {
                let generated = secret::generate_client_secret().map_err(|error: NoRandomness| error.to_string())?;
                (secret::hash(&generated), Some(generated))
            }
            None => {
                return Err(
                    "client_secret or client_secret_sha256 is required for a new client, unless secrets are generated"
                        .to_owned(),
                );
            }
        };
        client.secrets = [ClientSecret { hash, expires_at: None }].into();
        Ok(Outcome::New(Box::new(client), generated))
    }
}

/// Passes the check of a secret that is replaced before anything is stored.
const PLACEHOLDER: &str = "this is replaced before anything is stored";

fn parse_hash(text: &str) -> Result<[u8; 32], RowError> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).map_err(|_| "client_secret_sha256 must be 64 hexadecimal digits")?;
    Ok(hash)
}

/// Names the member and its type, not its value: that may be a secret.
fn wrong_type(error: &serde_path_to_error::Error<serde_json::Error>) -> RowError {
    let text = error.inner().to_string();
    if text.starts_with("unknown field") || text.starts_with("duplicate field") {
        return text;
    }
    let wanted = match text.rsplit_once(", expected ").map(|(_, wanted)| wanted) {
        Some("i64") => "an integer",
        Some("a sequence") => "a list",
        Some("a map") => "an object",
        Some(other) => other,
        None => "of another type",
    };
    format!("{} must be {wanted}", error.path())
}

/// What rows do to the store, together.
#[derive(Default)]
pub struct ImportPlan {
    /// New clients.
    pub new: Vec<Client>,
    /// Changed clients: before and after.
    pub changed: Vec<(Client, Client)>,
    /// The rows of the changed clients.
    changed_at: Vec<LineRange>,
    /// Clients that are as their rows say.
    pub unchanged: u64,
    /// Generated secrets, by client.
    pub secrets: Vec<(Arc<str>, String)>,
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
        generate_secrets: bool,
    ) -> Self {
        let by_id = |client: Client| (Arc::clone(&client.client_id), client);
        let mut current: HashMap<Arc<str>, Client> = current.into_iter().map(by_id).collect();
        let mut plan = Self::default();
        for (lines, row) in rows {
            match row.judge(current.get(row.client_id()), defaults, now, generate_secrets) {
                Ok(Outcome::New(client, generated)) => {
                    plan.secrets
                        .extend(generated.map(|secret| (Arc::clone(&client.client_id), secret)));
                    plan.new.push(*client);
                }
                Ok(Outcome::Changed(after)) => {
                    if let Some(before) = current.remove(row.client_id()) {
                        plan.changed_at.push(*lines);
                        plan.changed.push((before, *after));
                    }
                }
                Ok(Outcome::Unchanged) => plan.unchanged += 1,
                Err(error) => plan.rejected.push((*lines, error)),
            }
        }
        plan
    }

    /// Rejects the changes that `check` rejects.
    pub(super) fn reject_changes(&mut self, check: impl Fn(&Client, &Client) -> Result<(), InvalidMetadata>) {
        let changes = mem::take(&mut self.changed).into_iter();
        for ((before, after), lines) in changes.zip(mem::take(&mut self.changed_at)) {
            match check(&before, &after) {
                Ok(()) => {
                    self.changed.push((before, after));
                    self.changed_at.push(lines);
                }
                Err(error) => self.rejected.push((lines, error.to_string())),
            }
        }
        self.rejected.sort_unstable();
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
