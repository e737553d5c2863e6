//! node-oidc-provider 8 and 9: the static `clients` of its configuration as JSON, or the clients of an adapter: a list of rows with
//! `payload`, or an object of clients by key.

use super::draft::Draft;
use super::export::Row;
use super::translator::{Context, Outcome, Translated, Translator, Verdict, each};
use super::{secret, shared, values};

const ID_FIELDS: &[&str] = &["client_id"];

pub(super) const TRANSLATOR: Translator = Translator {
    tables: &["clients", "Client"],
    id_fields: ID_FIELDS,
    translate: |context, rows| Ok(translate(context, rows)),
    notes: &[
        "audiences, formats, lifetimes and algorithms of tokens are in features.resourceIndicators and ttl of the provider's code: set \
         them with client import --set",
        "a request without scope gets no scope from node-oidc-provider, and all scopes of the client here",
    ],
};

const FOR_USERS: &str = "only for grants with a user";
const SECRETS_ONLY: &str = "clients authenticate with secrets here";

const NOT_CARRIED: &[(&str, &str)] = &[
    ("client_uri", "not kept"),
    ("logo_uri", "not kept"),
    ("policy_uri", "not kept"),
    ("tos_uri", "not kept"),
    ("contacts", "not kept"),
    ("redirect_uris", FOR_USERS),
    ("response_types", FOR_USERS),
    ("response_modes", FOR_USERS),
    ("post_logout_redirect_uris", FOR_USERS),
    ("initiate_login_uri", FOR_USERS),
    ("application_type", FOR_USERS),
    ("default_acr_values", FOR_USERS),
    ("default_max_age", FOR_USERS),
    ("require_auth_time", FOR_USERS),
    ("subject_type", FOR_USERS),
    ("sector_identifier_uri", FOR_USERS),
    ("id_token_signed_response_alg", FOR_USERS),
    ("userinfo_signed_response_alg", FOR_USERS),
    ("authorization_signed_response_alg", FOR_USERS),
    ("request_object_signing_alg", FOR_USERS),
    ("require_signed_request_object", FOR_USERS),
    ("require_pushed_authorization_requests", FOR_USERS),
    ("backchannel_logout_uri", FOR_USERS),
    ("backchannel_logout_session_required", FOR_USERS),
    ("jwks", SECRETS_ONLY),
    ("jwks_uri", SECRETS_ONLY),
    ("token_endpoint_auth_signing_alg", SECRETS_ONLY),
    (
        "introspection_signed_response_alg",
        "answers of introspection are not signed here",
    ),
    ("dpop_bound_access_tokens", "tokens are not bound to keys here"),
    (
        "tls_client_certificate_bound_access_tokens",
        "tokens are not bound to certificates here",
    ),
    (
        "authorization_details_types",
        "authorization details are not supported here",
    ),
];

fn translate(context: &mut Context<'_>, rows: Vec<Row>) -> Vec<Outcome> {
    each(context, rows.into_iter().map(unwrapped).collect(), ID_FIELDS, client)
}

/// The client within a row of an adapter.
fn unwrapped((position, mut row): Row) -> Row {
    for name in ["payload", "data"] {
        if !row.contains_key("client_id")
            && let Some(Ok(client)) = row.remove(name).map(|value| values::object(name, value))
        {
            return (position, client);
        }
    }
    (position, row)
}

fn client(draft: &mut Draft, now: i64) -> Translated {
    let mut grants = draft.list("grant_types")?;
    if grants.is_empty() {
        // The provider's default.
        grants.push("authorization_code".to_owned());
    }
    if let Some(verdict) = shared::grants_and_auth_method(draft, &grants)? {
        return Ok(verdict);
    }
    if let Some(at) = draft.integer("client_secret_expires_at")?.filter(|at| *at != 0) {
        if at <= now {
            return Ok(Verdict::Omitted("its secret has expired".to_owned()));
        }
        draft.not(
            "client_secret_expires_at",
            "secrets do not expire here: rotate it with client rotate-secret",
        );
    }
    if let Some(text) = draft.text("client_secret")? {
        secret::plain(draft, "client_secret", text)?;
    }
    if let Some(name) = draft.text("client_name")? {
        draft.exactly("client_name", "client_name", name);
    }
    let scope = draft.text("scope")?.unwrap_or_default();
    shared::scope(draft, "scope", scope.split_whitespace());
    if let Some(at) = draft.integer("client_id_issued_at")? {
        draft.exactly("client_id_issued_at", "created_at", at);
    }
    draft.not_carried(NOT_CARRIED);
    Ok(Verdict::Client)
}
