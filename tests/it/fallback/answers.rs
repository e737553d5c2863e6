//! Responses of the previous issuer, and their effect on introspection.

use std::sync::atomic::Ordering;

use oauth2_testkit::Kind;
use oauth2_testkit::server::json as body_of;
use reqwest::StatusCode;
use serde_json::json;

use super::{OldIssuer, active, started, status_of};
use crate::keys::until;

on_both_stores!(
    an_issuer_that_fails_leaves_tokens_unknown,
    an_issuer_that_fails_affects_no_other_token_of_a_batch,
    answers_are_cached_as_the_issuer_allows,
    a_question_of_another_server_is_not_passed_on,
);

async fn an_issuer_that_fails_leaves_tokens_unknown(store: Kind) {
    let old = OldIssuer::start();
    let (server, client) = started(store, &old).await;
    for status in [500, 401, 302, 204] {
        old.status.store(status, Ordering::SeqCst);
        for path in ["/oauth/introspect", "/oauth/revoke"] {
            let found = status_of(&server, &client, path, "unknown").await;
            assert_eq!(found, StatusCode::SERVICE_UNAVAILABLE, "{status} {path}");
        }
    }
    old.status.store(0, Ordering::SeqCst);
    until("it is asked again", async || {
        status_of(&server, &client, "/oauth/introspect", "unknown").await == StatusCode::OK
    })
    .await;
    old.knows("malformed", json!({"active": "yes"}));
    assert_eq!(
        status_of(&server, &client, "/oauth/introspect", "malformed").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    old.delay_ms.store(1200, Ordering::SeqCst);
    assert_eq!(
        status_of(&server, &client, "/oauth/introspect", "slow").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let own = server.token(&client).await;
    assert!(server.is_active(&client, &own).await, "own tokens need no other server");
    old.delay_ms.store(0, Ordering::SeqCst);
    until("it answers", async || {
        status_of(&server, &client, "/oauth/introspect", "slow").await == StatusCode::OK
    })
    .await;
    let shed = server
        .metric("oauth2_server_shed_total", &[("reason", "fallback_unavailable")])
        .await;
    assert!(shed >= Some(8.0), "{shed:?}");
}

async fn an_issuer_that_fails_affects_no_other_token_of_a_batch(store: Kind) {
    let old = OldIssuer::start();
    let (server, client) = started(store, &old).await;
    let own = server.token(&client).await;
    let junk: Vec<String> = (0..200).map(|number| format!("junk-{number}")).collect();
    let tokens = [&junk[..100], &[own], &junk[100..], &["with space".to_owned()]].concat();
    let unanswered = json!({"error": "temporarily_unavailable"});
    let check = async |why: &str| {
        let answers = server.introspect_batch(&client, &tokens).await;
        let answers = answers.as_array().unwrap();
        assert_eq!(answers[100]["active"], true, "{why}");
        assert_eq!(answers[201], json!({"active": false}), "{why}: no such token");
        let unknown = answers.iter().filter(|answer| **answer == unanswered).count();
        assert_eq!(unknown, 200, "{why}");
    };
    old.status.store(500, Ordering::SeqCst);
    check("it fails").await;
    let asked = old.asked().len();
    assert!(asked < 100, "it is not asked {asked} times while it fails");
    old.status.store(0, Ordering::SeqCst);
    until("it is asked again", async || {
        server.introspect_batch(&client, &tokens[..1]).await[0] == json!({"active": false})
    })
    .await;
    old.delay_ms.store(1100, Ordering::SeqCst);
    let answers = server.introspect_batch(&client, &tokens).await;
    let unknown = answers
        .as_array()
        .unwrap()
        .iter()
        .filter(|answer| **answer == unanswered)
        .count();
    assert_eq!((&answers[100]["active"], unknown), (&json!(true), 199), "it is slow");
}

async fn answers_are_cached_as_the_issuer_allows(store: Kind) {
    let old = OldIssuer::start();
    let (server, client) = started(store, &old).await;
    for (header, questions) in [(None, 1), (Some("private, max-age=300"), 1), (Some("no-store"), 3)] {
        *old.cache_control.lock().unwrap() = header;
        for (token, is_active) in [("known", true), ("unknown", false)] {
            let token = format!("{token} {header:?}").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            if is_active {
                old.knows(&token, active("ci"));
            }
            for _ in 0..3 {
                assert_eq!(server.is_active(&client, &token).await, is_active);
            }
            let asked = old.asked().iter().filter(|asked| **asked == token).count();
            assert_eq!(asked, questions, "{token}");
        }
    }
}

async fn a_question_of_another_server_is_not_passed_on(store: Kind) {
    let old = OldIssuer::start();
    let (server, client) = started(store, &old).await;
    old.knows("opaque", active("ci"));
    let own = server.token(&client).await;
    for (path, body) in [
        ("/oauth/introspect", "token=opaque".to_owned()),
        (
            "/oauth/introspect/batch",
            json!({"tokens": ["opaque", own]}).to_string(),
        ),
    ] {
        let kind = if path.ends_with("batch") {
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        let request = server
            .http
            .post(server.url(path))
            .header("authorization", client.basic());
        let request = request
            .header("fallback-introspection", "1")
            .header("content-type", kind);
        let answer = body_of(request.body(body).send().await.unwrap()).await;
        let answers = answer.as_array().cloned().unwrap_or_else(|| vec![answer]);
        assert_eq!(answers[0], json!({"active": false}), "{path}");
        assert!(answers.get(1).is_none_or(|own| own["active"] == true), "{path}");
    }
    assert_eq!(old.asked(), Vec::<String>::new());
    assert!(server.is_active(&client, "opaque").await);
}
