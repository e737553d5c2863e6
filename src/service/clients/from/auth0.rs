//! Auth0: `GET /api/v2/clients` of the Management API, with `client_grants` (`GET /api/v2/client-grants`) and `resource_servers` (`GET
//! /api/v2/resource-servers`) as members of the same document or files of the same directory.

use super::draft::Draft;
use super::export::Row;
use super::translator::{Context, Outcome, Translated, Translator, Verdict, each};
use super::{secret, shared};

mod apis;

use apis::Tenant;

const ID_FIELDS: &[&str] = &["client_id"];

pub(super) const TRANSLATOR: Translator = Translator {
    tables: &["clients"],
    id_fields: ID_FIELDS,
    translate,
    notes: &[
        "sub is CLIENT_ID@clients and azp the client_id in tokens of Auth0; sub is the client_id here",
        "Actions and Rules that change tokens are code: compare tokens with migrate-check",
    ],
};

const FOR_USERS: &str = "only for grants with a user";
const NOT_KEPT: &str = "not kept";

const NOT_CARRIED: &[(&str, &str)] = &[
    ("description", NOT_KEPT),
    ("tenant", NOT_KEPT),
    ("logo_uri", NOT_KEPT),
    (
        "client_metadata",
        "no counterpart; claims are set per client with --claim",
    ),
    ("callbacks", FOR_USERS),
    ("allowed_logout_urls", FOR_USERS),
    ("allowed_clients", FOR_USERS),
    ("initiate_login_uri", FOR_USERS),
    ("oidc_logout", FOR_USERS),
    ("oidc_backchannel_logout", FOR_USERS),
    ("session_transfer", FOR_USERS),
    ("native_social_login", FOR_USERS),
    ("refresh_token", FOR_USERS),
    ("sso", FOR_USERS),
    ("sso_disabled", FOR_USERS),
    ("cross_origin_authentication", FOR_USERS),
    ("cross_origin_auth", FOR_USERS),
    ("cross_origin_loc", FOR_USERS),
    ("custom_login_page", FOR_USERS),
    ("custom_login_page_on", FOR_USERS),
    ("custom_login_page_preview", FOR_USERS),
    ("form_template", FOR_USERS),
    ("addons", FOR_USERS),
    ("mobile", FOR_USERS),
    (
        "is_token_endpoint_ip_header_trusted",
        "addresses come from proxies in OAUTH2_SERVER_TRUSTED_PROXIES",
    ),
    (
        "organization_usage",
        "there are no organizations here; a group is the nearest",
    ),
    ("organization_require_behavior", FOR_USERS),
    ("organization_discovery_methods", FOR_USERS),
    ("compliance_level", NOT_KEPT),
    ("require_pushed_authorization_requests", FOR_USERS),
    ("require_proof_of_possession", "tokens are not bound to keys here"),
    (
        "signing_keys",
        "certificates of the tenant; import keys with key import",
    ),
    (
        "client_authentication_methods",
        "clients authenticate with secrets here",
    ),
    ("signed_request_object", FOR_USERS),
    ("encryption_key", "tokens are not encrypted here"),
    (
        "token_quota",
        "set a quota with client update --quota hour=N or --quota day=N",
    ),
    ("oidc_conformant", NOT_KEPT),
    ("is_first_party", FOR_USERS),
    ("app_type", NOT_KEPT),
    (
        "jwt_configuration",
        "its lifetime and algorithm concern ID tokens; the API sets both for access tokens",
    ),
    (
        "allowed_origins",
        "origins are allowed for the whole server: OAUTH2_SERVER_CORS_ORIGINS",
    ),
    (
        "web_origins",
        "origins are allowed for the whole server: OAUTH2_SERVER_CORS_ORIGINS",
    ),
    ("rotation_type", FOR_USERS),
    ("default_organization", FOR_USERS),
    ("resource_server_identifier", NOT_KEPT),
];

fn translate(context: &mut Context<'_>, rows: Vec<Row>) -> Result<Vec<Outcome>, String> {
    let tenant = Tenant::of(context)?;
    tenant.report_orphans(context, &rows);
    Ok(each(context, rows, ID_FIELDS, |draft, _| client(draft, &tenant)))
}

fn client(draft: &mut Draft, tenant: &Tenant) -> Translated {
    if draft.flag("global")? == Some(true) {
        return Ok(Verdict::Omitted("it is the tenant's global client".to_owned()));
    }
    let grants = draft.list("grant_types")?;
    if let Some(verdict) = shared::grants_and_auth_method(draft, &grants)? {
        return Ok(verdict);
    }
    if let Some(text) = draft.text("client_secret")? {
        secret::plain(draft, "client_secret", text)?;
    }
    if let Some(name) = draft.text("name")? {
        draft.exactly("name", "client_name", name);
    }
    match &tenant.grants {
        None => draft.not("client_grants", "not in this export: scopes and audiences are missing"),
        Some(grants) => {
            let grants = grants.get(draft.client_id()).map_or(&[][..], Vec::as_slice);
            apis::carry_over(draft, tenant, grants);
        }
    }
    draft.not_carried(NOT_CARRIED);
    Ok(Verdict::Client)
}
