//! Duende `IdentityServer` 7: the tables `Clients`, `ClientSecrets`, `ClientScopes` and `ClientGrantTypes` of its configuration store,
//! optionally with `ClientClaims`, `ApiResources` and `ApiResourceScopes`, as members of one document or files of a directory; or the
//! clients of `appsettings.json`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::export::Row;
use super::side_row;
use super::translator::{Context, Outcome, Translated, Translator, Verdict, each};
use super::{secret, shared, values};

mod resources;
mod side_tables;

use resources::Resources;
use side_tables::ByClient;

const ID_FIELDS: &[&str] = &["ClientId"];

pub(super) const TRANSLATOR: Translator = Translator {
    tables: &["Clients", "IdentityServer.Clients"],
    id_fields: ID_FIELDS,
    translate,
    notes: &[
        "IProfileService and ICustomTokenRequestValidator are code: compare tokens with migrate-check",
        "scope is a list of strings in tokens of Duende IdentityServer unless EmitScopesAsSpaceDelimitedStringInJwt is set; here it is \
         one string",
    ],
};

const FOR_USERS: &str = "only for grants with a user";
const NOT_KEPT: &str = "not kept";

const NOT_CARRIED: &[(&str, &str)] = &[
    ("Description", NOT_KEPT),
    ("ClientUri", NOT_KEPT),
    ("LogoUri", NOT_KEPT),
    ("Updated", NOT_KEPT),
    ("LastAccessed", NOT_KEPT),
    ("NonEditable", NOT_KEPT),
    ("Properties", "no counterpart; claims are set per client with --claim"),
    ("RequireConsent", FOR_USERS),
    ("AllowRememberConsent", FOR_USERS),
    ("AlwaysIncludeUserClaimsInIdToken", FOR_USERS),
    ("RequirePkce", FOR_USERS),
    ("AllowPlainTextPkce", FOR_USERS),
    ("RequireRequestObject", FOR_USERS),
    ("AllowAccessTokensViaBrowser", FOR_USERS),
    ("RequireDPoP", "tokens are not bound to keys here"),
    ("DPoPValidationMode", "tokens are not bound to keys here"),
    ("DPoPClockSkew", "tokens are not bound to keys here"),
    ("RedirectUris", FOR_USERS),
    ("PostLogoutRedirectUris", FOR_USERS),
    ("FrontChannelLogoutUri", FOR_USERS),
    ("FrontChannelLogoutSessionRequired", FOR_USERS),
    ("BackChannelLogoutUri", FOR_USERS),
    ("BackChannelLogoutSessionRequired", FOR_USERS),
    ("AllowOfflineAccess", FOR_USERS),
    ("IdentityTokenLifetime", FOR_USERS),
    ("AllowedIdentityTokenSigningAlgorithms", FOR_USERS),
    ("AuthorizationCodeLifetime", FOR_USERS),
    ("ConsentLifetime", FOR_USERS),
    ("AbsoluteRefreshTokenLifetime", FOR_USERS),
    ("SlidingRefreshTokenLifetime", FOR_USERS),
    ("RefreshTokenUsage", FOR_USERS),
    ("RefreshTokenExpiration", FOR_USERS),
    ("UpdateAccessTokenClaimsOnRefresh", FOR_USERS),
    ("EnableLocalLogin", FOR_USERS),
    ("IdentityProviderRestrictions", FOR_USERS),
    ("PairWiseSubjectSalt", FOR_USERS),
    ("InitiateLoginUri", FOR_USERS),
    ("UserSsoLifetime", FOR_USERS),
    ("UserCodeType", FOR_USERS),
    ("DeviceCodeLifetime", FOR_USERS),
    ("CibaLifetime", FOR_USERS),
    ("PollingInterval", FOR_USERS),
    ("CoordinateLifetimeWithUserSession", FOR_USERS),
    ("RequirePushedAuthorization", FOR_USERS),
    ("PushedAuthorizationLifetime", FOR_USERS),
    (
        "AllowedCorsOrigins",
        "origins are allowed for the whole server: OAUTH2_SERVER_CORS_ORIGINS",
    ),
];

/// Rows of the other tables, by the key of their client.
struct Store {
    secrets: ByClient,
    scopes: ByClient,
    grants: ByClient,
    claims: ByClient,
    /// `None`: the export has no resources.
    resources: Option<Resources>,
}

fn translate(context: &mut Context<'_>, rows: Vec<Row>) -> Result<Vec<Outcome>, String> {
    let clients = side_tables::keys(&rows);
    let mut of = |table| side_tables::by_client(context, table, &clients);
    let (secrets, scopes) = (of("ClientSecrets")?, of("ClientScopes")?);
    let (grants, claims) = (of("ClientGrantTypes")?, of("ClientClaims")?);
    let store = Store {
        secrets,
        scopes,
        grants,
        claims,
        resources: Resources::of(context)?,
    };
    side_tables::require(context, &rows)?;
    Ok(each(context, rows, ID_FIELDS, |draft, now| client(draft, &store, now)))
}

/// The columns of a row of another table that are read, or that identify it.
const READ_OF_ROWS: &[&str] = &[
    "Id",
    "ClientId",
    "GrantType",
    "Scope",
    "Type",
    "Value",
    "Created",
    "Expiration",
];

/// Names the columns of rows that are not read.
fn not_carried(draft: &mut Draft, table: &str, rows: &[Value]) {
    for row in rows.iter().filter_map(Value::as_object) {
        for (name, reason) in side_row::not_carried(row, table, READ_OF_ROWS, &[("Description", NOT_KEPT)]) {
            draft.not(&name, reason);
        }
    }
}

/// The texts of a column, or of a list in `appsettings.json`.
fn texts(rows: &[Value], table: &str, column: &str) -> Result<Vec<String>, String> {
    let text = |row: &Value| row.as_str().or_else(|| row[column].as_str()).map(str::to_owned);
    let texts = rows
        .iter()
        .map(|row| text(row).ok_or_else(|| format!("{table}.{column} must be a string")));
    texts.collect()
}

fn client(draft: &mut Draft, store: &Store, now: i64) -> Translated {
    let id = draft.text("Id")?.unwrap_or_default();
    let mut rows = |table: &ByClient, own: &str| -> Result<Vec<Value>, String> {
        match draft.take(own) {
            None => Ok(table.get(&id).cloned().unwrap_or_default()),
            Some(Value::Array(rows)) => Ok(rows),
            Some(_) => Err(format!("{own} must be a list")),
        }
    };
    let (grants, scopes) = (
        rows(&store.grants, "AllowedGrantTypes")?,
        rows(&store.scopes, "AllowedScopes")?,
    );
    let (secrets_found, claims_found) = (rows(&store.secrets, "ClientSecrets")?, rows(&store.claims, "Claims")?);
    for (table, rows) in [
        ("ClientGrantTypes", &grants),
        ("ClientScopes", &scopes),
        ("ClientSecrets", &secrets_found),
        ("ClientClaims", &claims_found),
    ] {
        not_carried(draft, table, rows);
    }
    let grants = texts(&grants, "ClientGrantTypes", "GrantType")?;
    let scopes = texts(&scopes, "ClientScopes", "Scope")?;
    if let Some(protocol) = draft.text("ProtocolType")?.filter(|protocol| protocol != "oidc") {
        return Ok(Verdict::Omitted(format!("its protocol is {protocol}")));
    }
    if let Some(verdict) = shared::grants(draft, "AllowedGrantTypes", &grants) {
        return Ok(verdict);
    }
    if draft.flag("RequireClientSecret")? == Some(false) {
        draft.not("RequireClientSecret", "every client authenticates with its secret here");
    }
    if let Some(verdict) = secrets(draft, &secrets_found, now)? {
        return Ok(verdict);
    }
    if draft.flag("Enabled")? == Some(false) {
        draft.exactly("Enabled", "disabled", true);
    }
    if let Some(name) = draft.text("ClientName")? {
        draft.exactly("ClientName", "client_name", name);
    }
    if let Some(at) = draft.take("Created") {
        draft.exactly("Created", "created_at", values::time("Created", &at)?);
    }
    shared::scope(draft, "AllowedScopes", scopes.iter().map(String::as_str));
    match &store.resources {
        None => draft.not("ApiResources", "not in this export: audiences are missing"),
        Some(resources) => resources.carry_over(draft, &scopes),
    }
    let seconds = draft.integer("AccessTokenLifetime")?.unwrap_or(3600);
    shared::lifetime(draft, "AccessTokenLifetime", seconds);
    match draft.text("AccessTokenType")?.as_deref() {
        Some("1" | "Reference") => draft.exactly("AccessTokenType", "token_format", "opaque"),
        None | Some("0" | "Jwt" | "JWT") => {
            draft.exactly("AccessTokenType", "token_format", "jwt");
            draft.approximately(
                "AccessTokenType",
                "signing_alg",
                "RS256",
                "RS256 unless the server has other keys",
            );
            draft.put("token_typ", "at+jwt");
        }
        Some(_) => return Err("AccessTokenType must be 0 (Jwt) or 1 (Reference)".to_owned()),
    }
    claims(draft, &claims_found)?;
    if draft.flag("IncludeJwtId")?.is_some() {
        draft.covered("IncludeJwtId", "every token has a jti");
    }
    draft.not_carried(NOT_CARRIED);
    Ok(Verdict::Client)
}

/// Shared secrets: base64 of a SHA-256 or SHA-512. The newest is the last that was created.
fn secrets(draft: &mut Draft, rows: &[Value], now: i64) -> Result<Option<Verdict>, String> {
    const FIELD: &str = "ClientSecrets";
    let mut found: Vec<(i64, Option<i64>, Value)> = Vec::new();
    let mut has_expired = false;
    for row in rows {
        let kind = row["Type"].as_str().unwrap_or("SharedSecret");
        if kind != "SharedSecret" {
            draft.not(FIELD, &format!("secrets of type {kind} are not supported here"));
            continue;
        }
        let value = row["Value"].as_str().or(row.as_str()).unwrap_or_default();
        let time = |column: &str| match &row[column] {
            Value::Null => Ok(None),
            Value::String(text) if text.is_empty() => Ok(None),
            at => values::time(&format!("{FIELD}.{column}"), at).map(Some),
        };
        let (created, expires_at) = (time("Created")?.unwrap_or(0), time("Expiration")?);
        if expires_at.is_some_and(|at| at <= now) {
            draft.not(FIELD, "an expired secret");
            has_expired = true;
            continue;
        }
        found.push((created, expires_at, hash(value)?));
    }
    // A secret that does not expire stays the client's own.
    found.sort_by_key(|(created, expires_at, _)| (expires_at.is_none(), *created));
    let Some((_, expires_at, newest)) = found.pop() else {
        return Ok(has_expired.then(|| Verdict::Omitted("its secrets have expired".to_owned())));
    };
    if expires_at.is_some() {
        draft.not(
            "ClientSecrets.Expiration",
            "the newest secret does not expire here: rotate it with client rotate-secret",
        );
    }
    match (&newest["sha256"], newest["hash"].as_str()) {
        (Value::String(digest), _) => draft.exactly(FIELD, "client_secret_sha256", digest.clone()),
        (_, Some(text)) => secret::hashed(draft, FIELD, text.to_owned(), Some("sha512-base64")),
        _ => {}
    }
    let previous: Vec<Value> = found
        .into_iter()
        .rev()
        .map(|(_, expires_at, mut entry)| {
            if let Some(at) = expires_at {
                entry["expires_at"] = at.into();
            }
            entry
        })
        .collect();
    secret::previous_secrets(draft, FIELD, previous, now);
    Ok(None)
}

/// An entry of `previous_secrets`: the server's own hash is the SHA-256 of the secret, too.
fn hash(value: &str) -> Result<Value, String> {
    secret::reject_mask("ClientSecrets.Value", value)?;
    let digest = STANDARD.decode(value).unwrap_or_default();
    match digest.len() {
        32 => Ok(json!({ "sha256": hex::encode(digest) })),
        64 => Ok(secret::previous(value, Some("sha512-base64"), None)),
        _ => Err(
            "ClientSecrets.Value must be base64 of a SHA-256 or SHA-512, as HashedSharedSecretValidator reads it"
                .to_owned(),
        ),
    }
}

/// The claims of the client, which tokens of `client_credentials` have with a prefix.
fn claims(draft: &mut Draft, rows: &[Value]) -> Result<(), String> {
    // Empty text and null mean no prefix; a client of appsettings.json without the member has the default of the class.
    let prefix = match draft.take_as_it_is("ClientClaimsPrefix") {
        None => "client_".to_owned(),
        Some(Value::Null) => String::new(),
        Some(value) => values::text("ClientClaimsPrefix", value)?,
    };
    draft.take("AlwaysSendClientClaims");
    let mut claims = Map::new();
    for row in rows {
        let (kind, value) = (row["Type"].as_str(), &row["Value"]);
        let Some(kind) = kind.filter(|_| value.is_string()) else {
            return Err("ClientClaims must have Type and Value".to_owned());
        };
        if claims.insert(format!("{prefix}{kind}"), value.clone()).is_some() {
            draft.not(
                "ClientClaims",
                &format!("{kind} has several values; only the last was carried over"),
            );
        }
    }
    if !claims.is_empty() {
        draft.exactly("ClientClaims", "claims", Value::Object(claims));
    }
    Ok(())
}
