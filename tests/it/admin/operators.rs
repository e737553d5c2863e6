//! Operators with access tokens.

use oauth2_testkit::Kind;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::call;
use crate::shared;

on_both_stores!(operator_that_lost_its_scope_audience_or_grant_is_rejected);

/// What a client may do is judged by the client as it is now, not by the token it got before.
async fn operator_that_lost_its_scope_audience_or_grant_is_rejected(kind: Kind) {
    let server = shared(kind).await;
    let list = async |token: &str| {
        let request = server
            .http
            .get(server.management_url("/admin/v1/keys"))
            .bearer_auth(token);
        request.send().await.unwrap().status()
    };
    for (change, expected) in [
        (json!({"scope": "read"}), StatusCode::FORBIDDEN),
        (json!({"audience": ["https://api.example"]}), StatusCode::UNAUTHORIZED),
        (json!({"grant_types": []}), StatusCode::UNAUTHORIZED),
    ] {
        for format in ["paseto", "jwt", "opaque"] {
            let operator = server
                .register(json!({"scope": "oauth2.admin read", "token_format": format}))
                .await;
            let token = server.token(&operator).await;
            assert_eq!(list(&token).await, StatusCode::OK);
            let (status, body) = call(
                &server,
                Method::PATCH,
                &format!("/clients/{}", operator.id),
                change.clone(),
            )
            .await;
            assert_eq!(status, StatusCode::OK, "{body}");
            assert_eq!(list(&token).await, expected, "{format} {change}");
        }
    }
}
