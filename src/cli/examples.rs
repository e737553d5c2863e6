//! An example for every subcommand, shown at the end of its `--help`. Each is a line that the command line takes.

use clap::Command;

/// Words of the subcommand, what the example does, and its arguments.
pub const EXAMPLES: &[(&str, &str, &str)] = &[
    ("serve", "Serve without touching the schema", "serve --no-migrate"),
    (
        "migrate",
        "Bring the schema up before an upgrade",
        "migrate --config /etc/oauth2/server.toml",
    ),
    ("config", "What is in force", "config print"),
    (
        "config check",
        "Check a file before it is rolled out",
        "config check --config server.toml",
    ),
    (
        "config print",
        "See where every value comes from",
        "config print --json",
    ),
    ("client", "Who may ask for tokens", "client list"),
    (
        "client create",
        "A client with a scope and 100 tokens a second",
        "client create --id ci --scope read --rate-limit token=100/s",
    ),
    (
        "client import",
        "Judge every line and change nothing",
        "client import clients.csv --dry-run",
    ),
    (
        "client export",
        "All clients, so that their secrets work on elsewhere",
        "client export clients.jsonl --with-secret-hashes",
    ),
    ("client usage", "What is left of a client's quotas", "client usage ci"),
    (
        "client top",
        "The ten clients that keep their tokens least",
        "client top --limit 10",
    ),
    (
        "client list",
        "The next page, for a script",
        "client list --limit 1000 --json",
    ),
    ("client show", "One client as JSON", "client show ci --json"),
    (
        "client update",
        "A quota more, and the default lifetime again",
        "client update ci --quota day=100000 --reset lifetime",
    ),
    (
        "client disable",
        "Stop a client and its tokens now",
        "client disable ci",
    ),
    ("client enable", "Let it work again", "client enable ci"),
    (
        "client delete",
        "Remove a client and its tokens for good",
        "client delete ci",
    ),
    (
        "client rotate-secret",
        "A new secret; the old one works for a day",
        "client rotate-secret ci --overlap 86400",
    ),
    ("token", "A token's record, by the token on stdin", "token show -"),
    (
        "token issue",
        "A thousand tokens into a file",
        "token issue --client ci --count 1000 --out tokens.txt",
    ),
    (
        "token inspect",
        "Verify a token by published keys, without a store",
        "token inspect - --keys jwks.json",
    ),
    ("token list", "A client's tokens", "token list --client ci"),
    (
        "token show",
        "A token by its id",
        "token show 019ab0c4-5c00-7000-8000-000000000000",
    ),
    (
        "token revoke",
        "Every token of a list",
        "token revoke --file leaked.txt",
    ),
    ("key", "Which key signs, and since when", "key list"),
    (
        "key list",
        "The signing keys and where they are in their lives",
        "key list",
    ),
    ("key rotate", "A new key for ES256", "key rotate --alg ES256"),
    (
        "key revoke",
        "The end of a key that leaked",
        "key revoke kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    ),
    (
        "key import",
        "A key that verifiers know already",
        "key import key.pem --alg RS256 --published",
    ),
    ("key rewrap", "After a change of the key-encryption key", "key rewrap"),
    ("audit", "The last things that were done", "audit list"),
    (
        "audit list",
        "What is done to a client, as it happens",
        "audit list --client ci --follow",
    ),
    ("doctor", "Everything that an operator would check", "doctor"),
    ("healthcheck", "In a container's definition", "healthcheck"),
    ("completions", "For the shell of this moment", "completions bash"),
    ("openapi", "For a generator of clients, or a proxy", "openapi"),
    ("man", "Every page, for man(1)", "man --out /usr/local/share/man/man1"),
];

/// Adds its example to every subcommand.
pub fn add(command: Command) -> Command {
    let name = command.get_name().to_owned();
    with(command, &name, "")
}

fn with(mut command: Command, program: &str, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let below = if path.is_empty() {
            name.clone()
        } else {
            format!("{path} {name}")
        };
        command = command.mut_subcommand(name, |sub| with(sub, program, &below));
    }
    match EXAMPLES.iter().find(|(words, _, _)| *words == path) {
        Some((_, what, line)) => command.after_help(format!("Example: {what}\n  {program} {line}")),
        None => command,
    }
}
