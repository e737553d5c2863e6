//! The command line: one subcommand per file. Each parses its arguments, calls a service, and prints the answer.
//!
//! Stdout has only the answer of a subcommand (`serve` excepted); everything else goes to stderr. Exit codes: see [`Failure`].
//!
//! - [`arguments`], [`flags`], [`output`], [`progress`]: what subcommands share. [`examples`]: an example for each.

use std::future::Future;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::app::{self, ServeOptions};
use crate::config::{self, Config};
use crate::failure::Failure;

mod apply;
mod arguments;
mod audit;
mod backup;
mod client;
mod configuration;
mod destination;
mod doctor;
mod examples;
mod exposure;
mod flags;
mod group;
mod healthcheck;
mod key;
mod limit_flags;
mod management;
mod migrate;
mod migrate_check;
mod output;
mod progress;
mod rejected;
mod restore_epoch;
mod samples;
mod shell;
mod stderr;
mod token;
mod top;

use rejected::Invocation;

/// An OAuth 2.0 authorization server for high-volume API token issuance.
///
/// Without a subcommand it serves. Exit codes: 0 success, 2 usage or configuration, 3 environment (store, port, file).
#[derive(Debug, Parser)]
#[command(name = "oauth2_server", version)]
pub struct Cli {
    /// TOML configuration file; OAUTH2_* variables override it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
    /// Treat warnings as errors, such as that of a file with a secret that every user can read (exit code 2).
    #[arg(long, global = true)]
    strict: bool,
    #[arg(skip)]
    invocation: Invocation,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM, SIGINT or SIGQUIT.
    Serve {
        /// Do not migrate the schema; fail if its version is not this program's.
        #[arg(long)]
        no_migrate: bool,
    },
    /// Migrate the store's schema to this program's version.
    Migrate,
    /// Compare this issuer with the issuer that clients use today, before a switch.
    MigrateCheck(Box<migrate_check::MigrateCheck>),
    /// Copy an SQLite database into a file, consistently and while a server uses it.
    Backup(backup::Backup),
    /// After a restore: revoke every token, and make the changes again that the backup does not have.
    RestoreEpoch(restore_epoch::RestoreEpoch),
    /// Check or print the configuration.
    #[command(subcommand)]
    Config(configuration::Command),
    /// Manage clients.
    #[command(subcommand)]
    Client(client::Command),
    /// Set limits of groups of clients, and show what they are charged for.
    #[command(subcommand)]
    Group(group::Command),
    /// Create, update and delete clients as files describe them.
    Apply(apply::Apply),
    /// Issue, inspect, list and revoke tokens.
    #[command(subcommand)]
    Token(token::Command),
    /// List, rotate, revoke and import signing keys.
    #[command(subcommand)]
    Key(key::Command),
    /// List the audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Check configuration, files, store, clock, schema, writes and keys.
    Doctor(doctor::Doctor),
    /// Check whether a server on this machine is ready.
    Healthcheck,
    /// Show rates, latencies, actors and the busiest clients of a server on this machine, live.
    Top(top::Top),
    /// Print shell completions.
    Completions(shell::Completions),
    /// Print the manual page.
    Man(shell::Man),
    /// Print the API document (`OpenAPI` 3.1).
    Openapi,
}

/// The command line, with an example at the end of the help of every subcommand.
fn command() -> clap::Command {
    examples::add(Cli::command())
}

impl Cli {
    /// Reads the arguments of the process. Ends it with a usage error, or after printing help.
    pub fn read() -> Self {
        let matches = command().get_matches();
        let read = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        Self {
            invocation: Invocation::of(&matches),
            ..read
        }
    }
}

/// Runs the subcommand.
pub fn run(cli: Cli) -> Result<(), Failure> {
    // These need no configuration.
    match &cli.command {
        Some(Command::Completions(options)) => return shell::completions(options, command()),
        Some(Command::Man(options)) => return shell::man(options, command()),
        Some(Command::Openapi) => return output::text_line(&app::api_document()),
        Some(Command::MigrateCheck(options)) => return block_on(migrate_check::run(cli.strict, options)),
        _ => {}
    }
    let mut config = config::load(cli.config.as_deref())?;
    config.strict = cli.strict;
    if config.strict && !config.warnings.is_empty() {
        return Err(Failure::Invalid(config.warnings.join("\n")));
    }
    let outcome = execute(&config, cli.command);
    if let Err(failure @ Failure::Invalid(_)) = &outcome
        && cli.invocation.is_change()
    {
        block_on(async {
            cli.invocation.record(&config, failure).await;
            Ok(())
        })?;
    }
    outcome
}

fn execute(config: &Config, command: Option<Command>) -> Result<(), Failure> {
    match command {
        None => serve(config, true),
        Some(Command::Serve { no_migrate }) => serve(config, !no_migrate),
        Some(Command::Migrate) => block_on(migrate::run(config)),
        Some(Command::Backup(options)) => block_on(backup::run(config, &options)),
        Some(Command::Config(command)) => configuration::run(config, &command),
        Some(Command::Client(command)) => block_on(client::run(config, command)),
        Some(Command::Apply(options)) => block_on(apply::run(config, &options)),
        Some(Command::Token(command)) => block_on(token::run(config, command)),
        Some(Command::Group(command)) => block_on(group::run(config, command)),
        Some(Command::RestoreEpoch(options)) => block_on(restore_epoch::run(config, &options)),
        Some(Command::Key(command)) => block_on(key::run(config, command)),
        Some(Command::Audit(command)) => block_on(audit::run(config, command)),
        Some(Command::Doctor(options)) => block_on(doctor::run(config, &options)),
        Some(Command::Healthcheck) => healthcheck::run(&management::Management::of(config)),
        Some(Command::Top(options)) => top::run(config, &options),
        // Returned above.
        Some(Command::Completions(_) | Command::Man(_) | Command::Openapi | Command::MigrateCheck(_)) => Ok(()),
    }
}

/// Waits until a slow reader of stderr has the last lines, for a second or two.
pub fn finish() {
    stderr::finish();
}

/// Prints a failure on stderr, for the exit of the program.
pub fn print_failure(failure: &Failure) {
    output::failure(failure);
}

fn serve(config: &Config, migrate: bool) -> Result<(), Failure> {
    output::warnings(&config.warnings);
    app::serve(config.clone(), ServeOptions { migrate })
}

fn block_on(subcommand: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Environment(format!("the runtime cannot start: {error}")))?;
    runtime.block_on(subcommand)
}

#[cfg(test)]
mod names_in_messages;
#[cfg(test)]
mod tests;
