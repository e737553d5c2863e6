//! Invalid arguments and adapters of `loadtest/peers/compare`, and the validity of the adapters in the repository.

use oauth2_testkit::Output;

use super::comparison_harness::{CLIENT, SECRET, adapter_with, compare, peers};
use super::harness::LoadtestHarness;

/// An exit code, a part of the error message, and the arguments and environment that cause them.
type Case<'a> = (i32, &'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_arguments_and_adapters_are_reported() {
    let harness = LoadtestHarness::acquire().await;
    let unreachable = ("PEER_URL", "http://127.0.0.1:1");
    let id = ("PEER_CLIENT_ID", CLIENT);
    let secret = ("PEER_CLIENT_SECRET", SECRET);
    let remote = ("PEER_URL", "http://0.0.0.0:1");
    let missing = ("PEER_CLIENT_SECRET_FILE", "no-such-file");
    let unknown_key = adapter_with(&harness, "node-oidc-provider", "warm_up = 5", "warmup = 5");
    let write = |name: &str, text: &str| {
        let file = harness.path(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (broken, empty) = (write("broken.toml", "product = "), write("empty.toml", ""));
    let node = "node-oidc-provider";
    let cases: &[Case] = &[
        (2, "there is no adapter unknown", &["unknown"], &[]),
        (2, "is not valid TOML", &[&broken], &[]),
        (2, "[client]: id is missing", &[&empty], &[]),
        (2, "unknown key warmup", &[&unknown_key], &[id, secret]),
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
            &[remote, id, secret],
        ),
        (2, "requires --allow-remote", &[node], &[remote, id, secret]),
        (
            2,
            "the token URL must be an http or https URL",
            &[node],
            &[("PEER_URL", "nowhere"), id, secret],
        ),
        (
            3,
            "http://127.0.0.1:1 does not respond",
            &[node],
            &[unreachable, id, secret],
        ),
        (
            3,
            "http://127.0.0.1:1 does not respond",
            &["hydra"],
            &[("PEER_ADMIN_URL", unreachable.1)],
        ),
    ];
    for (code, sentence, arguments, environment) in cases {
        let output = Output::of(&mut compare(&harness, arguments, environment));
        assert_eq!(output.code, *code, "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(sentence), "{arguments:?}: {}", output.stderr);
        assert!(!output.stderr.contains("Traceback"), "{}", output.stderr);
        assert!(!output.stderr.contains(SECRET), "{}", output.stderr);
    }
}

/// Every adapter is valid up to the first request to its peer.
#[tokio::test]
async fn every_adapter_is_valid() {
    let harness = LoadtestHarness::acquire().await;
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
        let output = Output::of(&mut compare(&harness, &[&name, "--check"], &environment));
        assert_eq!(output.code, 3, "{name}: {}", output.stderr);
        assert!(
            output.stderr.contains("http://127.0.0.1:1 does not respond"),
            "{name}: {}",
            output.stderr
        );
    }
}
