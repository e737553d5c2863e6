use clap::{CommandFactory, Parser};

use super::Cli;

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

fn parses(line: &str) -> bool {
    Cli::try_parse_from(line.split_whitespace()).is_ok()
}

#[test]
fn the_documented_lines_parse() {
    for line in [
        "oauth2_server",
        "oauth2_server --config o.toml",
        "oauth2_server serve --no-migrate --config o.toml",
        "oauth2_server migrate",
        "oauth2_server config check",
        "oauth2_server config print --json",
        "oauth2_server client create --id ci --grant client_credentials --scope read --format jwt --signing-alg ES256 \
         --audience https://a --audience https://b --resource-server https://a --ledger stateless --lifetime 60 --json",
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
fn what_contradicts_itself_is_refused() {
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
