//! `migrate-check`: planted differences, each of which clients or verifiers notice.

use oauth2_testkit::{Kind, Server};
use serde_json::{Value, json};

use super::changes::{self, Case};
use super::check::{OF_ANOTHER_URL, check, codes, csv, register, servers};
use super::parsed;
use super::tampered::Tampered;

on_both_stores!(
    every_planted_difference_is_reported,
    differences_that_nobody_notices_break_nothing,
);

/// Clients, their fields at the old and at the new issuer, and the code of the difference.
fn planted() -> [(&'static str, Value, Value, &'static str); 10] {
    [
        ("format", json!({}), json!({"token_format": "paseto"}), "token.format"),
        (
            "alg",
            json!({"signing_alg": "ES256"}),
            json!({"signing_alg": "EdDSA"}),
            "token.header.alg",
        ),
        (
            "typ",
            json!({"token_typ": "JWT"}),
            json!({"token_typ": "at+jwt"}),
            "token.header.typ",
        ),
        (
            "lifetime",
            json!({"access_token_lifetime": 600}),
            json!({"access_token_lifetime": 60}),
            "token.lifetime",
        ),
        ("scope", json!({}), json!({"scope": "read"}), "response.scope"),
        (
            "aud",
            json!({"audience": ["https://a"]}),
            json!({"audience": ["https://b"]}),
            "token.claim.aud.missing",
        ),
        (
            "claim",
            json!({"claims": {"tenant": "a"}}),
            json!({}),
            "token.claim.tenant.missing",
        ),
        (
            "type",
            json!({"claims": {"tier": 1}}),
            json!({"claims": {"tier": "1"}}),
            "token.claim.tier.type",
        ),
        (
            "value",
            json!({"claims": {"plan": "a"}}),
            json!({"claims": {"plan": "b"}}),
            "token.claim.plan.value",
        ),
        (
            "disabled",
            json!({}),
            json!({"disabled": true}),
            "token_request.client_secret_basic",
        ),
    ]
}

async fn every_planted_difference_is_reported(kind: Kind) {
    let (old, new) = servers(kind).await;
    let clients = planted();
    let mut ids = vec!["missing"];
    register(&old, "missing", json!({})).await;
    for (id, of_old, of_new, _) in &clients {
        register(&old, id, of_old.clone()).await;
        register(&new, id, of_new.clone()).await;
        ids.push(id);
    }
    let output = check(
        &old,
        &new,
        &csv(&ids),
        &["--json", "--sample", "20", "--concurrency", "2"],
    );
    assert_eq!(output.code, 1, "{}", output.stderr);
    let report = parsed(&output);
    assert_eq!(report["clients"]["asked"], 11);
    let differences = report["differences"].as_array().unwrap();
    let examples = |code: &str| {
        let found = differences.iter().find(|it| it["code"] == code);
        let found = found.unwrap_or_else(|| panic!("{code} is not in {report:#}"));
        assert_ne!(found["noticed_by"], "nobody", "{code}");
        found["examples"].as_array().unwrap().clone()
    };
    for (id, _, _, code) in &clients {
        let found = examples(code);
        assert!(
            found.iter().any(|example| example["client_id"] == *id),
            "{code}: {found:?}"
        );
    }
    // Resource servers that introspect see the same differences.
    for (code, id) in [
        ("introspection.scope.value", "scope"),
        ("introspection.lifetime", "lifetime"),
        ("introspection.aud.missing", "aud"),
    ] {
        let found = examples(code);
        assert!(
            found.iter().any(|example| example["client_id"] == id),
            "{code}: {found:?}"
        );
    }
    let lifetime = &examples("token.lifetime")[0];
    assert_eq!((&lifetime["old"], &lifetime["new"]), (&json!("600 s"), &json!("60 s")));
    let missing = &examples("token_request.client_secret_post")[0];
    assert_eq!(
        (&missing["client_id"], &missing["old"], &missing["new"]),
        (&json!("missing"), &json!("200"), &json!("401 invalid_client"))
    );
    for server in [&old, &new] {
        register(server, "tampered", json!({})).await;
    }
    every_change_of_a_response_is_reported([&old, &new]).await;
    // A claim that only the new issuer adds breaks no verifier that follows the specification.
    let reversed = check(&new, &old, &csv(&["claim"]), &["--json"]);
    let (noticed, nobody) = codes(&reversed);
    assert!(nobody.contains(&"token.claim.tenant.added".to_owned()), "{nobody:?}");
    assert!(
        !noticed.iter().any(|code| code.starts_with("token.claim")),
        "{noticed:?}"
    );
}

/// Runs the check with one client through two proxies.
fn check_tampered(servers: [&Server; 2], proxies: [&Tampered; 2], case: Case) -> (i32, Vec<String>, Vec<String>) {
    proxies[0].change(case.0);
    proxies[1].change(case.1);
    let file = servers[0].setup.directory().join("tampered.csv");
    std::fs::write(&file, csv(&["tampered"])).unwrap();
    let command = [
        "migrate-check",
        "--old",
        &proxies[0].url,
        "--new",
        &proxies[1].url,
        "--clients",
        file.to_str().unwrap(),
        "--json",
    ];
    let output = servers[0].setup.run(&[&command, &OF_ANOTHER_URL[..]].concat());
    assert!(matches!(output.code, 0 | 1), "{}", output.stderr);
    let is_accepted = |code: &String| {
        let accepted = ["discovery.issuer", "jwks", "introspection.old_token_at_new"];
        accepted.iter().any(|accepted| code.starts_with(accepted))
    };
    let (mut noticed, nobody) = codes(&output);
    noticed.retain(|code| !is_accepted(code));
    (output.code, noticed, nobody)
}

async fn every_change_of_a_response_is_reported(servers: [&Server; 2]) {
    let [old, new] = servers;
    let (old, new) = (Tampered::start(old).await, Tampered::start(new).await);
    let check = |case| check_tampered(servers, [&old, &new], case);
    let (code, noticed, _) = check((changes::nothing(), changes::nothing(), ""));
    assert_eq!((code, noticed), (0, Vec::new()), "the proxies change nothing");
    let cases = [changes::of_tokens(), changes::of_responses(), changes::of_documents()];
    for case in cases.into_iter().flatten() {
        let expected = case.2;
        let (code, noticed, _) = check(case);
        let is_reported = noticed.iter().any(|found| found == expected);
        assert!(code == 1 && is_reported, "{expected}: {noticed:?}");
    }
}

async fn differences_that_nobody_notices_break_nothing(kind: Kind) {
    let (old, new) = servers(kind).await;
    for server in [&old, &new] {
        register(server, "tampered", json!({})).await;
    }
    let proxies = (Tampered::start(&old).await, Tampered::start(&new).await);
    for case in changes::that_nobody_notices() {
        let expected = case.2;
        let (_, mut noticed, nobody) = check_tampered([&old, &new], [&proxies.0, &proxies.1], case);
        // A changed token has no valid signature, and is unknown to introspection.
        noticed.retain(|code| code != "token.signature" && code != "introspection.own_token");
        assert_eq!(noticed, [""; 0], "{expected}");
        let is_listed = expected.is_empty() || nobody.iter().any(|found| found == expected);
        assert!(is_listed, "{expected}: {nobody:?}");
    }
}
