//! A client as its commands show it.

use oauth2_actors::model::Client;
use serde::Serialize;
use serde_json::Value;

use crate::cli::{Json, output};
use crate::failure::Failure;
use crate::oauth::view::ClientView;

pub(super) fn show(client: &Client, secret: Option<&str>, json: Json) -> Result<(), Failure> {
    if json.json {
        return output::json(&ClientView::new(client, secret));
    }
    let list = |uris: &[std::sync::Arc<str>]| output::or_dash((!uris.is_empty()).then(|| uris.join(" ")));
    let grants: Vec<_> = client.grant_types.iter().map(|grant| grant.as_str()).collect();
    let policy = client.policy();
    let mut fields = vec![("client_id", client.client_id.to_string())];
    fields.extend(secret.map(|secret| ("client_secret", format!("{secret}  (shown this once)"))));
    fields.extend([
        ("client_name", output::or_dash(client.client_name.as_deref())),
        ("grant_types", grants.join(" ")),
        (
            "scope",
            output::or_dash(Some(&*client.scope).filter(|scope| !scope.is_empty())),
        ),
        ("token_format", output::or_default(client.token_format)),
        ("signing_alg", output::or_default(client.signing_alg)),
        ("audience", list(&client.audience)),
        ("resource_server", list(&client.resource_server)),
        ("token_ledger", output::or_default(client.token_ledger)),
        (
            "access_token_lifetime",
            output::or_default(client.access_token_lifetime),
        ),
        ("rate_limits", members(&policy.rate_limits)),
        ("rate_limit_mode", output::or_default(policy.rate_limit_mode)),
        ("quotas", members(&policy.quotas)),
        ("quota_mode", output::or_default(policy.quota_mode)),
        ("reuse_percent", output::or_dash(policy.reuse_percent)),
        ("claims", members(&policy.claims)),
        ("disabled", client.disabled.to_string()),
        ("created_at", output::date(client.created_at)),
    ]);
    output::fields(&fields)
}

/// The members of an object as `name=value`, `-` where there are none.
fn members(object: &impl Serialize) -> String {
    let Ok(Value::Object(members)) = serde_json::to_value(object) else {
        return "-".to_owned();
    };
    let member = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    };
    let shown: Vec<_> = members.iter().map(member).collect();
    output::or_dash((!shown.is_empty()).then(|| shown.join(" ")))
}
