//! `key …`.

use clap::Subcommand;
use oauth2_store::model::KeyAlgorithm;
use serde_json::json;

use super::arguments::{Json, seconds};
use super::{flags, output};
use crate::app::direct::{Direct, operator};
use crate::config::Config;
use crate::failure::Failure;
use crate::service::keys::Rotation;

mod import;
mod listing;
mod status;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List signing keys in the order in which they sign.
    List(Json),
    /// Rotate signing keys: publish new ones, which sign when no verifier can be without them.
    Rotate {
        /// Algorithm: v4.public, EdDSA, Ed25519, ES256, RS256 or PS256; by default each that has keys.
        #[arg(long, value_name = "ALG")]
        alg: Option<KeyAlgorithm>,
        /// Sign as soon as every verifier of the key sets that was seen in the last week has fetched the new key, or at the deadline.
        #[arg(long)]
        when_seen: bool,
        /// With --when-seen: when the new key signs at the latest, such as 12h or 7d.
        #[arg(long, value_name = "DURATION", default_value = "7d", requires = "when_seen", value_parser = seconds)]
        deadline: u64,
        #[command(flatten)]
        json: Json,
    },
    /// Show which keys sign next, and which verifiers of the key sets have not fetched them.
    Status(status::Status),
    /// Revoke a signing key and every token it signed; another key signs from now on.
    Revoke {
        /// Key id, as `key list` prints it.
        #[arg(allow_hyphen_values = true)]
        kid: String,
        #[command(flatten)]
        json: Json,
    },
    /// Import a key pair: PEM (PKCS #8, SEC 1, PKCS #1), PKCS #12, a JWK or a key of a JWK Set (which keeps its kid), or PASERK k4.secret. With
    /// --verify-only: keys that verify tokens of the issuer that this server replaces, and never sign.
    Import(import::Import),
    /// Rewrap the keys that are wrapped under the previous key encryption key.
    Rewrap(Json),
}

pub async fn run(config: &Config, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(json) => {
            let direct = Direct::open(config).await?;
            listing::print(&direct, json, |_| true).await
        }
        Command::Rotate {
            alg,
            when_seen,
            deadline,
            json,
        } => {
            let rotation = Rotation {
                algorithm: alg,
                when_seen: when_seen.then_some(deadline),
            };
            rotate(config, rotation, json).await
        }
        Command::Status(options) => status::run(config, &options).await,
        Command::Revoke { kid, json } => revoke(config, &kid, json).await,
        Command::Import(options) => import::run(config, &options).await,
        Command::Rewrap(json) => rewrap(config, json).await,
    }
}

async fn rotate(config: &Config, rotation: Rotation, json: Json) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let keys = &direct.services.keys;
    let new = keys
        .rotate(&operator(), rotation, direct.deadline())
        .await
        .map_err(|error| flags::failure(error, &[("deadline_seconds", "--deadline")]))?;
    listing::print(&direct, json, |kid| new.iter().any(|new| new == kid)).await
}

async fn revoke(config: &Config, kid: &str, json: Json) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    direct.services.keys.revoke(&operator(), kid, direct.deadline()).await?;
    if json.json {
        return output::json(&json!({ "revoked": kid }));
    }
    output::text_line(&format!("key {kid} and every token it signed are revoked"))
}

async fn rewrap(config: &Config, json: Json) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let count = direct.services.keys.rewrap(&operator(), direct.deadline()).await?;
    if json.json {
        return output::json(&json!({ "rewrapped": count }));
    }
    output::text_line(&match count {
        0 => "every key is wrapped under OAUTH2_KEY_ENCRYPTION_KEY already".to_owned(),
        1 => "1 key is rewrapped under OAUTH2_KEY_ENCRYPTION_KEY".to_owned(),
        count => format!("{count} keys are rewrapped under OAUTH2_KEY_ENCRYPTION_KEY"),
    })
}
