//! Spring Authorization Server 1.x and 7.x: the table `oauth2_registered_client` as CSV or JSON.

use serde_json::Value;

use super::draft::Draft;
use super::translator::{Translated, Translator, Verdict, each};
use super::{secret, shared, values};

const ID_FIELDS: &[&str] = &["client_id"];

pub(super) const TRANSLATOR: Translator = Translator {
    tables: &["oauth2_registered_client"],
    id_fields: ID_FIELDS,
    translate: |context, rows| Ok(each(context, rows, ID_FIELDS, client)),
    notes: &[
        "beans of the application, such as OAuth2TokenCustomizer and JWKSource, are code: compare tokens with migrate-check",
        "a request without scope gets no scope from Spring Authorization Server, and all scopes of the client here",
    ],
};

const FOR_USERS: &str = "only for grants with a user";
const SECRETS_ONLY: &str = "clients authenticate with secrets here";
const CLIENT: &str = "client_settings.settings.client.";
const TOKEN: &str = "token_settings.settings.token.";

const NOT_CARRIED: &[(&str, &str)] = &[
    ("redirect_uris", FOR_USERS),
    ("post_logout_redirect_uris", FOR_USERS),
    ("client_settings.settings.client.require-proof-key", FOR_USERS),
    (
        "client_settings.settings.client.require-authorization-consent",
        FOR_USERS,
    ),
    ("client_settings.settings.client.jwk-set-url", SECRETS_ONLY),
    (
        "client_settings.settings.client.token-endpoint-authentication-signing-algorithm",
        SECRETS_ONLY,
    ),
    (
        "client_settings.settings.client.x509-certificate-subject-dn",
        SECRETS_ONLY,
    ),
    (
        "token_settings.settings.token.x509-certificate-bound-access-tokens",
        "tokens are not bound to certificates here",
    ),
    ("token_settings.settings.token.reuse-refresh-tokens", FOR_USERS),
    ("token_settings.settings.token.refresh-token-time-to-live", FOR_USERS),
    (
        "token_settings.settings.token.authorization-code-time-to-live",
        FOR_USERS,
    ),
    ("token_settings.settings.token.device-code-time-to-live", FOR_USERS),
    ("token_settings.settings.token.id-token-signature-algorithm", FOR_USERS),
];

fn client(draft: &mut Draft, now: i64) -> Translated {
    let grants = draft.list("authorization_grant_types")?;
    if let Some(verdict) = shared::grants(draft, "authorization_grant_types", &grants) {
        return Ok(verdict);
    }
    let methods = draft.list("client_authentication_methods")?;
    let method = methods
        .iter()
        .find(|method| method.starts_with("client_secret_") && *method != "client_secret_jwt");
    let method = method.or(methods.first()).map(String::as_str);
    if let Some(verdict) = shared::auth_method(draft, "client_authentication_methods", method) {
        return Ok(verdict);
    }
    for other in methods
        .iter()
        .filter(|name| !matches!(&***name, "client_secret_basic" | "client_secret_post"))
    {
        draft.not(
            "client_authentication_methods",
            &format!("{other} is not supported here"),
        );
    }
    if let Some(at) = draft.take("client_secret_expires_at") {
        if values::time("client_secret_expires_at", &at)? <= now {
            return Ok(Verdict::Omitted("its secret has expired".to_owned()));
        }
        draft.not(
            "client_secret_expires_at",
            "secrets do not expire here: rotate it with client rotate-secret",
        );
    }
    if let Some(text) = draft.text("client_secret")? {
        secret::spring(draft, "client_secret", text)?;
    }
    if let Some(name) = draft.text("client_name")? {
        draft.exactly("client_name", "client_name", name);
    }
    if let Some(at) = draft.take("client_id_issued_at") {
        draft.exactly(
            "client_id_issued_at",
            "created_at",
            values::time("client_id_issued_at", &at)?,
        );
    }
    let scopes = draft.list("scopes")?;
    shared::scope(draft, "scopes", scopes.iter().map(String::as_str));
    draft.flatten("client_settings")?;
    draft.flatten("token_settings")?;
    tokens(draft)?;
    draft.not_carried(NOT_CARRIED);
    // The row's id, and the Java class that wrote the settings.
    for field in ["id", "client_settings.@class", "token_settings.@class"] {
        draft.take(field);
    }
    draft.not_carried_below(CLIENT, "a setting of the application");
    Ok(Verdict::Client)
}

fn tokens(draft: &mut Draft) -> Result<(), String> {
    let field = format!("{TOKEN}access-token-time-to-live");
    if let Some(value) = draft.take(&field) {
        shared::lifetime(draft, &field, seconds(&field, &value)?);
    } else {
        shared::no_lifetime(draft, &field, "that of Spring Authorization Server is 5 min");
    }
    let field = format!("{TOKEN}access-token-format");
    let format = draft.take(&field);
    let format = format.as_ref().map(|value| value.get("value").unwrap_or(value));
    match format.map(|value| value.as_str().unwrap_or_default()) {
        Some("reference") => draft.exactly(&field, "token_format", "opaque"),
        Some("self-contained") | None => {
            shared::rs256(
                draft,
                &field,
                "the algorithm of the application's JWKSource; RS256 unless it has other keys",
            );
            // The type of the header is the application's, too, and absent by default.
            let id = draft.client_id().to_owned();
            if !id.contains(':') {
                let reason = "aud is the client_id unless the application customizes it";
                shared::audience(draft, "client_id", vec![id], Some(reason));
            }
        }
        Some(_) => return Err(format!("{field} must be self-contained or reference")),
    }
    Ok(())
}

/// A duration as Jackson writes it: seconds, `["java.time.Duration", 300.000000000]`, or ISO 8601.
fn seconds(field: &str, value: &Value) -> Result<i64, String> {
    let inner = match value {
        Value::Array(pair) => pair.get(1).unwrap_or(value),
        other => other,
    };
    let seconds = match inner {
        Value::Number(number) => number
            .as_f64()
            .filter(|seconds| seconds.fract() == 0.0)
            .map(|seconds| seconds as i64),
        Value::String(text) => text.parse().ok().or_else(|| values::duration(text)),
        _ => None,
    };
    seconds.ok_or_else(|| format!("{field} must be a duration of whole seconds"))
}
