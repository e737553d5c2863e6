//! Ory Hydra 1.x and 2.x: `GET /admin/clients` and `hydra list oauth2-clients --format json`, which have no secrets, and the table
//! `hydra_client` as CSV, which has their hashes.

use serde_json::Value;

use super::draft::Draft;
use super::translator::{Translated, Translator, Verdict, each};
use super::{secret, shared, values};

const ID_FIELDS: &[&str] = &["client_id", "id"];

pub(super) const TRANSLATOR: Translator = Translator {
    tables: &["clients", "items", "hydra_client"],
    id_fields: ID_FIELDS,
    translate: |context, rows| {
        let is_table = context.export.has_lines();
        Ok(each(context, rows, ID_FIELDS, |draft, now| {
            client(draft, is_table, now)
        }))
    },
    notes: &[
        "strategies.access_token, ttl.access_token and oauth2.* are settings of the server: compare the configuration files",
        "a request without scope gets no scope from Hydra, and all scopes of the client here",
        "a request without audience gets a token without aud from Hydra, and the first audience of the client here",
    ],
};

const FOR_USERS: &str = "only for grants with a user";

const NOT_CARRIED: &[(&str, &str)] = &[
    (
        "owner",
        "no counterpart; managed_by names who describes clients in files",
    ),
    ("metadata", "no counterpart; claims are set per client with --claim"),
    ("contacts", "not kept"),
    ("client_uri", "not kept"),
    ("logo_uri", "not kept"),
    ("policy_uri", "not kept"),
    ("tos_uri", "not kept"),
    (
        "client_secret_expires_at",
        "secrets do not expire here, and Hydra does not enforce it",
    ),
    ("redirect_uris", FOR_USERS),
    ("response_types", FOR_USERS),
    ("post_logout_redirect_uris", FOR_USERS),
    ("frontchannel_logout_uri", FOR_USERS),
    ("frontchannel_logout_session_required", FOR_USERS),
    ("backchannel_logout_uri", FOR_USERS),
    ("backchannel_logout_session_required", FOR_USERS),
    ("request_uris", FOR_USERS),
    ("request_object_signing_alg", FOR_USERS),
    ("sector_identifier_uri", FOR_USERS),
    ("skip_consent", FOR_USERS),
    ("skip_logout_consent", FOR_USERS),
    (
        "allowed_cors_origins",
        "origins are allowed for the whole server: OAUTH2_SERVER_CORS_ORIGINS",
    ),
    ("jwks", "clients authenticate with secrets here"),
    ("jwks_uri", "clients authenticate with secrets here"),
    (
        "token_endpoint_auth_signing_alg",
        "clients authenticate with secrets here",
    ),
    (
        "registration_access_token_signature",
        "clients cannot change themselves here",
    ),
    ("registration_access_token", "clients cannot change themselves here"),
    ("registration_client_uri", "clients cannot change themselves here"),
    ("updated_at", "not kept"),
    ("authorization_code_grant_access_token_lifespan", FOR_USERS),
    ("authorization_code_grant_id_token_lifespan", FOR_USERS),
    ("authorization_code_grant_refresh_token_lifespan", FOR_USERS),
    ("implicit_grant_access_token_lifespan", FOR_USERS),
    ("implicit_grant_id_token_lifespan", FOR_USERS),
    (
        "jwt_bearer_grant_access_token_lifespan",
        "the grant is not supported here",
    ),
    ("password_grant_access_token_lifespan", FOR_USERS),
    ("password_grant_refresh_token_lifespan", FOR_USERS),
    ("refresh_token_grant_id_token_lifespan", FOR_USERS),
    ("refresh_token_grant_access_token_lifespan", FOR_USERS),
    ("refresh_token_grant_refresh_token_lifespan", FOR_USERS),
    ("device_authorization_grant_access_token_lifespan", FOR_USERS),
    ("device_authorization_grant_id_token_lifespan", FOR_USERS),
    ("device_authorization_grant_refresh_token_lifespan", FOR_USERS),
];

fn client(draft: &mut Draft, is_table: bool, now: i64) -> Translated {
    let grants = list(draft, is_table, "grant_types")?;
    if let Some(verdict) = shared::grants_and_auth_method(draft, &grants)? {
        return Ok(verdict);
    }
    if let Some(name) = draft.text("client_name")? {
        draft.exactly("client_name", "client_name", name);
    }
    let scope = draft.text("scope")?.unwrap_or_default();
    shared::scope(draft, "scope", scope.split_whitespace());
    let audience = list(draft, is_table, "audience")?;
    shared::audience(draft, "audience", audience, None);
    secrets(draft, is_table, now)?;
    lifetime(draft)?;
    let strategy = draft.text("access_token_strategy")?;
    match strategy.as_deref() {
            None => draft.not(
                "access_token_strategy",
                "not in the export: this server's default is used; Hydra's is strategies.access_token, opaque unless configured: use \
                 --set-default token_format=opaque or token_format=jwt",
            ),
            Some("jwt") => shared::rs256(
                draft,
                "access_token_strategy",
                "Hydra signs with RS256 unless another key set was made",
            ),
            Some("opaque") => draft.exactly("access_token_strategy", "token_format", "opaque"),
            Some(other) => draft.not("access_token_strategy", &format!("{other:?} is not jwt or opaque")),
    }
    if let Some(at) = draft.take("created_at") {
        draft.exactly("created_at", "created_at", values::time("created_at", &at)?);
    }
    // Its only other value, pairwise, concerns users. The signature of user information, too.
    for (field, default) in [("subject_type", "public"), ("userinfo_signed_response_alg", "none")] {
        if draft.text(field)?.is_some_and(|value| value != default) {
            draft.not(field, FOR_USERS);
        }
    }
    draft.not_carried(NOT_CARRIED);
    // Columns of the table that identify rows, not clients.
    for field in ["pk", "pk_deprecated", "nid"] {
        draft.take(field);
    }
    Ok(Verdict::Client)
}

/// A list. In the table it is JSON since Hydra 2.0, and was separated by `|` before.
fn list(draft: &mut Draft, is_table: bool, field: &str) -> Result<Vec<String>, String> {
    match draft.take(field) {
        Some(Value::String(text)) if is_table && !text.trim_start().starts_with('[') && text != "null" => {
            let entries = text.split('|').filter(|entry| !entry.is_empty());
            Ok(entries.map(str::to_owned).collect())
        }
        Some(value) => values::list(field, value),
        None => Ok(Vec::new()),
    }
}

/// The hash of the column `client_secret`, and the hashes of rotated secrets that still work.
fn secrets(draft: &mut Draft, is_table: bool, now: i64) -> Result<(), String> {
    if let Some(text) = draft.text("client_secret")? {
        secret::reject_mask("client_secret", &text)?;
        match secret::crypt_scheme(&text) {
            Some(scheme) => secret::hashed(draft, "client_secret", text, Some(scheme)),
            None if is_table => {
                return Err(
                    "client_secret is a hash of an unknown scheme; known are bcrypt ($2a$, $2b$, $2y$) and $pbkdf2-sha256$, $pbkdf2-sha512$, \
                     $argon2id$, $scrypt$"
                        .to_owned(),
                );
            }
            None => secret::plain(draft, "client_secret", text)?,
        }
    }
    let rotated = list(draft, is_table, "rotated_secrets")?;
    for text in &rotated {
        secret::reject_mask("rotated_secrets", text)?;
    }
    let listed = rotated
        .iter()
        .map(|text| secret::previous(text, secret::crypt_scheme(text), None));
    let listed: Vec<Value> = listed.collect();
    secret::previous_secrets(draft, "rotated_secrets", listed, now);
    Ok(())
}

fn lifetime(draft: &mut Draft) -> Result<(), String> {
    const FIELD: &str = "client_credentials_grant_access_token_lifespan";
    const NANOSECONDS: i64 = 1_000_000_000;
    let Some(text) = draft.text(FIELD)? else {
        shared::no_lifetime(draft, FIELD, "Hydra's is ttl.access_token, 1 h unless configured");
        return Ok(());
    };
    // The API writes 1h0m0s, the table nanoseconds.
    let seconds = match text.parse::<i64>() {
        Ok(nanoseconds) => (nanoseconds % NANOSECONDS == 0).then_some(nanoseconds / NANOSECONDS),
        Err(_) => values::duration(&text),
    };
    let seconds = seconds.ok_or_else(|| format!("{FIELD} must be whole seconds, such as 1h0m0s"))?;
    shared::lifetime(draft, FIELD, seconds);
    Ok(())
}
