//! `key …`.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use oauth2_store::model::KeyAlgorithm;
use serde_json::json;

use super::arguments::Json;
use super::output;
use crate::app::direct::{Direct, operator};
use crate::config::{Config, permissions};
use crate::failure::Failure;
use crate::keys::import::{self, ImportOptions, Missing};
use crate::service::keys::view::KeyView;
use crate::service::page::PageView;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List signing keys in the order in which they sign.
    List(Json),
    /// Rotate signing keys: publish new ones, which sign when no verifier can be without them.
    Rotate {
        /// Algorithm: v4.public, EdDSA, Ed25519, ES256, RS256 or PS256; by default each that has keys.
        #[arg(long, value_name = "ALG")]
        alg: Option<KeyAlgorithm>,
        #[command(flatten)]
        json: Json,
    },
    /// Revoke a signing key and every token it signed; another key signs from now on.
    Revoke {
        /// Key id, as `key list` prints it.
        #[arg(allow_hyphen_values = true)]
        kid: String,
        #[command(flatten)]
        json: Json,
    },
    /// Import a key pair: PEM (PKCS #8, SEC 1, PKCS #1), a JWK or a key of a JWK Set (which keeps its kid), or PASERK k4.secret.
    Import(Import),
    /// Rewrap the keys that are wrapped under the previous key encryption key.
    Rewrap(Json),
}

#[derive(Debug, Args)]
pub struct Import {
    /// File with the private key; `-` is stdin.
    file: PathBuf,
    /// Algorithm, if the file does not determine it: v4.public, EdDSA, Ed25519, ES256, RS256 or PS256.
    #[arg(long, value_name = "ALG")]
    alg: Option<KeyAlgorithm>,
    /// Which key of a JWK Set is imported.
    #[arg(long, allow_hyphen_values = true)]
    kid: Option<String>,
    /// File whose first line is the passphrase of an encrypted PEM.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Activate the key at once: verifiers know it already.
    #[arg(long)]
    published: bool,
    #[command(flatten)]
    json: Json,
}

pub async fn run(config: &Config, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(json) => {
            let direct = Direct::open(config).await?;
            print(&direct, json, |_| true).await
        }
        Command::Rotate { alg, json } => rotate(config, alg, json).await,
        Command::Revoke { kid, json } => revoke(config, &kid, json).await,
        Command::Import(options) => self::import(config, &options).await,
        Command::Rewrap(json) => rewrap(config, json).await,
    }
}

/// Prints the keys whose ids are selected.
async fn print(direct: &Direct, json: Json, is_selected: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let keys = &direct.services.keys;
    let found = keys.list(direct.deadline()).await?;
    let mut views = KeyView::all(&found, &keys.timing);
    views.retain(|view| is_selected(view.kid));
    if json.json {
        return output::json(&PageView::only(views));
    }
    let row = |view: &KeyView<'_>| {
        vec![
            view.kid.to_owned(),
            view.algorithm.to_string(),
            view.state.as_str().to_owned(),
            output::date(view.created_at),
            output::date(view.signs_from),
            output::or_dash(view.kept_until.map(output::date)),
        ]
    };
    let rows: Vec<_> = views.iter().map(row).collect();
    output::table(
        &["KID", "ALGORITHM", "STATE", "PUBLISHED", "SIGNS FROM", "KEPT UNTIL"],
        &rows,
    )
}

async fn rotate(config: &Config, alg: Option<KeyAlgorithm>, json: Json) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let new = direct.services.keys.rotate(&operator(), alg, direct.deadline()).await?;
    print(&direct, json, |kid| new.iter().any(|new| new == kid)).await
}

async fn revoke(config: &Config, kid: &str, json: Json) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    direct.services.keys.revoke(&operator(), kid, direct.deadline()).await?;
    if json.json {
        return output::json(&json!({ "revoked": kid }));
    }
    output::text_line(&format!("key {kid} and every token it signed are revoked"))
}

async fn import(config: &Config, options: &Import) -> Result<(), Failure> {
    let name = if options.file == Path::new("-") {
        "stdin".to_owned()
    } else {
        options.file.display().to_string()
    };
    warn_if_exposed(config, &options.file)?;
    if let Some(file) = &options.passphrase_file {
        warn_if_exposed(config, file)?;
    }
    let passphrase = options.passphrase_file.as_deref().map(passphrase).transpose()?;
    let given = ImportOptions {
        algorithm: options.alg,
        passphrase: passphrase.as_deref(),
        kid: options.kid.as_deref(),
    };
    let key = import::read(&text_of(&options.file, &name)?, given)
        .map_err(|error| Failure::Invalid(format!("{name} {error}{}", hint(error.missing()))))?;
    let direct = Direct::open(config).await?;
    let keys = &direct.services.keys;
    let new = keys
        .import(&operator(), &key, options.published, direct.deadline())
        .await?;
    print(&direct, options.json, |kid| kid == new).await
}

/// Warns of a key file that every user can read or replace; with `--strict` it is rejected.
fn warn_if_exposed(config: &Config, file: &Path) -> Result<(), Failure> {
    let Some(problem) = permissions::exposure(file) else {
        return Ok(());
    };
    let warning = format!("{} {problem}", file.display());
    if config.strict {
        return Err(Failure::Invalid(warning));
    }
    output::warnings(&[warning]);
    Ok(())
}

/// The flag that supplies the missing input.
fn hint(missing: Option<Missing>) -> &'static str {
    match missing {
        Some(Missing::Algorithm) => "; set --alg",
        Some(Missing::Passphrase) => "; name a file with it by --passphrase-file",
        Some(Missing::KeyId) => "; choose one with --kid",
        None => "",
    }
}

/// The first line of the file.
fn passphrase(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(MAX_FILE).read_to_end(&mut text))
        .map_err(|error| Failure::Invalid(format!("--passphrase-file {} cannot be read: {error}", file.display())))?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

/// More than any key has, bytes.
const MAX_FILE: u64 = 64 * 1024;

fn text_of(file: &Path, name: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(MAX_FILE).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
    };
    match read {
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(Failure::Invalid(format!(
            "{name} is not text: it must be PEM, a JWK or PASERK; convert DER with `openssl pkey -inform DER`, and PKCS #12 with \
             `openssl pkcs12 -nodes`"
        ))),
        Err(error) => Err(Failure::Invalid(format!("{name} cannot be read: {error}"))),
        Ok(_) => Ok(text),
    }
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
