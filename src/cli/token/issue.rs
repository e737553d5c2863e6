//! `token issue`: tokens for provisioning, as many as wanted, each recorded before it is handed out.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use oauth2_actors::model::{Client, Ledger, RevocationTarget, StoredKey, TokenFormat, TokenRecord};
use oauth2_actors::runtime::clock::{Clock, IdClock, StoreClock, SystemClock};
use oauth2_actors::store::{LedgerWriter, LogPosition, Store};
use serde_json::json;
use url::form_urlencoded;

use crate::cli::new_file;
use crate::cli::progress::Progress;
use crate::cli::store::{self, audit, no_such_client};
use crate::config::{Config, Secret, embedded};
use crate::failure::Failure;
use crate::oauth::form::Form;
use crate::oauth::grants::{Defaults, Grant, client_credentials};
use crate::tokens::keyring::Keyring;
use crate::tokens::sealing::Seals;
use crate::tokens::{opaque, secret};

/// Tokens that are recorded by one commit.
const CHUNK: u64 = 1000;

/// The most at a time.
const MOST: u64 = 10_000_000;

#[derive(Debug, Args)]
pub struct Issue {
    /// The client that they are for.
    #[arg(long, value_name = "ID")]
    client: String,
    /// How many.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MOST))]
    count: u64,
    /// Scopes that they grant, separated by spaces; all that the client may have when left out.
    #[arg(long)]
    scope: Option<String>,
    /// Their audience; the client's first when left out.
    #[arg(long, value_name = "URI")]
    audience: Option<String>,
    /// Where they are written, in a new file for its owner only; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A token a line, or a JSON object with its id and expiry.
    #[arg(long, value_enum, default_value_t = Lines::Text)]
    format: Lines,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lines {
    Text,
    Json,
}

pub async fn run(config: &Config, asked: Issue) -> Result<(), Failure> {
    let store = store::open(config).await?;
    let mut issuer = Issuer::open(config, store)?;
    // What is wrong with scope or audience shows before a file is made.
    let client = issuer.refresh(&asked.client).await?;
    issuer.decide(&client, &asked)?;
    let mut out = open(&asked)?;
    let (mut progress, mut writer) = (Progress::new("tokens", Some(asked.count)), issuer.store.ledger_writer());
    let mut written = 0;
    while written < asked.count {
        let chunk = (asked.count - written).min(CHUNK);
        let tokens = issuer
            .chunk(&asked, chunk, &mut writer)
            .await
            .map_err(|error| interrupted(error, written))?;
        for line in tokens {
            writeln!(out, "{line}").map_err(|error| interrupted(cannot_write(&asked.out, &error), written))?;
        }
        out.flush()
            .map_err(|error| interrupted(cannot_write(&asked.out, &error), written))?;
        written += chunk;
        progress.show(written);
    }
    drop(progress);
    if asked.out != Path::new("-") {
        let _ = writeln!(
            io::stderr().lock(),
            "{written} tokens for {} are in {}",
            asked.client,
            asked.out.display()
        );
    }
    Ok(())
}

fn interrupted(failure: Failure, written: u64) -> Failure {
    if written == 0 {
        return failure;
    }
    let why = format!("{failure}; {written} tokens were written before");
    match failure {
        Failure::Refused(_) => Failure::Refused(why),
        _ => Failure::Environment(why),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::Environment(format!("{} cannot be written: {error}", path.display()))
}

fn open(asked: &Issue) -> Result<Box<dyn Write>, Failure> {
    if asked.out == Path::new("-") {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    Ok(Box::new(BufWriter::new(new_file(&asked.out, asked.force)?)))
}

/// All that it takes to issue tokens.
struct Issuer {
    store: Store,
    name: String,
    seals: Seals,
    shared: Option<Secret>,
    clock: Arc<StoreClock>,
    ids: IdClock,
    /// What the keyring was opened from.
    keys: Vec<StoredKey>,
    keyring: Keyring,
    /// How far the revocations are known.
    position: LogPosition,
    defaults: Defaults,
}

impl Issuer {
    fn open(config: &Config, store: Store) -> Result<Self, Failure> {
        let missing = || Failure::Refused("there is no key-encryption key yet: start the server once".to_owned());
        let clock = Arc::new(StoreClock::new(Arc::new(SystemClock)));
        Ok(Self {
            store,
            name: config.issuer.clone(),
            seals: embedded::existing_seals(config)?.ok_or_else(missing)?,
            shared: config.secrets.jwt_secret.clone(),
            ids: IdClock::new(Arc::clone(&clock) as Arc<dyn Clock>),
            clock,
            keys: Vec::new(),
            keyring: Keyring::default(),
            position: LogPosition::default(),
            defaults: Defaults {
                issuer: config.issuer.as_str().into(),
                format: config.tokens.format,
                ledger: config.tokens.ledger,
                lifetime: config.tokens.access_token_lifetime,
            },
        })
    }

    /// Takes over what has changed: the client, which it answers, keys, cut-offs and the store's clock.
    async fn refresh(&mut self, client_id: &str) -> Result<Client, Failure> {
        let client = self.store.client(client_id).await?;
        let client = client.ok_or_else(|| no_such_client(client_id))?;
        if client.disabled {
            return Err(Failure::Refused(format!("the client {client_id} is disabled")));
        }
        let lifetime = i64::from(client.access_token_lifetime.unwrap_or(self.defaults.lifetime));
        let mut keys = self.store.keys().await?;
        if keys.iter().any(|key| key.token_lifetime < lifetime) {
            // No server knows how long tokens live by this command's configuration: the keys must be kept for so long.
            self.store.lengthen_keys(lifetime).await?;
            keys = self.store.keys().await?;
        }
        if keys != self.keys {
            let shared = self.shared.as_ref().map(|secret| secret.expose().as_bytes());
            let keyring = Keyring::open(&self.name, &self.seals, &keys, shared);
            self.keyring = keyring.map_err(|error| Failure::Refused(error.to_string()))?;
            self.keys = keys;
        }
        let sent = self.clock.local_ms();
        self.clock.observe(self.store.ping().await?, sent);
        // What is minted here is later than every cut-off there was.
        let (log, position) = self.store.revocations_since(self.position).await?;
        self.position = position;
        for revocation in log {
            if !matches!(revocation.target, RevocationTarget::Token { .. }) {
                self.ids.advance_past(revocation.cutoff_ms);
            }
        }
        Ok(client)
    }

    /// Makes and records so many tokens; answers a line for each.
    async fn chunk(&mut self, asked: &Issue, count: u64, writer: &mut LedgerWriter) -> Result<Vec<String>, Failure> {
        let client = self.refresh(&asked.client).await?;
        let (mut lines, mut records) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let grant = self.decide(&client, asked)?;
            let (token, secret_hash) = self.sign(&grant)?;
            if grant.ledger == Ledger::Durable {
                records.push(record(&grant, secret_hash));
            }
            let claims = &grant.claims;
            lines.push(match asked.format {
                Lines::Text => token,
                Lines::Json => json!({"access_token": token, "jti": claims.jti, "expires_at": claims.exp}).to_string(),
            });
        }
        // Told before they are, and recorded before they are handed out: whenever this ends, no token is without either.
        let entry = audit("token.issue", json!({"count": count, "client_id": asked.client}));
        let now = (self.clock.unix_ms() / 1000) as i64;
        self.store.note(&entry, "client", &asked.client, now).await?;
        writer.commit(&records).await?;
        Ok(lines)
    }

    fn decide(&self, client: &Client, asked: &Issue) -> Result<Grant, Failure> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(asked.scope.iter().map(|scope| ("scope", scope)));
        form.extend_pairs(asked.audience.iter().map(|audience| ("audience", audience)));
        let form = form.finish();
        let form = Form::parse(form.as_bytes()).map_err(|error| Failure::Refused(error.to_string()))?;
        let jti = self
            .ids
            .new_id()
            .map_err(|error| Failure::Environment(error.to_string()))?;
        client_credentials::decide(client, &form, &self.defaults, jti).map_err(|error| {
            let flag = match error.code {
                crate::oauth::error::Code::InvalidScope => "--scope: ",
                crate::oauth::error::Code::InvalidTarget => "--audience: ",
                _ => "",
            };
            Failure::Refused(format!("{flag}{}", error.description))
        })
    }

    fn sign(&self, grant: &Grant) -> Result<(String, Option<[u8; 32]>), Failure> {
        let claims = &grant.claims;
        let signed = match grant.format {
            TokenFormat::Opaque => {
                let secret = secret::random_bytes()?;
                return Ok((
                    opaque::format(claims.jti, claims.exp, &secret),
                    Some(secret::hash(secret)),
                ));
            }
            TokenFormat::Jwt => self.keyring.sign_jwt(claims, grant.signing_alg),
            TokenFormat::Paseto => self.keyring.sign_paseto(claims),
        };
        signed
            .map(|token| (token, None))
            .map_err(|error| Failure::Environment(error.to_string()))
    }
}

fn record(grant: &Grant, secret_hash: Option<[u8; 32]>) -> TokenRecord {
    let claims = &grant.claims;
    TokenRecord {
        jti: claims.jti,
        expires_at: claims.exp,
        client_id: claims.client_id.clone(),
        scope: claims.scope.clone(),
        audience: claims.aud.clone(),
        format: grant.format,
        secret_hash,
    }
}
