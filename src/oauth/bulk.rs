//! Clients in numbers, as text: a JSON object a line, or CSV with a header.
//!
//! A line describes a client wholly: what it leaves out is the server's default. So the same text can be imported again, and
//! changes nothing the second time. What is exported is what can be imported.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::Arc;

use oauth2_actors::model::{Client, ClientSecret};
use serde_json::{Map, Value};

use super::registration::{self, ClientRequest, Defaults, Field, Fresh, Invalid};
use crate::tokens::secret::{self, NoRandomness};

pub mod csv;
mod lines;
mod quotes;

pub use lines::{Lines, Place, Record};

/// How the text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A JSON object a line.
    Json,
    /// CSV (RFC 4180), the first line of which names the columns.
    Csv,
}

/// Why a line is refused, as a sentence without the line.
pub type Refusal = String;

/// What a line asks for.
#[derive(Clone)]
pub struct Asked {
    request: ClientRequest,
    client_id: String,
    /// SHA-256 of its secret, where the line says it.
    secret: Option<[u8; 32]>,
    created_at: Option<i64>,
}

/// What is to be done for a line.
pub enum Outcome {
    /// A client is made. The secret is one that was made up for it.
    New(Box<Client>, Option<String>),
    /// It is changed.
    Changed(Box<Client>),
    /// It is as the line says already.
    Unchanged,
}

impl Asked {
    /// Reads what a line says. The JSON object has the members of a client as the admin API shows it, and
    /// `client_secret_sha256`: the hash of a secret, in hexadecimal.
    pub fn read(mut members: Map<String, Value>) -> Result<Self, Refusal> {
        let hash = match members.remove("client_secret_sha256") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => {
                Some(unhex(&text).ok_or("client_secret_sha256 must be 64 hexadecimal digits")?)
            }
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
            Some(_) if hash.is_some() => return Err("client_secret and client_secret_sha256 are both given".to_owned()),
            Some(text) => {
                registration::check_secret(text).map_err(|error| error.to_string())?;
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

    /// Which client it is about.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// What is to be done, given the client of this name, if there is one. `now`: Unix seconds. Where a secret has to be made
    /// up, `may_make_up` says whether somebody will learn it.
    pub fn judge(
        &self,
        current: Option<&Client>,
        defaults: &Defaults,
        now: i64,
        may_make_up: bool,
    ) -> Result<Outcome, Refusal> {
        let refused = |error: Invalid| error.to_string();
        let fresh = Fresh {
            client_id: String::new(),
            secret: PLACE_OF_A_SECRET.to_owned(),
        };
        let mut client = registration::register(&self.request, defaults, fresh, now)
            .map_err(refused)?
            .client;
        if let Some(current) = current {
            let known = |hash: &[u8; 32]| current.secrets.iter().any(|secret| secret.hash == *hash);
            if self.secret.is_some_and(|hash| !known(&hash)) {
                return Err("the client has another secret than this: rotate it, or leave it out".to_owned());
            }
            client.secrets.clone_from(&current.secrets);
            client.created_at = current.created_at;
            client.version = current.version;
            return Ok(if client == *current {
                Outcome::Unchanged
            } else {
                Outcome::Changed(Box::new(client))
            });
        }
        client.created_at = self.created_at.unwrap_or(now);
        let (hash, made_up) =
            match self.secret {
                Some(hash) => (hash, None),
                None if may_make_up => {
                    let made_up = secret::generate_client_secret().map_err(|error: NoRandomness| error.to_string())?;
                    (secret::hash(&made_up), Some(made_up))
                }
                None => return Err(
                    "a new client needs client_secret or client_secret_sha256, or a place for secrets that are made up"
                        .to_owned(),
                ),
            };
        client.secrets = [ClientSecret { hash, expires_at: None }].into();
        Ok(Outcome::New(Box::new(client), made_up))
    }
}

/// Names the member and what it must be, and not what it is: that may be a secret.
fn wrong_type(error: &serde_path_to_error::Error<serde_json::Error>) -> Refusal {
    let why = error.inner().to_string();
    if why.starts_with("unknown field") {
        return why;
    }
    let wanted = match why.rsplit_once(", expected ").map(|(_, wanted)| wanted) {
        Some("i64") => "a whole number",
        Some("a sequence") => "a list",
        Some("a map") => "an object",
        Some(other) => other,
        None => "of another kind",
    };
    format!("{} must be {wanted}", error.path())
}

/// Stands where a secret is checked that is replaced before anything is stored.
const PLACE_OF_A_SECRET: &str = "this is replaced before anything is stored";

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| (pair[at] as char).to_digit(16);
        *byte = (digit(0)? * 16 + digit(1)?) as u8;
    }
    Some(bytes)
}

/// What a chunk of lines comes to.
#[derive(Default)]
pub struct Plan {
    /// Clients to be made.
    pub new: Vec<Client>,
    /// Clients to be changed.
    pub changed: Vec<Client>,
    /// Where each of these stands, and the client as it is.
    before: Vec<(Place, Client)>,
    /// How many are as their lines say.
    pub unchanged: u64,
    /// Secrets that were made up, by client.
    pub secrets: Vec<(Arc<str>, String)>,
    /// Lines that are refused, and why.
    pub refused: Vec<(Place, Refusal)>,
}

impl Plan {
    /// Judges lines by the clients that there are.
    pub fn of(
        asked: &[(Place, Asked)],
        current: Vec<Client>,
        defaults: &Defaults,
        now: i64,
        may_make_up: bool,
    ) -> Self {
        let by_id = |client: Client| (Arc::clone(&client.client_id), client);
        let mut current: HashMap<Arc<str>, Client> = current.into_iter().map(by_id).collect();
        let mut plan = Self::default();
        for (place, asked) in asked {
            match asked.judge(current.get(asked.client_id()), defaults, now, may_make_up) {
                Ok(Outcome::New(client, made_up)) => {
                    plan.secrets
                        .extend(made_up.map(|secret| (Arc::clone(&client.client_id), secret)));
                    plan.new.push(*client);
                }
                Ok(Outcome::Changed(client)) => {
                    let before = current.remove(asked.client_id());
                    plan.before.extend(before.map(|before| (*place, before)));
                    plan.changed.push(*client);
                }
                Ok(Outcome::Unchanged) => plan.unchanged += 1,
                Err(why) => plan.refused.push((*place, why)),
            }
        }
        plan
    }

    /// The clients that are changed: as they are and as they would be.
    pub fn changes(&self) -> impl Iterator<Item = (&Client, &Client)> {
        let before = self.before.iter().map(|(_, before)| before);
        before.zip(&self.changed)
    }

    /// Refuses the changes that something speaks against.
    pub fn check(&mut self, against: impl Fn(&Client, &Client) -> Option<Refusal>) {
        let (before, changed) = (mem::take(&mut self.before), mem::take(&mut self.changed));
        for ((place, before), changed) in before.into_iter().zip(changed) {
            if let Some(why) = against(&before, &changed) {
                self.refused.push((place, why));
            } else {
                self.before.push((place, before));
                self.changed.push(changed);
            }
        }
        self.refused.sort_unstable();
    }
}

/// A client as a line of its own says it, with the hash of its newest secret if that is wanted.
pub fn describe(client: &Client, with_hash: bool) -> Map<String, Value> {
    let view = super::view::ClientView::new(client, None);
    let Ok(Value::Object(mut members)) = serde_json::to_value(view) else {
        return Map::new();
    };
    members.retain(|_, value| !value.is_null());
    if let Some(newest) = client.secrets.first().filter(|_| with_hash) {
        let hash: String = newest
            .hash
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect();
        members.insert("client_secret_sha256".to_owned(), hash.into());
    }
    members
}

/// Ids of a text, each with its line, to find those that come twice: 16 bytes of its SHA-256 stand for an id, so that millions
/// of them are held.
#[derive(Default)]
pub struct Seen(HashMap<[u8; 16], u64>);

impl Seen {
    /// Remembers an id; an error names the line that it stood on before.
    pub fn insert(&mut self, client_id: &str, line: u64) -> Result<(), Refusal> {
        let hash = secret::hash(client_id);
        let short = hash.first_chunk().copied().unwrap_or_default();
        match self.0.entry(short) {
            Entry::Occupied(before) => Err(format!("client_id {client_id} stands on line {} already", before.get())),
            Entry::Vacant(place) => {
                place.insert(line);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
