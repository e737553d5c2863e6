//! Clients as resources of other tools: ids that the caller chooses, `PUT`, `ETag` and `If-Match`.

use std::time::Duration;

use oauth2_testkit::{Credentials, Kind, Server, until};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::{shared, unique};

on_both_stores!(
    put_creates_and_replaces,
    put_of_an_answer_changes_nothing,
    change_of_another_version_is_rejected,
    deleted_client_is_gone,
    unchanged_client_is_not_sent_again,
    change_that_changes_nothing_is_no_version,
    condition_that_is_not_evaluated_is_rejected,
);

/// A request with a condition. Returns the status, the `ETag` and the body.
async fn send(
    server: &Server,
    method: Method,
    id: &str,
    condition: Option<(&str, &str)>,
    body: &Value,
) -> (StatusCode, Option<String>, Value) {
    let mut request = server.admin(method, &format!("/clients/{id}"));
    if let Some((header, value)) = condition {
        request = request.header(header, value);
    }
    if !body.is_null() {
        request = request.json(body);
    }
    read(request.send().await.unwrap()).await
}

async fn read(response: Response) -> (StatusCode, Option<String>, Value) {
    let tag = response
        .headers()
        .get("etag")
        .map(|tag| tag.to_str().unwrap().to_owned());
    let (status, text) = (response.status(), response.text().await.unwrap());
    (status, tag, serde_json::from_str(&text).unwrap_or_default())
}

async fn unchanged_client_is_not_sent_again(kind: Kind) {
    let server = shared(kind).await;
    let id = unique("read");
    let (_, tag, _) = send(&server, Method::PUT, &id, None, &json!({"scope": "read"})).await;
    let tag = tag.unwrap();
    let weak = format!("\"other\", W/{tag}");
    for known in [tag.as_str(), &weak, "*"] {
        let (status, again, body) = send(&server, Method::GET, &id, Some(("if-none-match", known)), &Value::Null).await;
        assert_eq!(
            (status, again.as_deref(), body),
            (StatusCode::NOT_MODIFIED, Some(&*tag), Value::Null),
            "{known}"
        );
    }
    let (status, ..) = send(
        &server,
        Method::GET,
        &id,
        Some(("if-none-match", "\"other\"")),
        &Value::Null,
    )
    .await;
    assert_eq!(status, StatusCode::OK);
}

async fn change_that_changes_nothing_is_no_version(kind: Kind) {
    let server = shared(kind).await;
    let id = unique("same");
    let (_, tag, _) = send(&server, Method::PUT, &id, None, &json!({"scope": "read"})).await;
    for (method, path, body) in [
        (Method::PATCH, id.clone(), json!({})),
        (
            Method::PATCH,
            id.clone(),
            json!({"scope": "read", "disabled": false, "client_name": null}),
        ),
        (Method::POST, format!("{id}/enable"), Value::Null),
    ] {
        let (status, same, _) = send(&server, method, &path, None, &body).await;
        assert_eq!((status, &same), (StatusCode::OK, &tag), "{path} {body}");
    }
    let (_, disabled, _) = send(&server, Method::POST, &format!("{id}/disable"), None, &Value::Null).await;
    assert_ne!(disabled, tag);
    let (_, again, _) = send(&server, Method::POST, &format!("{id}/disable"), None, &Value::Null).await;
    assert_eq!(again, disabled);
    let rows = &server.setup.audit(&["--client", &id]).await["items"];
    let actions: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["client.update", "client.create"], "{rows}");
}

/// RFC 9110 section 13.1: a method must not be performed if its condition is false.
async fn condition_that_is_not_evaluated_is_rejected(kind: Kind) {
    let server = shared(kind).await;
    let (id, group) = (unique("condition"), unique("group"));
    send(&server, Method::PUT, &id, None, &json!({"scope": "read"})).await;
    let limits = json!({"quotas": {"day": 5}});
    let set = server
        .admin(Method::PUT, &format!("/groups/{group}"))
        .json(&limits)
        .send();
    assert_eq!(set.await.unwrap().status(), StatusCode::OK);
    for (method, path) in [
        (Method::PUT, format!("/groups/{group}")),
        (Method::DELETE, format!("/groups/{group}")),
        (Method::POST, "/clients".to_owned()),
        (Method::POST, format!("/clients/{id}/rotate-secret")),
        (Method::POST, format!("/clients/{id}/tokens:revoke-all")),
        (Method::POST, "/tokens:revoke-all".to_owned()),
        (Method::POST, "/keys/rotate".to_owned()),
    ] {
        for header in ["if-match", "if-none-match"] {
            let request = server.admin(method.clone(), &path).header(header, "\"1-1\"");
            let response = request.json(&json!({"quotas": {"day": 6}})).send().await.unwrap();
            let (status, _, error) = read(response).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{method} {path}: {error}");
            assert!(
                error["error_description"].as_str().unwrap().contains("If-Match"),
                "{method} {path}: {error}"
            );
        }
    }
    let shown = server
        .admin(Method::GET, &format!("/groups/{group}"))
        .send()
        .await
        .unwrap();
    let (_, _, shown) = read(shown).await;
    assert_eq!(shown["quotas"]["day"], 5, "{shown}");
}

async fn put_creates_and_replaces(kind: Kind) {
    let server = shared(kind).await;
    let id = unique("put");
    let body = json!({"scope": "read write", "access_token_lifetime": 60, "disabled": true});
    let (status, created, client) = send(&server, Method::PUT, &id, Some(("if-none-match", "*")), &body).await;
    assert_eq!(
        (status, &client["client_id"]),
        (StatusCode::CREATED, &json!(id)),
        "{client}"
    );
    let secret = client["client_secret"].as_str().unwrap().to_owned();
    let (status, _, error) = send(&server, Method::PUT, &id, Some(("if-none-match", "*")), &body).await;
    assert_eq!(
        (status, &error["error"]),
        (StatusCode::PRECONDITION_FAILED, &json!("precondition_failed"))
    );

    // What the body leaves out is the default again.
    let (status, replaced, client) = send(&server, Method::PUT, &id, None, &json!({"scope": "read"})).await;
    assert_eq!(status, StatusCode::OK, "{client}");
    assert_eq!(
        (&client["scope"], &client["access_token_lifetime"], &client["disabled"]),
        (&json!("read"), &Value::Null, &json!(false))
    );
    assert!(client.get("client_secret").is_none() && replaced != created);
    server.token(&Credentials::new(&*id, &*secret)).await;

    let other = json!({"client_id": unique("other")});
    for (body, member) in [
        (other, "client_id"),
        (json!({"created_at": 7}), "created_at"),
        (
            json!({"client_secret": "another-secret-that-is-as-long-as-it-must-be"}),
            "client_secret",
        ),
        (json!({"scope": "\""}), "scope"),
        (json!({"scpoe": "read"}), "scpoe"),
    ] {
        let (status, _, error) = send(&server, Method::PUT, &id, None, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {error}");
        assert!(error["error_description"].as_str().unwrap().contains(member), "{error}");
    }
    let (status, _, error) = send(&server, Method::PUT, "caf%C3%A9", None, &json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "no client can have this id: {error}");
    // The caller may choose the secret, so that a response that was lost is no loss; and may repeat the request.
    let id = unique("put");
    let chosen = json!({"client_secret": "a-secret-that-is-as-long-as-it-must-be", "scope": "read"});
    let first = send(&server, Method::PUT, &id, None, &chosen).await;
    let again = send(&server, Method::PUT, &id, None, &chosen).await;
    assert_eq!((first.0, again.0), (StatusCode::CREATED, StatusCode::OK));
    assert_eq!(first.1, again.1);
    let (status, _, _) = send(
        &server,
        Method::PUT,
        &unique("absent"),
        Some(("if-match", "*")),
        &chosen,
    )
    .await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
}

async fn put_of_an_answer_changes_nothing(kind: Kind) {
    let server = shared(kind).await;
    for body in [
        json!({}),
        json!({"introspection_audiences": ["https://api.example"]}),
        json!({
            "client_name": "Everything", "scope": "read write", "token_format": "jwt", "signing_alg": "ES256",
            "token_typ": "JWT", "audience": ["https://a.example"], "introspection_audiences": ["https://r.example"],
            "token_ledger": "stateless", "access_token_lifetime": 60, "rate_limits": {"token": "5/s:9"},
            "rate_limit_mode": "observe", "quotas": {"day": 7}, "quota_mode": "observe", "reuse_percent": 50,
            "claims": {"tenant": {"id": 7}}, "grant_types": [], "disabled": true, "managed_by": "terraform",
        }),
    ] {
        let id = unique("unchanged");
        assert_eq!(
            send(&server, Method::PUT, &id, None, &body).await.0,
            StatusCode::CREATED
        );
        let (_, tag, shown) = send(&server, Method::GET, &id, None, &Value::Null).await;
        for (member, value) in body.as_object().unwrap() {
            assert_eq!(shown[member], *value, "{member}");
        }
        let condition = Some(("if-match", tag.as_deref().unwrap()));
        let (status, again, same) = send(&server, Method::PUT, &id, condition, &shown).await;
        assert_eq!((status, &again, &same), (StatusCode::OK, &tag, &shown));
        let rows = async || {
            let path = format!("/audit?client_id={id}");
            let listed = read(server.admin(Method::GET, &path).send().await.unwrap()).await.2;
            listed["items"].as_array().unwrap().len()
        };
        // Rows are held back while earlier transactions of other tests run.
        until(Duration::from_secs(10), "its creation is listed", async || {
            rows().await > 0
        })
        .await;
        assert_eq!(rows().await, 1, "only its creation");
    }
}

async fn change_of_another_version_is_rejected(kind: Kind) {
    let server = shared(kind).await;
    let id = unique("versions");
    let created = server
        .admin(Method::POST, "/clients")
        .json(&json!({"client_id": id, "scope": "a"}));
    let (status, first, _) = read(created.send().await.unwrap()).await;
    assert_eq!(status, StatusCode::CREATED);
    let first = first.unwrap();
    let current = async || send(&server, Method::GET, &id, None, &Value::Null).await.1.unwrap();
    assert_eq!(first, current().await);

    let patched = send(
        &server,
        Method::PATCH,
        &id,
        Some(("if-match", &first)),
        &json!({"scope": "b"}),
    )
    .await;
    assert_eq!(patched.0, StatusCode::OK);
    let second = patched.1.unwrap();
    assert_ne!(first, second);
    assert_eq!(second, current().await, "the response has the new version");
    for method in [Method::PATCH, Method::PUT, Method::DELETE] {
        let body = if method == Method::DELETE {
            Value::Null
        } else {
            json!({"scope": "c"})
        };
        let (status, _, error) = send(&server, method, &id, Some(("if-match", &first)), &body).await;
        assert_eq!(
            (status, &error["error"]),
            (StatusCode::PRECONDITION_FAILED, &json!("precondition_failed"))
        );
    }
    for action in ["disable", "enable"] {
        let path = format!("{id}/{action}");
        let (status, _, _) = send(&server, Method::POST, &path, Some(("if-match", &first)), &Value::Null).await;
        assert_eq!(status, StatusCode::PRECONDITION_FAILED);
        let now = current().await;
        let (status, tag, _) = send(&server, Method::POST, &path, Some(("if-match", &now)), &Value::Null).await;
        assert_eq!((status, tag.unwrap()), (StatusCode::OK, current().await));
    }
    let rotated = server
        .admin(Method::POST, &format!("/clients/{id}/rotate-secret"))
        .send()
        .await
        .unwrap();
    assert_eq!(read(rotated).await.1.unwrap(), current().await);
    for malformed in ["3-17", "\"", "*,*"] {
        let (status, _, _) = send(&server, Method::PATCH, &id, Some(("if-match", malformed)), &json!({})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{malformed}");
    }
    // Two who read the same version: one of them changes it.
    let read_by_both = current().await;
    let attempts = (0..8).map(|n| {
        let (server, id, tag) = (&server, &id, &read_by_both);
        async move {
            let body = json!({"scope": format!("s{n}")});
            send(server, Method::PUT, id, Some(("if-match", tag)), &body).await.0
        }
    });
    let statuses = futures_util::future::join_all(attempts).await;
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!(
        (count(StatusCode::OK), count(StatusCode::PRECONDITION_FAILED)),
        (1, 7),
        "{statuses:?}"
    );
}

async fn deleted_client_is_gone(kind: Kind) {
    let server = shared(kind).await;
    let id = unique("deleted");
    let (_, tag, _) = send(&server, Method::PUT, &id, None, &json!({"scope": "a"})).await;
    let tag = tag.unwrap();
    let condition = Some(("if-match", &*tag));
    assert_eq!(
        send(&server, Method::DELETE, &id, condition, &Value::Null).await.0,
        StatusCode::NO_CONTENT
    );
    for method in [Method::GET, Method::DELETE, Method::PATCH] {
        assert_eq!(
            send(&server, method, &id, None, &Value::Null).await.0,
            StatusCode::NOT_FOUND
        );
    }
    assert_eq!(
        send(&server, Method::DELETE, &id, condition, &Value::Null).await.0,
        StatusCode::NOT_FOUND
    );
    // Another client with its id is another version.
    let (status, again, _) = send(&server, Method::PUT, &id, None, &json!({"scope": "a"})).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_ne!(again.clone().unwrap(), tag);
    let shown = send(&server, Method::GET, &id, None, &Value::Null).await.1;
    assert_eq!(
        shown, again,
        "the response of a creation has the version that is stored"
    );
    assert_eq!(
        send(&server, Method::DELETE, &id, condition, &Value::Null).await.0,
        StatusCode::PRECONDITION_FAILED
    );
}
