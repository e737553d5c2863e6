//! `key import`.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use oauth2_store::model::KeyAlgorithm;

use super::listing::print;
use crate::app::direct::{Direct, operator};
use crate::cli::arguments::Json;
use crate::cli::{exposure, flags, output};
use crate::config::Config;
use crate::failure::Failure;
use crate::keys::import::{self, ImportError, ImportOptions, Missing};
use crate::service::keys::verify_only::VerifyOnlyImport;

#[derive(Debug, Args)]
pub struct Import {
    /// File with the private key; with --verify-only also public keys and certificates. `-` is stdin.
    file: PathBuf,
    /// Algorithm, if the file does not determine it: v4.public, EdDSA, Ed25519, ES256, RS256 or PS256.
    #[arg(long, value_name = "ALG")]
    alg: Option<KeyAlgorithm>,
    /// Which key of a JWK Set is imported; the id of a key in another format. With --verify-only repeatable, by default every key.
    #[arg(long, allow_hyphen_values = true)]
    kid: Vec<String>,
    /// File whose first line is the passphrase of an encrypted PEM or of PKCS #12.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Activate the key at once: verifiers know it already.
    #[arg(long, conflicts_with = "verify_only")]
    published: bool,
    /// Import keys that verify and never sign, such as the keys of the issuer that this server replaces; of private keys only the public
    /// keys are stored.
    #[arg(long, visible_alias = "retired")]
    verify_only: bool,
    /// With --verify-only: the iss of the tokens that the keys verify, by default that of this server.
    #[arg(long, value_name = "URL", requires = "verify_only")]
    issuer: Option<String>,
    /// With --verify-only: when the keys stop verifying and are removed, by default in 30 days: Unix seconds or RFC 3339.
    #[arg(long, value_name = "TIME", requires = "verify_only")]
    until: Option<String>,
    /// With --verify-only: whether the keys are in the published JWK set, by default if their issuer is this server.
    #[arg(long, value_name = "BOOL", requires = "verify_only")]
    publish: Option<bool>,
    #[command(flatten)]
    json: Json,
}

/// Imports keys.
pub async fn run(config: &Config, options: &Import) -> Result<(), Failure> {
    let source = Source::open(config, options)?;
    if options.verify_only {
        return verify_only(config, options, &source).await;
    }
    let kid = match options.kid.as_slice() {
        [] => None,
        [kid] => Some(kid.as_str()),
        _ => {
            let problem = "--kid is given several times: one key can be imported to sign, several with --verify-only";
            return Err(Failure::Invalid(problem.to_owned()));
        }
    };
    let given = ImportOptions {
        kid,
        ..source.options(options)
    };
    let key = import::read(&source.text, given).map_err(|error| source.invalid(&error))?;
    let direct = Direct::open(config).await?;
    let keys = &direct.services.keys;
    let new = keys
        .import(&operator(), &key, options.published, direct.deadline())
        .await?;
    print(&direct, options.json, |kid| kid == new).await
}

async fn verify_only(config: &Config, options: &Import, source: &Source) -> Result<(), Failure> {
    let found = import::read_public(&source.text, source.options(options), &options.kid)
        .map_err(|error| source.invalid(&error))?;
    let direct = Direct::open(config).await?;
    let import = VerifyOnlyImport {
        keys: &found.keys,
        issuer: options.issuer.as_deref(),
        until: options.until.as_deref(),
        published: options.publish,
    };
    let imported = direct
        .services
        .keys
        .import_verify_only(&operator(), import, direct.deadline())
        .await
        .map_err(|error| flags::failure(error, &[("issuer", "--issuer")]))?;
    let skipped = |kid: &String| format!("{} is not for signatures and was not imported", kid.escape_debug());
    output::warnings(&found.skipped.iter().map(skipped).collect::<Vec<_>>());
    print(&direct, options.json, |kid| {
        imported.iter().any(|imported| imported == kid)
    })
    .await
}

/// The source of an import.
struct Source {
    name: String,
    text: String,
    passphrase: Option<Vec<u8>>,
}

impl Source {
    fn open(config: &Config, options: &Import) -> Result<Self, Failure> {
        let name = if options.file == Path::new("-") {
            "stdin".to_owned()
        } else {
            options.file.display().to_string()
        };
        // A file for verification may hold public keys only.
        if !options.verify_only {
            exposure::judge(config, &options.file)?;
        }
        if let Some(file) = &options.passphrase_file {
            exposure::judge(config, file)?;
        }
        let passphrase = options.passphrase_file.as_deref().map(passphrase).transpose()?;
        let text = import::text_of(bytes_of(&options.file, &name)?, passphrase.as_deref());
        Ok(Self {
            text: text.map_err(|error| invalid(&name, &error))?,
            passphrase,
            name,
        })
    }

    fn options(&self, options: &Import) -> ImportOptions<'_> {
        ImportOptions {
            algorithm: options.alg,
            passphrase: self.passphrase.as_deref(),
            kid: None,
        }
    }

    fn invalid(&self, error: &ImportError) -> Failure {
        invalid(&self.name, error)
    }
}

fn invalid(name: &str, error: &ImportError) -> Failure {
    Failure::Invalid(format!("{name} {error}{}", hint(error.missing())))
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

/// More than any key set has, bytes.
const MAX_FILE: u64 = 1024 * 1024;

fn bytes_of(file: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(MAX_FILE).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::Invalid(format!("{name} cannot be read: {error}")))?;
    Ok(bytes)
}
