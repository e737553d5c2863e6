//! What every subcommand has in common: help, usage errors, and stdout for nothing but the response.

use oauth2_testkit::{Kind, Setup};
use serde_json::Value;

use super::{rejected, stdout_of};
use crate::{setup, start};

on_both_stores!(stdout_contains_only_the_result);

/// Reads the subcommands off the help of a command, and their subcommands off theirs.
fn commands(setup: &Setup, path: &[&str]) -> Vec<Vec<String>> {
    let help = stdout_of(setup, &[path, &["--help"]].concat());
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
    let version = stdout_of(&setup, &["--version"]);
    assert_eq!(version, format!("oauth2_server {}\n", env!("CARGO_PKG_VERSION")));
    assert!(!setup.directory().join("data").exists(), "help makes nothing");
}

#[tokio::test]
async fn usage_error_exits_with_2() {
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
    rejected(&output, 2, &["nowhere.toml", "cannot be read"]);
}

async fn stdout_contains_only_the_result(kind: Kind) {
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
    for (arguments, response) in [
        (&["migrate"][..], "already\n"),
        (&["healthcheck"], "ready\n"),
        (&["config", "check"], "the configuration is valid\n"),
    ] {
        let output = setup.run(arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
        assert!(output.stdout.ends_with(response), "{arguments:?}: {}", output.stdout);
        assert_eq!(output.stdout.lines().count(), 1, "{arguments:?}: {}", output.stdout);
    }
}

/// On a terminal titles are bold; anywhere else, and with `NO_COLOR`, nothing is.
#[tokio::test(flavor = "multi_thread")]
async fn colors_are_used_on_terminals_only() {
    let setup = crate::cli::migrated(Kind::Sqlite).await;
    setup.json(&["client", "create", "--id", "ci", "--json"]);
    let on_a_terminal = |no_color: Option<&str>| {
        let line = format!("{} client list", crate::BINARY);
        let mut command = std::process::Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .current_dir(setup.directory());
        command.env_remove("NO_COLOR").env("TERM", "xterm");
        command.envs(no_color.map(|value| ("NO_COLOR", value)));
        let output = command
            .stdin(std::process::Stdio::null())
            .output()
            .expect("script, of util-linux");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let escape = '\u{1b}';
    assert!(on_a_terminal(None).contains(escape) && on_a_terminal(Some("")).contains(escape));
    let plain = on_a_terminal(Some("1"));
    assert!(plain.contains("ci") && !plain.contains(escape), "{plain}");
    assert!(!setup.run(&["client", "list"]).stdout.contains(escape));
    assert!(!setup.run(&["--help"]).stdout.contains(escape));
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_and_man_pages_are_generated() {
    let setup = crate::setup(Kind::Sqlite)
        .await
        .with("OAUTH2_NONSENSE", "which nobody minds here");
    for (shell, word) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef oauth2_server"),
        ("fish", "complete -c oauth2_server"),
    ] {
        let output = setup.run(&["completions", shell]);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(
            output.stdout.contains(word) && output.stdout.contains("rotate-secret"),
            "{shell}"
        );
    }
    assert_eq!(setup.run(&["completions", "cmd"]).code, 2);
    assert!(setup.run(&["man"]).stdout.contains(".TH"));
    assert_eq!(setup.run(&["man", "--out", "pages"]).code, 0);
    let page = std::fs::read_to_string(setup.directory().join("pages/oauth2_server-client-top.1")).unwrap();
    assert!(page.contains("Example"), "{page}");
    let help = setup.run(&["client", "import", "--help"]);
    assert!(help.code == 0 && help.stdout.contains("Example: "), "{}", help.stdout);
}
