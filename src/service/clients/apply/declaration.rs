//! A client as a file describes it, and what that does to the stored client.

use std::fmt;
use std::sync::Arc;

use oauth2_store::model::{Client, ClientSecret, SecretVerifier};

use crate::service::clients::changes::Change;
use crate::service::clients::import::{ImportRow, RowError};
use crate::service::clients::registration::RegistrationDefaults;
use crate::service::clients::{MAX_OVERLAP, checks, secrets};
use crate::tokens::secret;

/// Where a client is described, for errors.
#[derive(Debug, Clone, Default)]
pub struct Location {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Its line, where that is known.
    pub line: Option<u64>,
    /// Its position in the file, such as `clients[3]`.
    pub path: String,
    /// The lines of its members, where they are known.
    pub members: Vec<(String, Option<u64>)>,
}

impl Location {
    /// An error with its place: the line of the member that it is about, or else that of the client.
    pub fn error(&self, error: &str) -> String {
        let member = self.members.iter().find(|(member, _)| is_about(error, member));
        let line = member.and_then(|(_, line)| *line).or(self.line);
        format!("{}: {error}", self.at(line))
    }

    fn at(&self, line: Option<u64>) -> String {
        match line {
            Some(line) => format!("{}:{line}: {}", self.file, self.path),
            None => format!("{}: {}", self.file, self.path),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at(self.line))
    }
}

/// Whether a sentence is about this member: it begins with it, or names it as unknown.
fn is_about(error: &str, member: &str) -> bool {
    let unknown = error
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.strip_prefix(member));
    let named = error.strip_prefix(member);
    unknown.is_some_and(|rest| rest.starts_with('`')) || named.is_some_and(|rest| rest.starts_with([' ', '.', '[']))
}

/// A client as a file describes it.
#[derive(Clone)]
pub struct Declaration {
    /// Who owns the file.
    pub owner: Arc<str>,
    /// Where it is.
    pub location: Location,
    /// What the file says.
    pub row: ImportRow,
    /// Its secret.
    pub secret: DeclaredSecret,
    /// Seconds for which the present secret remains valid if the declared one is another; `None`: another one is rejected.
    pub overlap: Option<i64>,
}

/// The secret of a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeclaredSecret {
    /// That of the row, or none: the stored one stays.
    OfRow,
    /// In this file, which has not been read yet.
    InFile(String),
    /// What such a file says.
    Given(SecretVerifier),
    /// The file is not there: nothing happens to the client.
    Pending(String),
    /// If the client is new: generated before, and written to a file by a run that was killed.
    IfNew(SecretVerifier),
}

/// Choices of a plan.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApplyOptions {
    /// Whether a new client without a secret gets a generated one.
    pub generate_secrets: bool,
    /// Whether clients of others, or of nobody, are taken over.
    pub adopt: bool,
    /// Whether clients of the owners that no file describes are deleted.
    pub prune: bool,
    /// As [`Declaration::overlap`], where a declaration does not say.
    pub overlap: Option<i64>,
}

/// What happens to a client.
#[derive(Debug)]
pub enum Action {
    /// It is registered; without a secret of its own it needs a generated one.
    Create(Box<Client>),
    /// It changes.
    Update(Box<Change>),
    /// It is deleted, and its tokens are revoked.
    Delete(Box<Client>),
    /// Nothing.
    Unchanged,
    /// Nothing yet: its secret is expected in this file.
    Pending(String),
}

/// What happens to the secrets of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretChange {
    /// Nothing.
    None,
    /// The files give the secret of a new client.
    Given,
    /// The secret of a new client is generated.
    Generated,
    /// The declared secret becomes the newest one, and the present one expires after these seconds.
    Rotated(i64),
}

/// The longest content of a file with a secret, bytes.
pub const MAX_SECRET_FILE: u64 = 4096;

impl Declaration {
    /// Takes the content of its file: a secret, or `sha256:` and the hash of one. Without content the file is as good as not there: it is
    /// being written. The error names the file, never the content.
    pub fn set_content(&mut self, file: &str, content: Option<&str>) -> Result<(), RowError> {
        let content = content
            .map(|text| text.trim_end_matches(['\r', '\n']))
            .filter(|text| !text.is_empty());
        self.secret = match content {
            None => DeclaredSecret::Pending(file.to_owned()),
            Some(text) => DeclaredSecret::Given(hash_of(text).map_err(|error| format!("secret_file {file}: {error}"))?),
        };
        Ok(())
    }

    /// Takes a secret that was generated for it before and may not have reached the store.
    pub fn set_generated_before(&mut self, file: &str, text: &str) -> Result<(), RowError> {
        let hash = hash_of(text.trim_end_matches(['\r', '\n'])).map_err(|error| format!("{file}: {error}"))?;
        self.secret = DeclaredSecret::IfNew(hash);
        Ok(())
    }

    /// Whether its secret is the stored one, or generated.
    pub fn has_no_secret(&self) -> bool {
        self.secret == DeclaredSecret::OfRow && self.row.newest_secret().is_none()
    }

    /// Decides what it does to the current client, if there is one. `now`: Unix seconds.
    pub(super) fn judge(
        &self,
        current: Option<&Client>,
        defaults: RegistrationDefaults,
        now: i64,
        options: ApplyOptions,
    ) -> Result<(Action, SecretChange), RowError> {
        if let Some(current) = current.filter(|current| current.managed_by.as_deref() != Some(&*self.owner))
            && !options.adopt
        {
            return Err(match &current.managed_by {
                Some(other) => format!(
                    "the client is managed by {other:?}, not by {:?}; --adopt takes it over",
                    &*self.owner
                ),
                None => "the client exists and no files manage it; --adopt takes it over".to_owned(),
            });
        }
        if let DeclaredSecret::Pending(file) = &self.secret {
            return Ok((Action::Pending(file.clone()), SecretChange::None));
        }
        let owner = checks::owner(&self.owner).map_err(|error| error.to_string())?;
        let Some(current) = current else {
            let mut client = self.row.describe(defaults, now)?;
            client.managed_by = Some(owner);
            let known = match &self.secret {
                DeclaredSecret::Given(verifier) | DeclaredSecret::IfNew(verifier) => Some(verifier),
                _ => self.row.newest_secret(),
            };
            if known.is_none() && !options.generate_secrets {
                return Err(
                    "a new client needs a secret: name secret_file, client_secret_sha256, client_secret_hash or client_secret, or generate it with --secrets-out"
                        .to_owned(),
                );
            }
            let change = known.map_or(SecretChange::Generated, |_| SecretChange::Given);
            client.secrets = known.map(new_secret).into_iter().collect();
            return Ok((Action::Create(Box::new(client)), change));
        };
        let mut after = self.row.overwrite(current, defaults, now)?;
        after.managed_by = Some(owner);
        let (secrets, change) = self.secrets(current, now, options)?;
        after.secrets = secrets;
        if after == *current {
            return Ok((Action::Unchanged, SecretChange::None));
        }
        let before = current.clone();
        Ok((Action::Update(Box::new(Change { before, after })), change))
    }

    /// The secrets that a client has afterwards.
    fn secrets(
        &self,
        current: &Client,
        now: i64,
        options: ApplyOptions,
    ) -> Result<(Box<[ClientSecret]>, SecretChange), RowError> {
        let declared = match &self.secret {
            DeclaredSecret::Given(verifier) => Some(verifier),
            DeclaredSecret::IfNew(_) => None,
            _ => self.row.newest_secret(),
        };
        let newest = current.secrets.first();
        let is_newest =
            |declared: &&SecretVerifier| newest.is_some_and(|known| known.verifier.is_same_secret(declared));
        let Some(declared) = declared.filter(|declared| !is_newest(declared)) else {
            return Ok((current.secrets.clone(), SecretChange::None));
        };
        let known = secrets::find(current, declared);
        let was_replaced = known.is_some();
        if was_replaced && options.overlap.is_none() {
            return Err(
                "the secret is one that the client had before: it was rotated elsewhere, maybe because it leaked; put the new one into the \
                 file, or set --secret-overlap to go back to this one"
                    .to_owned(),
            );
        }
        let Some(overlap) = self.overlap.or(options.overlap) else {
            return Err(
                "the secret differs from the client's; to rotate it, say for how many seconds the present one remains valid: \
                 secret_overlap in the file, or --secret-overlap"
                    .to_owned(),
            );
        };
        if !(0..=MAX_OVERLAP).contains(&overlap) {
            return Err(format!("secret_overlap must be from 0 to {MAX_OVERLAP} seconds"));
        }
        let is_other = |known: &&ClientSecret| !known.verifier.is_same_secret(declared);
        let expiring = current.secrets.iter().filter(is_other);
        let expiring = expiring.map(|known| ClientSecret {
            verifier: known.verifier.clone(),
            expires_at: Some(known.expires_at.map_or(now + overlap, |at| at.min(now + overlap))),
        });
        let valid = expiring.filter(|known| known.expires_at.is_some_and(|at| at > now));
        let declared = known.map_or(declared, |known| &known.verifier);
        let secrets = std::iter::once(new_secret(declared)).chain(valid).collect();
        Ok((secrets, SecretChange::Rotated(overlap)))
    }
}

/// The hash of a secret, or the one that `sha256:` precedes: as a secret, such a text is rejected everywhere.
fn hash_of(text: &str) -> Result<SecretVerifier, RowError> {
    if let Some(digits) = text.strip_prefix("sha256:") {
        let mut hash = [0; 32];
        let decoded = hex::decode_to_slice(digits, &mut hash);
        return decoded
            .map(|()| SecretVerifier::Fast(hash))
            .map_err(|_| "client_secret must have 64 hexadecimal digits after sha256:".to_owned());
    }
    checks::secret(text).map_err(|error| error.to_string())?;
    Ok(SecretVerifier::Fast(secret::hash(text)))
}

/// A secret that does not expire.
fn new_secret(verifier: &SecretVerifier) -> ClientSecret {
    ClientSecret {
        verifier: verifier.clone(),
        expires_at: None,
    }
}
