//! `token issue`: bulk issuance. Each token is recorded before it is written out.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::app::direct::{Direct, operator};
use crate::cli::destination::{self, Destination};
use crate::cli::progress::Progress;
use crate::cli::{flags, stderr};
use crate::config::Config;
use crate::failure::Failure;
use crate::protocol::grants::client_credentials::Request;
use crate::service::issue::provision::{MAX_TOKENS, Order, ProvisionedToken};

/// The most tokens of a command.
const MAX_COUNT: u64 = 10_000_000;

#[derive(Debug, Args)]
pub struct Issue {
    /// Client id.
    #[arg(long, value_name = "ID")]
    client: String,
    /// Number of tokens.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MAX_COUNT))]
    count: u64,
    /// Scopes, space-separated; all of the client's if absent.
    #[arg(long)]
    scope: Option<String>,
    /// Audience; the client's first audience, or the issuer, if absent.
    #[arg(long, value_name = "URI")]
    audience: Option<String>,
    /// A new file, which only its owner can read; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A token per line, or a JSON object with its id and expiry.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub async fn run(config: &Config, options: &Issue) -> Result<(), Failure> {
    let direct = Direct::open(config).await?;
    let (provision, ledger) = (&direct.services.provision, direct.ledger());
    let order = |count| Order {
        client_id: &options.client,
        request: Request::new(options.scope.as_deref(), options.audience.as_deref()),
        count,
    };
    // Errors of the client, scope or audience come before a file is created.
    direct.refresh_for_issuance(&options.client).await?;
    let checked = provision.check(order(1), direct.deadline()).await;
    checked.map_err(|error| flags::failure(error, &[]))?;
    let mut out = Destination::new(config, &options.out, options.force)?;
    let mut progress = Progress::new("tokens", Some(options.count));
    let mut written = 0;
    while written < options.count {
        let count = u32::try_from(options.count - written).map_or(MAX_TOKENS, |left| left.min(MAX_TOKENS));
        let issued = async {
            direct.refresh_for_issuance(&options.client).await?;
            let issued = provision
                .issue(&operator(), order(count), &ledger, direct.deadline())
                .await?;
            Ok(issued)
        };
        let issued = issued
            .await
            .map_err(|error| interrupted(flags::failure(error, &[]), written, options.count))?;
        let handed_out = write(&mut out, &issued, options.format)
            .map_err(|error| destination::cannot_write(&options.out, &error))
            .and_then(|()| out.publish());
        handed_out.map_err(|failure| interrupted(failure, written, options.count))?;
        written += u64::from(count);
        progress.show(written);
        // After the tokens are handed out: they are recorded already.
        let saved = direct.save_counts().await;
        saved.map_err(|error| interrupted(flags::failure(error, &[]), written, options.count))?;
    }
    drop(progress);
    if !destination::is_stdout(&options.out) {
        let (client, file) = (&options.client, options.out.display());
        stderr::line(&format!("{written} tokens for {client} were written to {file}"));
    }
    Ok(())
}

fn write(out: &mut impl Write, issued: &[ProvisionedToken], format: Format) -> io::Result<()> {
    for issued in issued {
        match format {
            Format::Text => writeln!(out, "{}", issued.token)?,
            Format::Json => {
                let line = json!({
                    "access_token": issued.token, "jti": issued.jti, "expires_at": issued.expires_at,
                });
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}

/// Adds to a failure how far the command came.
fn interrupted(failure: Failure, written: u64, count: u64) -> Failure {
    if written == 0 {
        return failure;
    }
    let left = count - written;
    let text = format!(
        "{failure}; {written} tokens were written before; to continue, run the command with --count {left} and another file for --out"
    );
    failure.with_text(text)
}
