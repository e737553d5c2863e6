//! `key …`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use oauth2_actors::model::{AuditEntry, KeyAlgorithm, KeyRevocation, StoredKey};
use oauth2_actors::store::Store;
use serde_json::json;

use super::store::{self, audit};
use super::{Json, output};
use crate::config::{Config, embedded};
use crate::failure::Failure;
use crate::oauth::view::{KeyView, ListView};
use crate::tokens::generate::{self, Times};
use crate::tokens::import;
use crate::tokens::keyring::{KeyError, Keyring};
use crate::tokens::lifecycle::standings;
use crate::tokens::sealing::Seals;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the signing keys in the order in which they sign.
    List(Json),
    /// Publish a new key; it signs once no verifier can be without it.
    Rotate {
        /// Of this algorithm only: v4.public, EdDSA, ES256, RS256 or PS256. Else of each that has keys.
        #[arg(long, value_name = "ALG")]
        alg: Option<KeyAlgorithm>,
        #[command(flatten)]
        json: Json,
    },
    /// Take a key away at once, and with it every token that it has signed. Another one signs from now on.
    Revoke {
        /// The key's id, as `key list` tells it.
        #[arg(allow_hyphen_values = true)]
        kid: String,
        #[command(flatten)]
        json: Json,
    },
    /// Take over a key that was made elsewhere: PKCS #8, SEC 1 or PKCS #1 in PEM, a JWK (which keeps its kid), or PASERK k4.secret.
    Import(Import),
    /// Seal every key anew that is still sealed under the key-encryption key before.
    Rewrap(Json),
}

#[derive(Debug, Args)]
pub struct Import {
    /// The file with the private key; `-` reads it from stdin.
    file: PathBuf,
    /// What it signs, where its form leaves that open: v4.public, EdDSA, ES256, RS256 or PS256.
    #[arg(long, value_name = "ALG")]
    alg: Option<KeyAlgorithm>,
    /// Verifiers know the key already: it signs at once.
    #[arg(long)]
    published: bool,
    #[command(flatten)]
    json: Json,
}

pub async fn run(config: &Config, command: Command) -> Result<(), Failure> {
    let store = store::open(config).await?;
    match command {
        Command::List(json) => list(config, &store, json, |_| true).await,
        Command::Rotate { alg, json } => rotate(config, &store, alg, json).await,
        Command::Revoke { kid, json } => revoke(config, &store, &kid, json).await,
        Command::Import(asked) => self::import(config, &store, &asked).await,
        Command::Rewrap(json) => rewrap(config, &store, json).await,
    }
}

async fn list(config: &Config, store: &Store, json: Json, shown: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let (keys, now_ms) = (store.keys().await?, store.ping().await? as i64);
    let standings = standings(&keys, now_ms, &config.keys);
    let views = standings.iter().map(KeyView::new).filter(|view| shown(view.kid));
    if json.json {
        return output::json(&ListView {
            items: views.collect(),
            next_cursor: None,
        });
    }
    let row = |view: KeyView<'_>| {
        vec![
            view.kid.to_owned(),
            view.algorithm.to_string(),
            format!("{:?}", view.state).to_lowercase(),
            output::date(view.created_at),
            output::date(view.signs_from),
            output::or_dash(view.kept_until.map(output::date)),
        ]
    };
    let rows: Vec<_> = views.map(row).collect();
    output::table(
        &["KID", "ALGORITHM", "STATE", "PUBLISHED", "SIGNS FROM", "KEPT UNTIL"],
        &rows,
    )
}

async fn rotate(config: &Config, store: &Store, alg: Option<KeyAlgorithm>, json: Json) -> Result<(), Failure> {
    let (seals, known) = seals(config, store).await?;
    let mut made = Vec::new();
    for (algorithm, wait) in config.keys.rotation_of(alg, &known) {
        let key = generate::generate(algorithm, &seals, times(config, store, wait).await?).map_err(failed)?;
        let audit = added("key.rotate", &key);
        made.push((key, audit));
    }
    store.add_keys(&made).await?;
    list(config, store, json, |kid| made.iter().any(|(made, _)| made.kid == kid)).await
}

async fn revoke(config: &Config, store: &Store, kid: &str, json: Json) -> Result<(), Failure> {
    let unknown = || Failure::Refused(format!("there is no key {kid:?}"));
    let (seals, known) = seals(config, store).await?;
    let key = known.iter().find(|key| key.kid == kid).ok_or_else(unknown)?;
    let times = times(config, store, Duration::ZERO).await?;
    let revocation = KeyRevocation {
        kid: kid.to_owned(),
        now_ms: times.now_ms as u64,
        replacement: generate::generate(key.algorithm, &seals, times).map_err(failed)?,
    };
    let audit = audit("key.revoke", json!({"algorithm": key.algorithm}));
    if !store.revoke_key(&revocation, &audit).await? {
        return Err(unknown());
    }
    if json.json {
        return output::json(&json!({ "revoked": kid }));
    }
    output::text_line(&format!(
        "key {kid} is revoked, and every token that it has signed is dead"
    ))
}

async fn import(config: &Config, store: &Store, asked: &Import) -> Result<(), Failure> {
    let place = if asked.file == Path::new("-") {
        "stdin".to_owned()
    } else {
        asked.file.display().to_string()
    };
    let pair = import::read(&text_of(&asked.file, &place)?, asked.alg)
        .map_err(|why| Failure::Refused(format!("{place} {why}{}", hint(asked.alg, &why.to_string()))))?;
    let (seals, known) = seals(config, store).await?;
    let has = known.iter().any(|key| key.algorithm == pair.algorithm);
    let wait = if asked.published || !has {
        Duration::ZERO
    } else {
        config.keys.publication()
    };
    let key = generate::store(&pair, &seals, times(config, store, wait).await?).map_err(failed)?;
    let same = |other: &&StoredKey| other.kid == key.kid || other.public_key == key.public_key;
    if let Some(there) = known.iter().find(same) {
        let what = if there.public_key == key.public_key {
            "this very key is there already; one key cannot sign for two algorithms, nor under two names"
        } else {
            "there is another key of this name already"
        };
        return Err(Failure::Refused(format!(
            "{what}: {}, which signs {}",
            there.kid, there.algorithm
        )));
    }
    store.add_key(&key, None, &added("key.import", &key)).await?;
    list(config, store, asked.json, |kid| kid == key.kid).await
}

/// Which flag says what is left open.
fn hint(alg: Option<KeyAlgorithm>, why: &str) -> &'static str {
    if alg.is_none() && why.contains("say what it signs") {
        " with --alg"
    } else {
        ""
    }
}

/// More than any key has.
const MOST_BYTES: u64 = 64 * 1024;

fn text_of(file: &Path, place: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(MOST_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text))
    };
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(Failure::Refused(format!(
            "{place} is not text: give PEM, a JWK or PASERK"
        ))),
        Err(error) => Err(Failure::Refused(format!("{place} cannot be read: {error}"))),
        Ok(_) => Ok(text),
    }
}

async fn rewrap(config: &Config, store: &Store, json: Json) -> Result<(), Failure> {
    let (seals, known) = seals(config, store).await?;
    let sealed = seals.rewrap(&known).map_err(|error| failed(error.into()))?;
    if !sealed.is_empty() {
        let now = (store.ping().await? / 1000) as i64;
        store.rewrap_keys(&sealed, now, &audit("key.rewrap", json!({}))).await?;
    }
    if json.json {
        return output::json(&json!({ "rewrapped": sealed.len() }));
    }
    output::text_line(&match sealed.len() {
        0 => "every key is sealed under OAUTH2_KEY_ENCRYPTION_KEY already".to_owned(),
        1 => "1 key is sealed anew under OAUTH2_KEY_ENCRYPTION_KEY".to_owned(),
        count => format!("{count} keys are sealed anew under OAUTH2_KEY_ENCRYPTION_KEY"),
    })
}

/// Sees to it that there is a key for what a client's tokens are signed with. RSA keys are not made before.
pub async fn ensure(config: &Config, store: &Store, algorithm: Option<KeyAlgorithm>) -> Result<(), Failure> {
    let Some(algorithm) = algorithm else { return Ok(()) };
    // Those that every store has are made by the first start, which knows where the key-encryption key is to be.
    let known = store.keys().await?;
    if KeyAlgorithm::ALWAYS.contains(&algorithm) || known.iter().any(|key| key.algorithm == algorithm) {
        return Ok(());
    }
    let Some(seals) = embedded::existing_seals(config)? else {
        return Ok(());
    };
    check(config, &seals, &known)?;
    let key = generate::generate(algorithm, &seals, times(config, store, Duration::ZERO).await?).map_err(failed)?;
    store
        .ensure_keys(&[key], &audit("key.create", json!({"algorithm": algorithm})))
        .await?;
    Ok(())
}

fn added(action: &'static str, key: &StoredKey) -> AuditEntry {
    audit(
        action,
        json!({"algorithm": key.algorithm, "signs_from_ms": key.signs_from_ms}),
    )
}

async fn times(config: &Config, store: &Store, wait: Duration) -> Result<Times, Failure> {
    Ok(Times {
        // The store's clock: servers sign by it.
        now_ms: store.ping().await? as i64,
        wait,
        token_lifetime: config.tokens.access_token_lifetime.into(),
    })
}

/// What seals a key that is to be written, and the keys that there are.
async fn seals(config: &Config, store: &Store) -> Result<(Seals, Vec<StoredKey>), Failure> {
    let seals = embedded::existing_seals(config)?.ok_or_else(|| {
        Failure::Refused(
            "there is no key-encryption key yet: start the server once, or give OAUTH2_KEY_ENCRYPTION_KEY".to_owned(),
        )
    })?;
    let known = store.keys().await?;
    check(config, &seals, &known)?;
    Ok((seals, known))
}

/// A key that is sealed otherwise than those that there are could be opened by no server.
fn check(config: &Config, seals: &Seals, known: &[StoredKey]) -> Result<(), Failure> {
    Keyring::open(&config.issuer, seals, known, None)
        .map(drop)
        .map_err(failed)
}

fn failed(error: KeyError) -> Failure {
    match error {
        KeyError::Generate => Failure::Environment(error.to_string()),
        error => Failure::Refused(format!(
            "{error}; give that one in OAUTH2_KEY_ENCRYPTION_KEY, or in …_PREVIOUS"
        )),
    }
}
