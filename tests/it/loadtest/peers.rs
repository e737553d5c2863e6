//! The comparison of `loadtest/peers/`, with node-oidc-provider as the peer: whether its report and its exit code can be trusted;
//! never how fast anything is.

use std::collections::HashSet;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use oauth2_testkit::{Output, Process};
use serde_json::Value;

use super::desk::{Desk, Liar};
use super::peer::{CLIENT, Peer, SECRET, adapter_with, compare, known, peers, report, short, told};

/// Generous: reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(150);

fn statement<'a>(side: &'a Value, what: &str) -> &'a Value {
    let all = side["statements"].as_array().unwrap();
    all.iter()
        .find(|one| one["what"] == what)
        .unwrap_or_else(|| panic!("nothing is stated of {what}: {side}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_are_measured_in_turn() {
    let desk = Desk::take().await;
    let peer = Peer::start("opaque");
    let mut command = short(&desk, "node-oidc-provider", "2", &known(&peer));
    let mut run = Process::start(&mut command, &desk.path("stderr"));
    let seen = command_lines(&desk, async {
        while run.ended().is_none() {
            tick().await;
        }
    })
    .await;
    let mut stdout = String::new();
    while let Some(line) = run.line(PATIENCE) {
        stdout += &line;
        stdout.push('\n');
    }
    let code = run.wait(PATIENCE).await.code();
    assert_eq!(code, Some(0), "{stdout}{}", run.stderr());
    // Nothing secret is on a command line, neither its own nor those of what it starts.
    let credentials = BASE64_STANDARD.encode(format!("{CLIENT}:{SECRET}"));
    for line in &seen {
        assert!(!line.contains(SECRET) && !line.contains(&credentials), "{line}");
    }
    let generators = seen.iter().filter(|line| line.contains("wrk -t1")).count();
    assert_eq!(generators, 4, "a row and side each: {seen:?}");

    let report = report(&desk);
    assert_eq!(report["schema"], "oauth2-server-compare/1");
    assert_eq!(report["valid"], true, "{report}");
    let rows = report["rows"].as_array().unwrap();
    let samples = report["samples"].as_array().unwrap();
    let expected = ["issue-peak", "introspect-peak", "issue-rate", "introspect-rate"];
    let names: Vec<_> = rows.iter().map(|row| row["row"].as_str().unwrap()).collect();
    assert_eq!(names, expected);
    for row in rows {
        assert!(row["ratio"]["median"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["invalid"].is_null(), "{row}");
        for side in row["sides"].as_array().unwrap() {
            assert_eq!(side["errors"], 0, "{side}");
            assert!(side["rate"].as_f64().unwrap() > 0.0, "{side}");
            for times in ["p50", "p95", "p99", "max"] {
                assert!(side["milliseconds"][times].as_f64().unwrap() > 0.0, "{times}: {side}");
            }
            assert_eq!(side["format"], "opaque", "{side}");
        }
        // Peer, ours, peer, ours; one after the other.
        let of_row = samples.iter().filter(|one| one["row"] == row["row"]);
        let turns: Vec<_> = of_row
            .map(|one| (one["round"].as_u64().unwrap(), one["side"].as_str().unwrap()))
            .collect();
        assert_eq!(turns, [(1, "peer"), (1, "ours"), (2, "peer"), (2, "ours")], "{row}");
    }
    let began: Vec<_> = samples.iter().map(|one| one["began"].as_f64().unwrap()).collect();
    assert!(began.is_sorted(), "{began:?}");
    // The peer's process was found by its port, so the CPU time of both is known.
    for side in rows[0]["sides"].as_array().unwrap() {
        assert!(side["cpu_us_per_request"].as_f64().unwrap() > 0.0, "{side}");
    }
    let sides = report["sides"].as_array().unwrap();
    for (side, product, durable, how) in [
        (&sides[0], "node-oidc-provider", "no", "stated"),
        (&sides[1], "oauth2_server", "yes", "set"),
    ] {
        assert_eq!(side["product"], product);
        assert_eq!(statement(side, "Durable before answered")["value"], durable);
        assert_eq!(statement(side, "Durable before answered")["how"], how);
        for what in ["Token format", "Introspection", "Revocation", "A wrong secret"] {
            assert_eq!(statement(side, what)["how"], "checked", "{side}");
        }
    }
    assert_eq!(sides[1]["version"], env!("CARGO_PKG_VERSION"));

    let all = told(&desk, &stdout, &run.stderr());
    assert!(all.contains("Not the same is asked of both sides"), "{all}");
    assert!(
        all.contains("loadtest/peers/compare node-oidc-provider --rounds 2"),
        "{all}"
    );
    assert!(!all.contains(SECRET), "the secret is in {all}");
    assert!(!all.contains("Basic "), "credentials are in {all}");
    let left: Vec<_> = std::fs::read_dir(desk.path("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?} is left");
}

async fn tick() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Everybody's command line now, and the directory that it runs in.
fn now() -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries.map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let directory = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ") + &directory.to_string_lossy()
    })
}

/// The command lines that there were meanwhile, of programs that work in the desk's directory.
async fn command_lines(desk: &Desk, meanwhile: impl Future<Output = ()>) -> HashSet<String> {
    let mut seen = HashSet::new();
    let place = desk.path("tmp").display().to_string();
    let looking = async {
        loop {
            seen.extend(now().filter(|line| line.contains(&place)));
            tick().await;
        }
    };
    tokio::select! {
        () = looking => {}
        ended = tokio::time::timeout(PATIENCE, meanwhile) => ended.expect("it ends"),
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_comparison_leaves_nothing_behind() {
    let desk = Desk::take().await;
    let peer = Peer::start("opaque");
    let mut command = short(&desk, "node-oidc-provider", "50", &known(&peer));
    let mut run = Process::start(&mut command, &desk.path("stderr"));
    let place = desk.path("tmp").display().to_string();
    let loaded = async {
        while !now().any(|line| line.contains("wrk -t1") && line.contains(&place)) {
            assert!(run.ended().is_none(), "{}", run.stderr());
            tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, loaded).await.expect("there is load");
    run.signal("TERM");
    assert_eq!(run.wait(PATIENCE).await.code(), Some(143), "{}", run.stderr());
    let left: Vec<_> = now().filter(|line| line.contains(&place)).collect();
    assert!(left.is_empty(), "{left:?}");
    let left: Vec<_> = std::fs::read_dir(desk.path("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?} is left");
    assert!(!run.stderr().contains("Traceback"), "{}", run.stderr());
    // The peer is none of its business.
    assert!(reqwest::get(&peer.url).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_with_errors_says_nothing() {
    let desk = Desk::take().await;
    // With the credentials in the form, for once.
    let peer = Peer::with("jwt", &[("AT_ONCE", "4"), ("AUTH", "client_secret_post")]);
    let post = ("/token\"", "/token\"\nauth = \"post\"");
    let adapter = adapter_with(&desk, "node-oidc-provider-jwt", post.0, post.1);
    let output = Output::of(&mut short(&desk, &adapter, "1", &known(&peer)));
    assert_eq!(output.code, 99, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("**invalid**"), "{}", output.stdout);
    let report = report(&desk);
    assert_eq!(report["valid"], false, "{report}");
    let (peak, rate) = (&report["rows"][0], &report["rows"][1]);
    assert!(
        peak["invalid"]
            .as_str()
            .unwrap()
            .contains("errors of node-oidc-provider")
    );
    assert!(peak["ratio"]["median"].is_null(), "{peak}");
    assert!(rate["invalid"].is_null(), "{rate}");
    // These tokens cannot be asked about, and the report says so.
    assert_eq!(report["rows"].as_array().unwrap().len(), 2, "{report}");
    assert!(output.stdout.contains("offers no introspection"), "{}", output.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stated_is_checked() {
    let desk = Desk::take().await;
    let peer = Peer::start("jwt");
    let check = |adapter: &str, secret: &str| {
        let environment = [
            ("PEER_URL", peer.url.as_str()),
            ("PEER_CLIENT_ID", CLIENT),
            ("PEER_CLIENT_SECRET", secret),
        ];
        let output = Output::of(&mut compare(&desk, &[adapter, "--check"], &environment));
        assert!(!output.stderr.contains(secret) && !output.stdout.contains(secret));
        output
    };
    let honest = check("node-oidc-provider-jwt", SECRET);
    assert_eq!(honest.code, 0, "{}", honest.stderr);
    let checked = "Signature algorithm: EdDSA (checked)";
    assert!(honest.stdout.contains(checked), "{}", honest.stdout);
    let wrong = "not-the-secret-of-the-compared-client-01234";
    let algorithm = ("algorithm = \"EdDSA\"", "algorithm = \"ES256\"");
    let format = ("format = \"jwt\"", "format = \"opaque\"");
    let elsewhere = ("/token\"", "/no-such-place\"");
    let scope = ("scope = \"read write\"", "scope = \"read fly\"");
    let introspection = (
        "[stated]",
        "[introspection]\nurl = \"${PEER_URL}/token/introspection\"\n\n[stated]",
    );
    for (change, secret, code, sentence) in [
        (
            algorithm,
            SECRET,
            2,
            "stated to sign with ES256, and its token says EdDSA",
        ),
        (format, SECRET, 2, "stated to issue opaque tokens, and issues jwt ones"),
        (elsewhere, SECRET, 3, "is http://127.0.0.1"),
        (scope, SECRET, 3, "grants less than the scope that is asked for"),
        (introspection, SECRET, 3, "answers an introspection with 400"),
        (("", ""), wrong, 3, "issues no token for the client: it answers 401"),
    ] {
        let file = adapter_with(&desk, "node-oidc-provider-jwt", change.0, change.1);
        let output = check(&file, secret);
        assert_eq!(output.code, code, "{change:?}: {}", output.stderr);
        assert!(output.stderr.contains(sentence), "{change:?}: {}", output.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_forgotten_are_noticed() {
    let desk = Desk::take().await;
    for (setting, value, sentence) in [
        (
            "REMEMBERS",
            "40",
            "calls 10 of 50 tokens inactive after it was asked about them",
        ),
        (
            "LIFETIME",
            "20",
            "live for 20 s: for introspection they must live for 31 s",
        ),
    ] {
        let peer = Peer::with("opaque", &[(setting, value)]);
        let output = Output::of(&mut short(&desk, "node-oidc-provider", "1", &known(&peer)));
        assert_eq!(output.code, 3, "{}", output.stderr);
        assert!(output.stderr.contains(sentence), "{}", output.stderr);
        assert!(
            !desk.results().join("summary.json").exists(),
            "there is nothing to report"
        );
    }
}

/// `tests/outside/liar.py`: any secret will do for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_looks_at_no_secret_is_not_measured() {
    let desk = Desk::take().await;
    let liar = Liar::start();
    let adapter = r#"
        product = "liar"
        [variables]
        PEER_URL = { about = "where it is" }
        [client]
        id = "somebody"
        secret = "${PASSWORD}"
        [token]
        url = "${PEER_URL}/oauth/token"
        [introspection]
        url = "${PEER_URL}/oauth/introspect"
        [revocation]
        url = "${PEER_URL}/oauth/revoke"
        [stated]
        version = "1"
        format = "opaque"
        algorithm = "none"
        durable = "no"
        storage = "memory"
        secret_hash = "nothing"
    "#;
    std::fs::write(desk.path("liar.toml"), adapter).unwrap();
    let environment = [("PEER_URL", liar.url())];
    let environment = environment.each_ref().map(|(name, url)| (*name, url.as_str()));
    let output = Output::of(&mut short(&desk, "liar.toml", "1", &environment));
    assert_eq!(output.code, 3, "{}", output.stderr);
    let sentence = "liar answers a wrong secret with 200: it does not look at secrets";
    assert!(output.stderr.contains(sentence), "{}", output.stderr);
}

/// The exit code, a part of what is said, the arguments and the environment.
type Case<'a> = (i32, &'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_compared_says_why() {
    let desk = Desk::take().await;
    let nobody = ("PEER_URL", "http://127.0.0.1:1");
    let id = ("PEER_CLIENT_ID", CLIENT);
    let secret = ("PEER_CLIENT_SECRET", SECRET);
    let away = ("PEER_URL", "http://0.0.0.0:1");
    let missing = ("PEER_CLIENT_SECRET_FILE", "no-such-file");
    let unknown_key = adapter_with(&desk, "node-oidc-provider", "warm_up = 5", "warmup = 5");
    let with = |name: &str, text: &str| {
        let file = desk.path(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (broken, empty) = (with("broken.toml", "product = "), with("empty.toml", ""));
    let node = "node-oidc-provider";
    let cases: &[Case] = &[
        (2, "there is no adapter nobody", &["nobody"], &[]),
        (2, "is not TOML", &[&broken], &[]),
        (2, "[client] lacks id", &[&empty], &[]),
        (2, "has warmup, which is not known", &[&unknown_key], &[id, secret]),
        (2, "PEER_CLIENT_ID is missing", &[node], &[secret]),
        (2, "PEER_CLIENT_SECRET is missing", &[node], &[id]),
        (
            2,
            "PEER_CLIENT_SECRET_FILE names a file that cannot be read",
            &[node],
            &[id, missing],
        ),
        (2, "--rounds must be 1 to 50", &[node, "--rounds", "0"], &[id, secret]),
        (
            2,
            "--rate must be at most 500",
            &[node, "--allow-remote", "--rate", "501"],
            &[away, id, secret],
        ),
        (2, "allowed with --allow-remote", &[node], &[away, id, secret]),
        (
            2,
            "the token URL must be an http or https URL",
            &[node],
            &[("PEER_URL", "nowhere"), id, secret],
        ),
        (3, "http://127.0.0.1:1 does not answer", &[node], &[nobody, id, secret]),
        (
            3,
            "http://127.0.0.1:1 does not answer",
            &["hydra"],
            &[("PEER_ADMIN_URL", nobody.1)],
        ),
    ];
    for (code, sentence, arguments, environment) in cases {
        let output = Output::of(&mut compare(&desk, arguments, environment));
        assert_eq!(output.code, *code, "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(sentence), "{arguments:?}: {}", output.stderr);
        assert!(!output.stderr.contains("Traceback"), "{}", output.stderr);
        assert!(!output.stderr.contains(SECRET), "{}", output.stderr);
    }
}

/// Each is read as far as it can be without its peer.
#[tokio::test]
async fn every_adapter_can_be_read() {
    let desk = Desk::take().await;
    let mut names: Vec<_> = std::fs::read_dir(peers().join("adapters"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    for expected in ["hydra", "keycloak", "node-oidc-provider", "rauthy", "zitadel"] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
    for name in names {
        let environment = [
            ("PEER_URL", "http://127.0.0.1:1"),
            ("PEER_ADMIN_URL", "http://127.0.0.1:1"),
            ("PEER_CLIENT_ID", CLIENT),
            ("PEER_CLIENT_SECRET", SECRET),
            ("PEER_ADMIN_PASSWORD", SECRET),
            ("PEER_ADMIN_TOKEN", SECRET),
            ("PEER_API_KEY", SECRET),
        ];
        let output = Output::of(&mut compare(&desk, &[&name, "--check"], &environment));
        assert_eq!(output.code, 3, "{name}: {}", output.stderr);
        assert!(
            output.stderr.contains("http://127.0.0.1:1 does not answer"),
            "{name}: {}",
            output.stderr
        );
    }
}
