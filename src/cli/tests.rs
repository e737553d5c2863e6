use clap::{CommandFactory, Parser};

use super::rejected::{CHANGES, Invocation};
use super::{Cli, command};

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

fn parses(line: &str) -> bool {
    Cli::try_parse_from(line.split_whitespace()).is_ok()
}

#[test]
fn documented_command_lines_parse() {
    for line in [
        "oauth2_server",
        "oauth2_server --config o.toml",
        "oauth2_server serve --no-migrate --config o.toml",
        "oauth2_server migrate",
        "oauth2_server config check",
        "oauth2_server config print --json",
        "oauth2_server client create --id ci --grant client_credentials --scope read --format jwt --signing-alg ES256 \
         --audience https://a --audience https://b --introspection-audience https://a --ledger stateless --lifetime 60 --json",
        "oauth2_server client create --secret-stdin",
        "oauth2_server client list --limit 5 --cursor x --json",
        "oauth2_server client show ci --json",
        "oauth2_server client update ci --scope x --reset format --reset signing-alg",
        "oauth2_server client disable ci",
        "oauth2_server client enable ci",
        "oauth2_server client delete ci",
        "oauth2_server client rotate-secret ci --overlap 0 --json",
        "oauth2_server token list --client ci",
        "oauth2_server token show x",
        "oauth2_server token revoke x",
        "oauth2_server token revoke --client ci",
        "oauth2_server token revoke --all --json",
        "oauth2_server key list --json",
        "oauth2_server doctor --json",
        "oauth2_server healthcheck",
    ] {
        assert!(parses(line), "{line}");
    }
}

#[test]
fn contradicting_arguments_are_rejected() {
    for line in [
        "oauth2_server token revoke",
        "oauth2_server token revoke --all x",
        "oauth2_server token revoke --all --client ci",
        "oauth2_server token revoke --client ci x",
        "oauth2_server token list",
        "oauth2_server client create --secret x --secret-stdin",
        "oauth2_server client rotate-secret ci --overlap -1",
        "oauth2_server client list --limit 0",
        "oauth2_server nonsense",
    ] {
        assert!(!parses(line), "{line}");
    }
}

/// Every subcommand has an example, and every example parses.
#[test]
fn every_subcommand_has_an_example_that_parses() {
    fn all(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        for sub in command.get_subcommands() {
            let below = format!("{path} {}", sub.get_name()).trim().to_owned();
            all(sub, &below, found);
            found.push(below);
        }
    }
    let mut found = Vec::new();
    all(&Cli::command(), "", &mut found);
    let known: Vec<_> = super::examples::EXAMPLES
        .iter()
        .map(|(path, _, _)| (*path).to_owned())
        .collect();
    for path in &found {
        assert!(
            known.contains(path),
            "{path} has no example: add one to src/cli/examples.rs"
        );
    }
    assert_eq!(found.len(), known.len(), "an example of no subcommand");
    for (path, _, line) in super::examples::EXAMPLES {
        assert!(
            line.starts_with(path) && parses(&format!("oauth2_server {line}")),
            "{line}"
        );
    }
    let mut command = super::command();
    let help = command
        .find_subcommand_mut("client")
        .unwrap()
        .find_subcommand_mut("top")
        .unwrap()
        .render_help()
        .to_string();
    assert!(
        help.contains("Example: ") && help.contains("oauth2_server client top"),
        "{help}"
    );
}

/// The subcommands that change nothing an auditor asks about.
const READS: [&str; 27] = [
    "audit list",
    "backup",
    "client export",
    "client list",
    "client show",
    "client top",
    "client usage",
    "completions",
    "config check",
    "config print",
    "doctor",
    "group list",
    "group show",
    "group usage",
    "healthcheck",
    "key list",
    "key status",
    "man",
    "migrate",
    "migrate-check",
    "openapi",
    "serve",
    "top",
    "token cutoffs",
    "token inspect",
    "token list",
    "token show",
];

/// A new subcommand is put into one of the lists.
#[test]
fn every_subcommand_changes_something_or_nothing() {
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        for inner in command.get_subcommands() {
            leaves(inner, format!("{path} {}", inner.get_name()).trim_start(), found);
        }
        if command.get_subcommands().next().is_none() {
            found.push(path.to_owned());
        }
    }
    let mut found = Vec::new();
    leaves(&command(), "", &mut found);
    found.sort_unstable();
    let mut known: Vec<_> = CHANGES.into_iter().chain(READS).collect();
    known.sort_unstable();
    assert_eq!(found, known);
}

#[test]
fn an_invocation_names_its_target() {
    let of = |line: &str| Invocation::of(&command().get_matches_from(line.split(' ')));
    let update = of("oauth2_server client update ci --scope a");
    assert!(update.is_change());
    assert_eq!(update.target(), Some(("client", "ci")));
    assert_eq!(of("oauth2_server key revoke k1").target(), Some(("key", "k1")));
    let jti = "018f0000-0000-7000-8000-000000000000";
    assert_eq!(
        of(&format!("oauth2_server token revoke {jti}")).target(),
        Some(("token", jti))
    );
    assert_eq!(of("oauth2_server token revoke no-token").target(), None);
    assert!(!of("oauth2_server client show ci").is_change());
}
