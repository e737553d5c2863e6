//! `token inspect`: what a token says, whether a published key signed it, and with a store whether it holds.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use oauth2_actors::store::Store;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::{Json, output, store};
use crate::config::Config;
use crate::failure::Failure;
use crate::tokens::inspect::{Decoded, PublicKeys, Verdict, decode};

#[derive(Args)]
pub struct Inspect {
    /// A token; `-` reads it from stdin, where no process list shows it.
    token: String,
    /// A JWK set or the PASETO keys as the server publishes them; may repeat. Without one the store's keys are taken, if there is
    /// a store.
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
    let state = match &store {
        Some(store) if verdict != Verdict::Bad => Some(super::state_of(store, &token).await?),
        _ => None,
    };
    let expired = exp(&decoded.claims).is_some_and(|exp| exp <= store::now());
    if asked.json.json {
        output::json(&json!({
            "format": decoded.format, "header": decoded.header, "claims": decoded.claims, "signature": word(verdict),
            "expired": expired, "record": state,
        }))?;
    } else {
        show(&decoded, verdict, state)?;
    }
    match verdict {
        Verdict::Bad => Err(Failure::Refused(
            "the signature does not hold: the token was altered or forged".to_owned(),
        )),
        Verdict::UnknownKey => Err(Failure::Refused(
            "the token names a key that is not among those at hand".to_owned(),
        )),
        _ if expired => Err(Failure::Refused("the token has expired".to_owned())),
        _ if state.is_some_and(|state| state != "active" && state != "not recorded") => {
            Err(Failure::Refused(format!("the token is {}", state.unwrap_or_default())))
        }
        _ => Ok(()),
    }
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
    // Whoever has no store can look at a token all the same.
    let Ok(store) = store::open(config).await else {
        return Ok((keys, None));
    };
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

fn show(decoded: &Decoded, verdict: Verdict, state: Option<&'static str>) -> Result<(), Failure> {
    let mut fields = vec![("format".to_owned(), decoded.format.to_owned())];
    let mut add = |value: &Value| {
        for (name, value) in value.as_object().into_iter().flatten() {
            fields.push((name.clone(), text(name, value)));
        }
    };
    add(&decoded.header);
    add(&decoded.claims);
    fields.push(("signature".to_owned(), word(verdict).to_owned()));
    fields.extend(state.map(|state| ("record".to_owned(), state.to_owned())));
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    output::fields(&fields)
}

fn text(name: &str, value: &Value) -> String {
    let shown = match value {
        Value::String(text) => text.escape_debug().to_string(),
        other => other.to_string(),
    };
    let time = matches!(name, "exp" | "iat" | "nbf").then(|| seconds(value)).flatten();
    let Some(at) = time else { return shown };
    let distance = at - store::now();
    let distance = if distance >= 0 {
        format!("in {distance} s")
    } else {
        format!("{} s ago", -distance)
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
