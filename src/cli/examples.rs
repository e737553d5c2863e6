//! An example for every subcommand, printed at the end of its `--help`. A test parses each of them.

use clap::Command;

/// The subcommand, what the example does, and its arguments.
pub const EXAMPLES: &[(&str, &str, &str)] = &[
    ("serve", "Serve without migrating the schema", "serve --no-migrate"),
    (
        "migrate",
        "Migrate the schema before an upgrade",
        "migrate --config /etc/oauth2/server.toml",
    ),
    (
        "migrate-check",
        "Compare the issuer of today with the new one",
        "migrate-check --old https://id.example --new https://new.example --clients sample.csv",
    ),
    (
        "backup",
        "Copy the database while the server runs",
        "backup /var/backups/oauth2.db",
    ),
    (
        "restore-epoch",
        "Show what would be done after a restore",
        "restore-epoch --audit-log /var/log/oauth2/audit.jsonl --dry-run",
    ),
    (
        "top",
        "Show the next five seconds as JSON, and end",
        "top --interval 5 --views 1 --json",
    ),
    ("config", "Print the values in effect", "config print"),
    (
        "config check",
        "Check a file before it is deployed",
        "config check --config server.toml",
    ),
    ("config print", "Print the origin of every value", "config print --json"),
    ("client", "List clients", "client list"),
    (
        "client create",
        "Register a client with a scope and 100 tokens per second",
        "client create --id ci --scope read --rate-limit token=100/s",
    ),
    (
        "client import",
        "Check every row and change nothing",
        "client import clients.csv --dry-run",
    ),
    (
        "client export",
        "Export all clients so that their secrets remain valid elsewhere",
        "client export clients.jsonl --with-secret-hashes",
    ),
    (
        "client usage",
        "Show what remains of a client's quotas",
        "client usage ci",
    ),
    (
        "client top",
        "List the ten clients with the most unexpired tokens",
        "client top --limit 10",
    ),
    ("group", "List groups with limits", "group list"),
    (
        "group list",
        "List groups with limits, for a script",
        "group list --json",
    ),
    (
        "group set",
        "Allow the clients of a tenant a million tokens a month together",
        "group set acme --quota month=1000000 --rate-limit token=200/s",
    ),
    ("group show", "Show what remains of a group's quotas", "group show acme"),
    ("group delete", "Remove the limits of a group", "group delete acme"),
    (
        "group usage",
        "Print what each tenant is charged for",
        "group usage --from 2026-11-01 --until 2026-11-30 --csv",
    ),
    (
        "client list",
        "List a thousand clients, for a script",
        "client list --limit 1000 --json",
    ),
    ("client show", "Print a client as JSON", "client show ci --json"),
    (
        "client update",
        "Set a quota, and reset the lifetime to the default",
        "client update ci --quota day=100000 --reset lifetime",
    ),
    ("client disable", "Disable a client and its tokens", "client disable ci"),
    ("client enable", "Enable it again", "client enable ci"),
    (
        "client delete",
        "Delete a client and revoke its tokens",
        "client delete ci",
    ),
    (
        "client rotate-secret",
        "Rotate a secret; the previous one remains valid for a day",
        "client rotate-secret ci --overlap 86400",
    ),
    (
        "apply",
        "Show what the files of a directory would change",
        "apply -f clients/ --prune --dry-run",
    ),
    ("token", "Show the record of a token on stdin", "token show -"),
    (
        "token issue",
        "Issue a thousand tokens into a file",
        "token issue --client ci --count 1000 --out tokens.txt",
    ),
    (
        "token inspect",
        "Verify a token by published keys, without a store",
        "token inspect - --keys jwks.json",
    ),
    ("token list", "List a client's tokens", "token list --client ci"),
    (
        "token show",
        "Show the record of a token by its id",
        "token show 019ab0c4-5c00-7000-8000-000000000000",
    ),
    (
        "token revoke",
        "Revoke every token of a file",
        "token revoke --file leaked.txt",
    ),
    ("token cutoffs", "List revocation cut-offs", "token cutoffs"),
    (
        "token correct-cutoff",
        "Correct a cut-off that revokes new tokens",
        "token correct-cutoff 17",
    ),
    ("key", "List signing keys", "key list"),
    ("key list", "List signing keys and their states", "key list"),
    ("key rotate", "Rotate the key of ES256", "key rotate --alg ES256"),
    ("key status", "Show which verifiers lack the newest key", "key status"),
    (
        "key revoke",
        "Revoke a leaked key",
        "key revoke kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    ),
    (
        "key import",
        "Import a key that verifiers know already",
        "key import key.pem --alg RS256 --published",
    ),
    (
        "key rewrap",
        "Rewrap keys after the key encryption key was replaced",
        "key rewrap",
    ),
    ("audit", "List the last changes", "audit list"),
    (
        "audit list",
        "Follow the changes of a client",
        "audit list --client ci --follow",
    ),
    ("doctor", "Run every check; the exit code is 1 if one fails", "doctor"),
    ("healthcheck", "Check readiness in a container", "healthcheck"),
    ("completions", "Print the completions for bash", "completions bash"),
    (
        "openapi",
        "Print the document for a client generator or a proxy",
        "openapi",
    ),
    ("man", "Write every manual page", "man --out /usr/local/share/man/man1"),
];

/// Adds the examples to the help of the subcommands.
pub fn add(command: Command) -> Command {
    let name = command.get_name().to_owned();
    add_below(command, &name, "")
}

fn add_below(mut command: Command, program: &str, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let child = if path.is_empty() {
            name.clone()
        } else {
            format!("{path} {name}")
        };
        command = command.mut_subcommand(name, |sub| add_below(sub, program, &child));
    }
    match EXAMPLES.iter().find(|(subcommand, _, _)| *subcommand == path) {
        Some((_, what, line)) => command.after_help(format!("Example: {what}\n  {program} {line}")),
        None => command,
    }
}
