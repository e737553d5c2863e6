//! `token inspect`: what a token says, whether a published key signed it, and with a store whether it holds.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use oauth2_actors::store::Store;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::state::{self, Held};
use crate::cli::{Json, output, store};
use crate::config::Config;
use crate::failure::Failure;
use crate::tokens::inspect::{Decoded, PublicKeys, Verdict, decode};

#[derive(Args)]
pub struct Inspect {
    /// A token; `-` reads it from stdin, where no process list shows it.
    token: String,
    /// A JWK set or the PASETO keys as the server publishes them; may repeat. Without one the store is asked, for its keys and
    /// for the token's record.
    #[arg(long, value_name = "FILE")]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    json: Json,
}

// It holds a token.
impl std::fmt::Debug for Inspect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inspect")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

pub async fn run(config: &Config, asked: &Inspect) -> Result<(), Failure> {
    let token = read(&asked.token)?;
    let decoded = decode(&token).ok_or_else(|| {
        Failure::Refused(
            "this is no token: neither PASETO v4.public, JWT nor an opaque token of this server".to_owned(),
        )
    })?;
    let (keys, store) = keys(config, asked).await?;
    let verdict = keys.verify(&token, &decoded);
    let held = match &store {
        // What else a token says is nobody's word.
        Some(store) if matches!(verdict, Verdict::Valid | Verdict::None) => {
            Some(state::held(config, store, &token, &decoded).await?)
        }
        _ => None,
    };
    let expired = exp(&decoded.claims).is_some_and(|exp| exp <= store::now());
    if asked.json.json {
        output::json(&json!({
            "format": decoded.format, "header": decoded.header, "claims": decoded.claims, "signature": word(verdict),
            "expired": expired, "record": held.map(Held::word),
        }))?;
    } else {
        show(&decoded, verdict, held)?;
    }
    objection(verdict, held, expired).map_or(Ok(()), |why| Err(Failure::Refused(why.to_owned())))
}

/// Why a token does not hold, or is not known to; `None`: somebody vouches for it.
fn objection(verdict: Verdict, held: Option<Held>, expired: bool) -> Option<&'static str> {
    Some(match (verdict, held) {
        (Verdict::Bad, _) => "the signature does not hold: the token was altered or forged",
        (_, Some(Held::Forged)) => "the record of the token's id is of another token: this one was altered or forged",
        (_, Some(Held::Foreign)) => "the token says what no token of this server does: it was made up",
        (Verdict::UnknownKey, _) => "the token names a key that is not among those at hand",
        (Verdict::NotChecked, _) => {
            "the signature was not checked: there is no store here; name the published keys with --keys"
        }
        _ if expired => "the token has expired",
        (Verdict::None, None) => "only the store knows an opaque token: look at it where the store is, without --keys",
        (Verdict::None, Some(Held::NotRecorded)) => "there is no record of the token: it was not issued here",
        (_, Some(Held::Revoked)) => "the token is revoked",
        (_, Some(Held::NotActive)) => "the token is not active: its client is disabled, gone, or not registered so",
        (Verdict::Valid, None | Some(Held::Active | Held::NotRecorded)) | (Verdict::None, Some(Held::Active)) => {
            return None;
        }
    })
}

fn read(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().take(64 * 1024).read_to_string(&mut text);
    read.map_err(|error| Failure::Environment(format!("stdin cannot be read: {error}")))?;
    Ok(text.trim().to_owned())
}

/// The keys that were named; else those of the store, if there is one.
async fn keys(config: &Config, asked: &Inspect) -> Result<(PublicKeys, Option<Store>), Failure> {
    let mut keys = PublicKeys::default();
    if let Some(secret) = &config.secrets.jwt_secret {
        keys.share(secret.expose().as_bytes());
    }
    for path in &asked.keys {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Refused(format!("--keys {} cannot be read: {error}", path.display())))?;
        keys.add(&text)
            .map_err(|why| Failure::Refused(format!("--keys {} {why}", path.display())))?;
    }
    if !asked.keys.is_empty() {
        return Ok((keys, None));
    }
    // Where no store was ever made a token can be looked at all the same. One that is there and cannot be asked is a failure.
    if config.database.sqlite_path().is_some_and(|path| !path.exists()) {
        return Ok((keys, None));
    }
    let store = store::open(config).await?;
    keys.add_stored(&store.keys().await?);
    Ok((keys, Some(store)))
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Bad => "does not hold",
        Verdict::UnknownKey => "by a key that is not at hand",
        Verdict::NotChecked => "not checked: no keys at hand, name some with --keys",
        Verdict::None => "none: an opaque token is a reference",
    }
}

/// The verdict first, then what the token says of itself, apart from it.
fn show(decoded: &Decoded, verdict: Verdict, held: Option<Held>) -> Result<(), Failure> {
    let mut fields = vec![("signature".to_owned(), word(verdict).to_owned())];
    fields.extend(held.map(|held| ("record".to_owned(), held.word().to_owned())));
    fields.push(("format".to_owned(), decoded.format.to_owned()));
    for (part, value) in [("header", &decoded.header), ("claim", &decoded.claims)] {
        for (name, value) in value.as_object().into_iter().flatten() {
            fields.push((format!("{part}.{}", output::tame(name)), text(name, value)));
        }
    }
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    output::fields(&fields)
}

fn text(name: &str, value: &Value) -> String {
    let shown = match value {
        Value::String(text) => output::tame(text),
        other => output::tame(&other.to_string()),
    };
    let time = matches!(name, "exp" | "iat" | "nbf").then(|| seconds(value)).flatten();
    let Some(at) = time else { return shown };
    let distance = at.saturating_sub(store::now());
    let seconds = distance.unsigned_abs();
    let distance = if distance >= 0 {
        format!("in {seconds} s")
    } else {
        format!("{seconds} s ago")
    };
    format!("{}  ({distance})", output::date(at))
}

fn exp(claims: &Value) -> Option<i64> {
    seconds(&claims["exp"])
}

/// A time as a JWT or as a PASETO spells it.
fn seconds(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .map(OffsetDateTime::unix_timestamp),
        number => number.as_i64(),
    }
}
