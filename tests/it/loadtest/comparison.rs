//! The comparison of `loadtest/peers/`, with node-oidc-provider as the peer. Checks its report and its exit code, never how fast
//! anything is.

use std::collections::HashSet;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use oauth2_testkit::{Output, Process};
use serde_json::Value;

use super::comparison_harness::{
    CLIENT, Peer, SECRET, adapter_with, all_output, compare, environment_of, report, short,
};
use super::harness::{FaultyServer, LoadtestHarness};

/// Timeout of a wait, far longer than a correct run takes.
const TIMEOUT: Duration = Duration::from_secs(150);

/// A checked or declared property of a side.
fn property<'a>(side: &'a Value, what: &str) -> &'a Value {
    let all = side["statements"].as_array().unwrap();
    all.iter()
        .find(|one| one["what"] == what)
        .unwrap_or_else(|| panic!("there is no property {what}: {side}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sides_are_measured_alternately() {
    let harness = LoadtestHarness::acquire().await;
    let peer = Peer::start("opaque");
    let mut command = short(&harness, "node-oidc-provider", "2", &environment_of(&peer));
    let mut run = Process::start(&mut command, &harness.path("stderr"));
    let seen = command_lines(&harness, async {
        while run.exit_status().is_none() {
            tick().await;
        }
    })
    .await;
    let mut stdout = String::new();
    while let Some(line) = run.line(TIMEOUT) {
        stdout += &line;
        stdout.push('\n');
    }
    let code = run.wait(TIMEOUT).await.code();
    assert_eq!(code, Some(0), "{stdout}{}", run.stderr());
    // No command line contains secrets, neither that of `compare` nor those of the programs that it starts.
    let credentials = BASE64_STANDARD.encode(format!("{CLIENT}:{SECRET}"));
    for line in &seen {
        assert!(!line.contains(SECRET) && !line.contains(&credentials), "{line}");
    }
    let generators = seen.iter().filter(|line| line.contains("wrk -t1")).count();
    assert_eq!(generators, 4, "one per row and side: {seen:?}");

    let report = report(&harness);
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
        // Alternating: peer, ours, peer, ours.
        let of_row = samples.iter().filter(|one| one["row"] == row["row"]);
        let turns: Vec<_> = of_row
            .map(|one| (one["round"].as_u64().unwrap(), one["side"].as_str().unwrap()))
            .collect();
        assert_eq!(turns, [(1, "peer"), (1, "ours"), (2, "peer"), (2, "ours")], "{row}");
    }
    let began: Vec<_> = samples.iter().map(|one| one["began"].as_f64().unwrap()).collect();
    assert!(began.is_sorted(), "{began:?}");
    // The peer's process is found by its port, so the CPU time of both sides is known.
    for side in rows[0]["sides"].as_array().unwrap() {
        assert!(side["cpu_us_per_request"].as_f64().unwrap() > 0.0, "{side}");
    }
    let sides = report["sides"].as_array().unwrap();
    for (side, product, durable, how) in [
        (&sides[0], "node-oidc-provider", "no", "declared"),
        (&sides[1], "oauth2_server", "yes", "set"),
    ] {
        assert_eq!(side["product"], product);
        assert_eq!(property(side, "Durable before the response")["value"], durable);
        assert_eq!(property(side, "Durable before the response")["how"], how);
        for what in ["Token format", "Introspection", "Revocation", "Wrong secret"] {
            assert_eq!(property(side, what)["how"], "checked", "{side}");
        }
    }
    assert_eq!(sides[1]["version"], env!("CARGO_PKG_VERSION"));

    let all = all_output(&harness, &stdout, &run.stderr());
    assert!(
        all.contains("The work differs: node-oidc-provider is declared not to store its tokens durably"),
        "{all}"
    );
    assert!(
        all.contains("loadtest/peers/compare node-oidc-provider --rounds 2"),
        "{all}"
    );
    assert!(!all.contains(SECRET), "the output contains the secret: {all}");
    assert!(!all.contains("Basic "), "the output contains credentials: {all}");
    let remaining: Vec<_> = std::fs::read_dir(harness.path("tmp")).unwrap().collect();
    assert!(remaining.is_empty(), "{remaining:?} was not removed");
}

async fn tick() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// The command lines of all running processes, each followed by its working directory.
fn running_command_lines() -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries.map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let directory = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ") + &directory.to_string_lossy()
    })
}

/// The command lines seen while `run` was pending, of processes that name or work in the harness' directory.
async fn command_lines(harness: &LoadtestHarness, run: impl Future<Output = ()>) -> HashSet<String> {
    let mut seen = HashSet::new();
    let directory = harness.path("tmp").display().to_string();
    let observe = async {
        loop {
            seen.extend(running_command_lines().filter(|line| line.contains(&directory)));
            tick().await;
        }
    };
    tokio::select! {
        () = observe => {}
        ended = tokio::time::timeout(TIMEOUT, run) => ended.expect("the run ends"),
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_comparison_cleans_up() {
    let harness = LoadtestHarness::acquire().await;
    let peer = Peer::start("opaque");
    let mut command = short(&harness, "node-oidc-provider", "50", &environment_of(&peer));
    let mut run = Process::start(&mut command, &harness.path("stderr"));
    let directory = harness.path("tmp").display().to_string();
    let loaded = async {
        while !running_command_lines().any(|line| line.contains("wrk -t1") && line.contains(&directory)) {
            assert!(run.exit_status().is_none(), "{}", run.stderr());
            tick().await;
        }
    };
    tokio::time::timeout(TIMEOUT, loaded).await.expect("the load begins");
    run.signal("TERM");
    assert_eq!(run.wait(TIMEOUT).await.code(), Some(143), "{}", run.stderr());
    let processes: Vec<_> = running_command_lines()
        .filter(|line| line.contains(&directory))
        .collect();
    assert!(processes.is_empty(), "{processes:?}");
    let remaining: Vec<_> = std::fs::read_dir(harness.path("tmp")).unwrap().collect();
    assert!(remaining.is_empty(), "{remaining:?} was not removed");
    assert!(!run.stderr().contains("Traceback"), "{}", run.stderr());
    // The peer must not be stopped.
    assert!(reqwest::get(&peer.url).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_with_errors_is_invalid() {
    let harness = LoadtestHarness::acquire().await;
    // With credentials in the form; the other tests use the Authorization header.
    let peer = Peer::with("jwt", &[("MAX_CONCURRENT", "4"), ("AUTH", "client_secret_post")]);
    let post = ("/token\"", "/token\"\nauth = \"post\"");
    let adapter = adapter_with(&harness, "node-oidc-provider-jwt", post.0, post.1);
    let output = Output::of(&mut short(&harness, &adapter, "1", &environment_of(&peer)));
    assert_eq!(output.code, 99, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("**invalid**"), "{}", output.stdout);
    let report = report(&harness);
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
    // These tokens cannot be introspected, which the report must state.
    assert_eq!(report["rows"].as_array().unwrap().len(), 2, "{report}");
    assert!(output.stdout.contains("offers no introspection"), "{}", output.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declared_properties_are_checked() {
    let harness = LoadtestHarness::acquire().await;
    let peer = Peer::start("jwt");
    let check = |adapter: &str, secret: &str| {
        let environment = [
            ("PEER_URL", peer.url.as_str()),
            ("PEER_CLIENT_ID", CLIENT),
            ("PEER_CLIENT_SECRET", secret),
        ];
        let output = Output::of(&mut compare(&harness, &[adapter, "--check"], &environment));
        assert!(!output.stderr.contains(secret) && !output.stdout.contains(secret));
        output
    };
    let correct = check("node-oidc-provider-jwt", SECRET);
    assert_eq!(correct.code, 0, "{}", correct.stderr);
    let checked = "Signature algorithm: EdDSA (checked)";
    assert!(correct.stdout.contains(checked), "{}", correct.stdout);
    let wrong = "not-the-secret-of-the-compared-client-01234";
    let algorithm = ("algorithm = \"EdDSA\"", "algorithm = \"ES256\"");
    let format = ("format = \"jwt\"", "format = \"opaque\"");
    let token_url = ("/token\"", "/no-such-place\"");
    let scope = ("scope = \"read write\"", "scope = \"read fly\"");
    let introspection = (
        "[declared]",
        "[introspection]\nurl = \"${PEER_URL}/token/introspection\"\n\n[declared]",
    );
    for (change, secret, code, sentence) in [
        (
            algorithm,
            SECRET,
            2,
            "declared to sign with ES256, but its token has alg EdDSA",
        ),
        (
            format,
            SECRET,
            2,
            "declared to issue opaque tokens, but issues jwt tokens",
        ),
        (token_url, SECRET, 3, "/no-such-place is its token endpoint"),
        (scope, SECRET, 3, "grants less than the requested scope"),
        (
            introspection,
            SECRET,
            3,
            "returned 400 unsupported_token_type to an introspection request",
        ),
        (("", ""), wrong, 3, "issues no token for the client, it returned 401"),
    ] {
        let file = adapter_with(&harness, "node-oidc-provider-jwt", change.0, change.1);
        let output = check(&file, secret);
        assert_eq!(output.code, code, "{change:?}: {}", output.stderr);
        assert!(output.stderr.contains(sentence), "{change:?}: {}", output.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_lost_during_a_sample_are_detected() {
    let harness = LoadtestHarness::acquire().await;
    for (setting, value, sentence) in [
        ("MAX_ENTRIES", "40", "reports 10 of 50 tokens inactive after the sample"),
        ("LIFETIME", "20", "live 20 s; introspection requires at least 31 s"),
    ] {
        let peer = Peer::with("opaque", &[(setting, value)]);
        let output = Output::of(&mut short(&harness, "node-oidc-provider", "1", &environment_of(&peer)));
        assert_eq!(output.code, 3, "{}", output.stderr);
        assert!(output.stderr.contains(sentence), "{}", output.stderr);
        assert!(
            !harness.results().join("summary.json").exists(),
            "a failed comparison writes no report"
        );
    }
}

/// `tests/outside/faulty_server.py` accepts every secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_accepts_any_secret_is_not_measured() {
    let harness = LoadtestHarness::acquire().await;
    let faulty = FaultyServer::start();
    let adapter = r#"
        product = "faulty"
        [variables]
        PEER_URL = { about = "URL" }
        [client]
        id = "client"
        secret = "${PASSWORD}"
        [token]
        url = "${PEER_URL}/oauth/token"
        [introspection]
        url = "${PEER_URL}/oauth/introspect"
        [revocation]
        url = "${PEER_URL}/oauth/revoke"
        [declared]
        version = "1"
        format = "opaque"
        algorithm = "none"
        durable = "no"
        storage = "memory"
        secret_hash = "nothing"
    "#;
    std::fs::write(harness.path("faulty.toml"), adapter).unwrap();
    let environment = [("PEER_URL", faulty.url())];
    let environment = environment.each_ref().map(|(name, url)| (*name, url.as_str()));
    let output = Output::of(&mut short(&harness, "faulty.toml", "1", &environment));
    assert_eq!(output.code, 3, "{}", output.stderr);
    let sentence = "faulty returned 200 to a wrong secret: it does not check secrets";
    assert!(output.stderr.contains(sentence), "{}", output.stderr);
}
