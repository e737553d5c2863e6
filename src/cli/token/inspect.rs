//! `token inspect`: decodes a token, verifies its signature by published keys, and with a store checks whether it is active.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::argument;
use crate::app::direct::Direct;
use crate::cli::arguments::Json;
use crate::cli::output;
use crate::config::Config;
use crate::failure::Failure;
use crate::keys::public_keys::{PublicKeys, Verdict};
use crate::service::error::ServiceError;
use crate::service::inspect::{RecordState, claimed_client, state_without_store};
use crate::service::token_ref::TokenRef;
use crate::tokens::decode::{Decoded, decode};

/// Of a token that is active by its signature although it has the id of a recorded one.
const AGAINST_RECORD: &str = "the record with this jti belongs to another token, but this one is signed with a key of the server and active: \
                              the private key may have leaked; see: oauth2_server key revoke --help";

#[derive(Args)]
pub struct Inspect {
    /// A token; `-` reads it from stdin, where no process list shows it.
    token: String,
    /// File with a JWK set or PASETO keys as the server publishes them; may repeat. Without this flag, the store's keys and records are
    /// used.
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

pub async fn run(config: &Config, options: &Inspect) -> Result<(), Failure> {
    let token = argument::read(&options.token)?;
    let decoded = decode(&token).ok_or_else(|| {
        Failure::Invalid("TOKEN must be a PASETO v4.public, a JWT or an opaque token of this server".to_owned())
    })?;
    let direct = open(config, options).await?;
    let keys = keys(config, options, direct.as_ref()).await?;
    let mut verdict = keys.verify(&token, &decoded);
    if let Some(direct) = &direct {
        direct
            .refresh(&claimed_client(&token, &decoded).unwrap_or_default())
            .await?;
        // The key of an issuer that this server replaces.
        if direct.services.verify.verify_foreign(&token, &mut 0).is_some() {
            verdict = Verdict::Valid;
        }
    }
    let now = direct
        .as_ref()
        .map_or_else(|| OffsetDateTime::now_utc().unix_timestamp(), Direct::now);
    // The claims of a token with an invalid signature mean nothing.
    let is_signed = matches!(verdict, Verdict::Valid | Verdict::NoSignature);
    let state = match &direct {
        Some(direct) if is_signed => Some(record_state(direct, &token, &decoded).await?),
        _ => None,
    };
    let judged = match verdict {
        Verdict::Valid if direct.is_none() => Some(state_without_store(&token, &decoded, &config.issuer, now)),
        _ => state,
    };
    let is_expired = seconds(&decoded.claims["exp"]).is_some_and(|exp| exp <= now);
    if options.json.json {
        output::json(&json!({
            "format": decoded.format, "header": decoded.header, "claims": decoded.claims,
            "signature": verdict_text(verdict), "expired": is_expired, "record": state.map(RecordState::as_str),
        }))?;
    } else {
        print(&decoded, verdict, state, now)?;
    }
    if judged == Some(RecordState::ActiveAgainstRecord) {
        output::warnings(&[AGAINST_RECORD.to_owned()]);
    }
    objection(verdict, judged, is_expired).map_or(Ok(()), |problem| Err(Failure::Invalid(problem.to_owned())))
}

/// The store, unless keys are given. A token can be inspected where no store was ever created; an existing one must be reachable.
async fn open(config: &Config, options: &Inspect) -> Result<Option<Direct>, Failure> {
    let is_missing = config.database.sqlite_path().is_some_and(|path| !path.exists());
    if !options.keys.is_empty() || is_missing {
        return Ok(None);
    }
    Ok(Some(Direct::open(config).await?))
}

/// The keys that are given, or else those of the store.
async fn keys(config: &Config, options: &Inspect, direct: Option<&Direct>) -> Result<PublicKeys, Failure> {
    let mut keys = PublicKeys::default();
    let secrets = &config.secrets;
    for secret in secrets.jwt_secret.iter().chain(&secrets.previous_jwt_secret) {
        keys.add_shared_secret(secret.expose().as_bytes());
    }
    for path in &options.keys {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Invalid(format!("--keys {} cannot be read: {error}", path.display())))?;
        keys.add_document(&text)
            .map_err(|problem| Failure::Invalid(format!("--keys {} {problem}", path.display())))?;
    }
    if let Some(direct) = direct {
        keys.add_stored(&direct.services.keys.list(direct.deadline()).await?.keys);
    }
    Ok(keys)
}

/// The state of a token by its record, by the rules of introspection.
async fn record_state(direct: &Direct, token: &str, decoded: &Decoded) -> Result<RecordState, Failure> {
    let stored = match TokenRef::parse(token) {
        None => None,
        Some(reference) => match direct.services.records.find(&reference, direct.deadline()).await {
            Ok(stored) => Some(stored),
            Err(ServiceError::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        },
    };
    // An opaque token names no client.
    if let Some(stored) = &stored {
        direct.refresh(&stored.record.client_id).await?;
    }
    Ok(direct.services.verify.record_state(token, decoded, stored.as_ref()))
}

/// Why a token is not active, or not known to be; `None`: its signature or its record vouches for it.
fn objection(verdict: Verdict, state: Option<RecordState>, is_expired: bool) -> Option<&'static str> {
    use RecordState as S;
    Some(match (verdict, state) {
        (Verdict::Invalid, _) => "the signature is invalid: the token was altered or forged",
        (_, Some(S::OfAnotherToken)) => {
            "the record with this jti belongs to another token: this one was altered or forged"
        }
        (_, Some(S::Foreign)) => {
            "the token has claims that no token of this server has: it was forged, or is of an issuer other than OAUTH2_ISSUER"
        }
        (Verdict::UnknownKey, _) => "the token was signed with a key that is not known here",
        (Verdict::NotChecked, _) => {
            "the signature was not verified: there is no store; pass the published keys with --keys"
        }
        _ if is_expired => "the token is expired",
        (Verdict::NoSignature, None) => "an opaque token can be inspected with the store only, without --keys",
        (Verdict::NoSignature, Some(S::NotRecorded)) => "there is no record of the token: it was not issued here",
        (_, Some(S::Revoked)) => "the token is revoked",
        (_, Some(S::Inactive)) => {
            "the token is not active: it is not valid yet, or its client is disabled, deleted, or not registered for its claims and signature"
        }
        (Verdict::Valid, None | Some(S::Active | S::ActiveAgainstRecord | S::NotRecorded))
        | (Verdict::NoSignature, Some(S::Active | S::ActiveAgainstRecord)) => return None,
    })
}

fn verdict_text(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid => "invalid",
        Verdict::UnknownKey => "by an unknown key",
        Verdict::NotChecked => "not verified: no keys; pass some with --keys",
        Verdict::NoSignature => "none: an opaque token is a reference",
    }
}

/// Prints the verdict first, then the token's own content, under prefixes.
fn print(decoded: &Decoded, verdict: Verdict, state: Option<RecordState>, now: i64) -> Result<(), Failure> {
    let mut fields = vec![("signature".to_owned(), verdict_text(verdict).to_owned())];
    fields.extend(state.map(|state| ("record".to_owned(), state.as_str().to_owned())));
    fields.push(("format".to_owned(), decoded.format.to_owned()));
    for (part, value) in [("header", &decoded.header), ("claim", &decoded.claims)] {
        for (name, value) in value.as_object().into_iter().flatten() {
            let field = format!("{part}.{}", output::escape_terminal(name));
            fields.push((field, text(name, value, now)));
        }
    }
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    output::fields(&fields)
}

fn text(name: &str, value: &Value, now: i64) -> String {
    let escaped = match value {
        Value::String(text) => output::escape_terminal(text),
        other => output::escape_terminal(&other.to_string()),
    };
    let time = matches!(name, "exp" | "iat" | "nbf").then(|| seconds(value)).flatten();
    let Some(at) = time else { return escaped };
    let distance = at.saturating_sub(now);
    let seconds = distance.unsigned_abs();
    let distance = if distance >= 0 {
        format!("in {seconds} s")
    } else {
        format!("{seconds} s ago")
    };
    format!("{}  ({distance})", output::date(at))
}

/// A time as a JWT or as a PASETO encodes it.
fn seconds(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .map(OffsetDateTime::unix_timestamp),
        number => number.as_i64(),
    }
}
