//! The command line: one subcommand a file.
//!
//! The stdout of every subcommand but `serve` is only its answer; all else goes to stderr. Exit codes: see [`Failure`].

use std::future::Future;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::app::{self, ServeOptions};
use crate::config::{self, Config};
use crate::failure::Failure;

mod audit;
mod client;
mod configuration;
mod doctor;
mod examples;
mod healthcheck;
mod key;
mod migrate;
mod output;
mod progress;
mod shell;
mod store;
mod token;

/// An OAuth 2.0 authorization server for high-volume API token issuance.
///
/// Without a subcommand it serves. Exit codes: 0 done, 2 usage or configuration, 3 environment (store, port, file).
#[derive(Debug, Parser)]
#[command(name = "oauth2_server", version)]
pub struct Cli {
    /// TOML configuration file; OAUTH2_* variables win over it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT.
    Serve {
        /// Leave the schema as it is; refuse to start if it is not this version's.
        #[arg(long)]
        no_migrate: bool,
    },
    /// Bring the store's schema up to this version.
    Migrate,
    /// Check or show the configuration.
    #[command(subcommand)]
    Config(configuration::Command),
    /// Register and change clients.
    #[command(subcommand)]
    Client(client::Command),
    /// Look at tokens and revoke them.
    #[command(subcommand)]
    Token(token::Command),
    /// Look at signing keys, let them follow each other, take them away.
    #[command(subcommand)]
    Key(key::Command),
    /// Look at who changed what.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Check configuration, store, keys, clock and files.
    Doctor(Json),
    /// Ask a running server on this machine whether it is ready.
    Healthcheck,
    /// Print completions for a shell.
    Completions(shell::Completions),
    /// Print the manual page.
    Man(shell::Man),
    /// Print the API document, as `docs/openapi.json` has it.
    Openapi,
}

use output::new_file;

/// `--json`.
#[derive(Debug, Clone, Copy, Args)]
struct Json {
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// `--limit` and `--cursor`.
#[derive(Debug, Args)]
struct Paging {
    /// Rows at the most, 1 to 1000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// `next_cursor` of the page before.
    #[arg(long)]
    cursor: Option<String>,
}

/// The command line with an example at the end of every subcommand's help.
pub fn command() -> clap::Command {
    examples::add(Cli::command())
}

impl Cli {
    /// Reads the arguments of the process; ends it where they make no sense, or ask for help.
    pub fn read() -> Self {
        let matches = command().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Does what the command line says.
pub fn run(cli: Cli) -> Result<(), Failure> {
    // These are for people who may have no configuration yet.
    match &cli.command {
        Some(Command::Completions(asked)) => return shell::completions(asked),
        Some(Command::Man(asked)) => return shell::man(asked),
        Some(Command::Openapi) => return output::text_line(&app::api_document()),
        _ => {}
    }
    let config = config::load(cli.config.as_deref())?;
    match cli.command {
        None => serve(config, true),
        Some(Command::Serve { no_migrate }) => serve(config, !no_migrate),
        Some(Command::Migrate) => wait(migrate::run(&config)),
        Some(Command::Config(command)) => configuration::run(&config, &command),
        Some(Command::Client(command)) => wait(client::run(&config, command)),
        Some(Command::Token(command)) => wait(token::run(&config, command)),
        Some(Command::Key(command)) => wait(key::run(&config, command)),
        Some(Command::Audit(command)) => wait(audit::run(&config, command)),
        Some(Command::Doctor(json)) => wait(doctor::run(&config, json)),
        Some(Command::Healthcheck) => healthcheck::run(&config.management),
        // Done above.
        Some(Command::Completions(_) | Command::Man(_) | Command::Openapi) => Ok(()),
    }
}

fn serve(config: Config, migrate: bool) -> Result<(), Failure> {
    warn(&config);
    app::serve(config, ServeOptions { migrate })
}

/// Writes the configuration's warnings to stderr.
fn warn(config: &Config) {
    let mut stderr = std::io::stderr().lock();
    for warning in &config.warnings {
        // A warning that cannot be written stops nothing.
        let _ = writeln!(stderr, "warning: {warning}");
    }
}

fn wait(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Environment(format!("the runtime cannot start: {error}")))?;
    runtime.block_on(work)
}

#[cfg(test)]
mod tests;
