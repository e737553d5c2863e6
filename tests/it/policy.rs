//! Limits, quotas and claims of a client: said, shown, changed and taken back, by command line and admin API alike.

use oauth2_testkit::{Kind, server::json};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{setup, shared};

on_both_stores! {
    policy_is_stored_and_updated_per_field,
    policy_is_set_on_the_command_line,
    invalid_policy_is_rejected_with_its_field,
}

async fn policy_is_stored_and_updated_per_field(kind: Kind) {
    let server = shared(kind).await;
    let policy = json!({
        "client_id": "policy", "rate_limits": {"token": "100/s:200"}, "rate_limit_mode": "observe",
        "quotas": {"hour": 10, "month": 1000}, "quota_mode": "enforce", "reuse_percent": 50,
        "claims": {"tenant": "acme", "plan": {"tier": 2, "seats": 2.5}},
    });
    server.register(policy.clone()).await;
    let shown = json(server.admin(Method::GET, "/clients/policy").send().await.unwrap()).await;
    for (name, value) in policy.as_object().unwrap() {
        assert_eq!(shown[name], *value, "{name}");
    }
    let patch = json!({"quotas": {"hour": null, "day": 7}, "claims": null, "rate_limit_mode": null});
    let response = server
        .admin(Method::PATCH, "/clients/policy")
        .json(&patch)
        .send()
        .await
        .unwrap();
    let shown = json(response).await;
    assert_eq!(shown["quotas"], json!({"day": 7, "month": 1000}));
    assert_eq!(
        (&shown["claims"], &shown["rate_limit_mode"]),
        (&json!({}), &json!(null))
    );
    assert_eq!(shown["rate_limits"], policy["rate_limits"], "unmentioned, unchanged");
}

async fn policy_is_set_on_the_command_line(kind: Kind) {
    let setup = setup(kind).await;
    assert_eq!(setup.run(&["migrate"]).code, 0);
    let made = setup.json(&[
        "client",
        "create",
        "--id",
        "ci",
        "--rate-limit",
        "token=5/m",
        "--rate-limit",
        "revocation=1/s:9",
        "--quota",
        "day=7",
        "--reuse-percent",
        "10",
        "--claim",
        "tenant=acme",
        "--claim",
        "seats=12",
        "--json",
    ]);
    assert_eq!(made["rate_limits"], json!({"token": "5/m", "revocation": "1/s:9"}));
    assert_eq!(made["quotas"], json!({"day": 7}));
    assert_eq!(made["claims"], json!({"tenant": "acme", "seats": 12}));
    let text = setup.run(&["client", "show", "ci"]).stdout;
    assert!(text.contains("token=5/m") && text.contains("seats=12"), "{text}");
    let changed = setup.json(&[
        "client", "update", "ci", "--quota", "hour=1", "--reset", "claims", "--json",
    ]);
    assert_eq!(
        (&changed["quotas"], &changed["claims"]),
        (&json!({"hour": 1, "day": 7}), &json!({}))
    );
}

async fn invalid_policy_is_rejected_with_its_field(kind: Kind) {
    let server = shared(kind).await;
    for (field, value, word) in [
        ("rate_limits", json!({"token": "fast"}), "token"),
        ("rate_limits", json!({"login": "1/s"}), "introspection"),
        ("quotas", json!({"day": -1}), "day"),
        ("reuse_percent", json!(0), "percent"),
        ("claims", json!({"exp": 1}), "exp"),
    ] {
        let body = json!({ "client_id": "bad", field: value });
        let response = server.admin(Method::POST, "/clients").json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        let response = json(response).await;
        assert_eq!(response["error"], "invalid_client_metadata");
        let text = response["error_description"].as_str().unwrap();
        assert!(text.contains(field) && text.contains(word), "{text}");
    }
    let shown = server.admin(Method::GET, "/clients/bad").send().await.unwrap();
    assert_eq!(shown.status(), StatusCode::NOT_FOUND);
    for (arguments, word) in [
        (["--rate-limit", "token"], "--rate-limit"),
        (["--quota", "day=many"], "day"),
        (["--claim", "exp=1"], "exp"),
    ] {
        let output = server
            .setup
            .run(&["client", "create", "--id", "bad", arguments[0], arguments[1]]);
        assert_eq!(output.code, 2, "{arguments:?}");
        assert!(output.stderr.contains(word), "{}", output.stderr);
    }
}
