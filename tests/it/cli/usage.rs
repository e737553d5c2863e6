//! What every subcommand has in common: help, usage errors, and stdout for nothing but the answer.

use oauth2_testkit::{Kind, Setup};
use serde_json::Value;

use super::{answer, refused};
use crate::{setup, start};

on_both_stores!(stdout_is_only_the_answer);

/// Reads the subcommands off the help of a command, and their subcommands off theirs.
fn commands(setup: &Setup, path: &[&str]) -> Vec<Vec<String>> {
    let help = answer(setup, &[path, &["--help"]].concat());
    assert!(help.contains("Usage: oauth2_server"), "{help}");
    assert!(!help.contains("secret:") && help.lines().count() > 3, "{help}");
    let mut found = vec![path.iter().map(|word| (*word).to_owned()).collect()];
    let section = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    for line in section.take_while(|line| line.starts_with("  ")) {
        let Some(name) = line.strip_prefix("  ").and_then(|line| line.split(' ').next()) else {
            continue;
        };
        if !name.is_empty() && name != "help" {
            found.extend(commands(setup, &[path, &[name]].concat()));
        }
    }
    found
}

#[tokio::test]
async fn every_subcommand_has_help() {
    let setup = setup(Kind::Sqlite).await;
    let found: Vec<_> = commands(&setup, &[]).into_iter().map(|path| path.join(" ")).collect();
    for path in [
        "serve",
        "migrate",
        "doctor",
        "healthcheck",
        "config check",
        "config print",
        "client create",
        "client list",
        "client show",
        "client update",
        "client disable",
        "client enable",
        "client delete",
        "client rotate-secret",
        "token list",
        "token show",
        "token revoke",
        "key list",
    ] {
        assert!(
            found.iter().any(|found| found == path),
            "{path} is missing in {found:?}"
        );
    }
    let version = answer(&setup, &["--version"]);
    assert_eq!(version, format!("oauth2_server {}\n", env!("CARGO_PKG_VERSION")));
    assert!(!setup.directory().join("data").exists(), "help makes nothing");
}

#[tokio::test]
async fn a_wrong_command_line_ends_with_2() {
    let setup = setup(Kind::Sqlite).await;
    for (line, word) in [
        ("nonsense", "nonsense"),
        ("--nonsense", "--nonsense"),
        ("serve --json", "--json"),
        ("client show", "<ID>"),
        ("client show a b", "'b'"),
        ("client list --limit 0", "--limit"),
        ("client list --limit 1001", "--limit"),
        ("client create --lifetime soon", "--lifetime"),
        ("client create --secret x --secret-stdin", "--secret-stdin"),
        ("client rotate-secret ci --overlap -1", "-1"),
        ("client rotate-secret ci --overlap 2592001", "--overlap"),
        ("client update ci --reset everything", "everything"),
        ("token list", "--client"),
        ("token revoke", "--all"),
        ("token revoke --all --client ci", "--all"),
        ("token revoke --all x", "--all"),
    ] {
        let output = setup.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (2, ""),
            "{line}: {}",
            output.stderr
        );
        let (sentence, rest) = output.stderr.split_once("\n\n").unwrap_or((&output.stderr, ""));
        assert!(
            sentence.starts_with("error: ") && sentence.contains(word),
            "{line}: {sentence}"
        );
        assert!(rest.contains("--help"), "{line}: {rest}");
    }
    for line in ["client", "token", "key", "config"] {
        let output = setup.run(&[line]);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{line}");
        assert!(output.stderr.contains("Usage: "), "{line}: {}", output.stderr);
    }
    let output = setup.run(&["client", "list", "--config", "nowhere.toml"]);
    refused(&output, 2, &["nowhere.toml", "cannot be read"]);
}

async fn stdout_is_only_the_answer(kind: Kind) {
    let mut server = start(kind).await;
    let setup = &mut server.setup;
    // The most there could be to say.
    setup.set("OAUTH2_LOG_LEVEL", "trace");
    setup.set("OAUTH2_JWT_SECRET", "0123456789abcdef0123456789abcdef");
    for arguments in [
        &["client", "create", "--id", "ci", "--json"][..],
        &["client", "list", "--json"],
        &["client", "list", "--limit", "1", "--json"],
        &["client", "show", "ci", "--json"],
        &["client", "update", "ci", "--scope", "x", "--json"],
        &["client", "disable", "ci", "--json"],
        &["client", "enable", "ci", "--json"],
        &["client", "rotate-secret", "ci", "--json"],
        &["token", "list", "--client", "ci", "--json"],
        &["token", "revoke", "--client", "ci", "--json"],
        &["token", "revoke", "--all", "--json"],
        &["key", "list", "--json"],
        &["client", "delete", "ci", "--json"],
        &["doctor", "--json"],
        &["config", "print", "--json"],
    ] {
        let output = setup.run(arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
        let parsed = serde_json::from_str::<Value>(&output.stdout);
        assert!(
            parsed.is_ok_and(|json| json.is_object()),
            "{arguments:?}: {}",
            output.stdout
        );
    }
    for (arguments, answer) in [
        (&["migrate"][..], "already\n"),
        (&["healthcheck"], "ready\n"),
        (&["config", "check"], "the configuration is good\n"),
    ] {
        let output = setup.run(arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
        assert!(output.stdout.ends_with(answer), "{arguments:?}: {}", output.stdout);
        assert_eq!(output.stdout.lines().count(), 1, "{arguments:?}: {}", output.stdout);
    }
}
