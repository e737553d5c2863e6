//! Keycloak 26: a realm as `kc.sh export` or the admin console's partial export writes it, or the list of `GET
//! /admin/realms/REALM/clients`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::draft::Draft;
use super::export::Row;
use super::translator::{Context, Outcome, Translated, Translator, Verdict, each};
use super::{secret, shared, values};
use crate::tokens::claims::RESERVED_CLAIMS;

const ID_FIELDS: &[&str] = &["clientId"];

pub(super) const TRANSLATOR: Translator = Translator {
    tables: &["clients"],
    id_fields: ID_FIELDS,
    translate,
    notes: &[
        "sub is the id of a service account's user in Keycloak, and the client_id here",
        "roles of service accounts (realm_access, resource_access) are not in the clients of an export: give scopes instead",
        "iss changes unless the new issuer has the URL of the realm",
    ],
};

/// What the admin console writes instead of a secret.
const MASKED: &str = "**********";

const FOR_USERS: &str = "only for grants with a user";
const NOT_KEPT: &str = "not kept";

const NOT_CARRIED: &[(&str, &str)] = &[
    ("description", NOT_KEPT),
    ("rootUrl", NOT_KEPT),
    ("adminUrl", NOT_KEPT),
    ("baseUrl", NOT_KEPT),
    ("redirectUris", FOR_USERS),
    (
        "webOrigins",
        "origins are allowed for the whole server: OAUTH2_SERVER_CORS_ORIGINS",
    ),
    (
        "notBefore",
        "revoke the tokens of the client with token revoke --client",
    ),
    ("consentRequired", FOR_USERS),
    ("frontchannelLogout", FOR_USERS),
    ("fullScopeAllowed", "roles are no claims here"),
    ("surrogateAuthRequired", FOR_USERS),
    ("alwaysDisplayInConsole", FOR_USERS),
    ("authenticationFlowBindingOverrides", FOR_USERS),
    ("registrationAccessToken", "clients cannot change themselves here"),
    ("registeredNodes", NOT_KEPT),
    (
        "authorizationServicesEnabled",
        "there are no authorization services here",
    ),
    ("authorizationSettings", "there are no authorization services here"),
    ("defaultRoles", "roles are no claims here"),
    ("attributes.use.refresh.tokens", FOR_USERS),
    (
        "attributes.client_credentials.use_refresh_token",
        "client credentials get no refresh token",
    ),
    (
        "attributes.tls.client.certificate.bound.access.tokens",
        "tokens are not bound to certificates here",
    ),
    (
        "attributes.dpop.bound.access.tokens",
        "tokens are not bound to keys here",
    ),
    (
        "attributes.client.use.lightweight.access.token.enabled",
        "claims of roles and users are not in tokens here",
    ),
    ("attributes.backchannel.logout.session.required", FOR_USERS),
    ("attributes.backchannel.logout.url", FOR_USERS),
    ("attributes.backchannel.logout.revoke.offline.tokens", FOR_USERS),
    ("attributes.post.logout.redirect.uris", FOR_USERS),
    ("attributes.oauth2.device.authorization.grant.enabled", FOR_USERS),
    ("attributes.oidc.ciba.grant.enabled", FOR_USERS),
    ("attributes.display.on.consent.screen", FOR_USERS),
    ("attributes.acr.loa.map", FOR_USERS),
    ("attributes.require.pushed.authorization.requests", FOR_USERS),
    (
        "attributes.standard.token.exchange.enabled",
        "the grant is not supported here",
    ),
    ("attributes.login_theme", FOR_USERS),
    ("attributes.realm_client", NOT_KEPT),
    ("attributes.client.secret.creation.time", NOT_KEPT),
    (
        "attributes.client.secret.expiration.time",
        "secrets do not expire here: rotate it with client rotate-secret",
    ),
    ("attributes.client.secret.rotated.creation.time", NOT_KEPT),
    ("attributes.pkce.code.challenge.method", FOR_USERS),
    ("attributes.jwks.url", "clients authenticate with secrets here"),
    ("attributes.use.jwks.url", "clients authenticate with secrets here"),
];

/// The settings of the realm that hold for its clients.
struct Realm {
    lifetime: Option<i64>,
    algorithm: String,
    /// The client scopes, by name.
    scopes: HashMap<String, ClientScope>,
}

struct ClientScope {
    is_in_tokens: bool,
    mappers: Vec<Value>,
}

fn translate(context: &mut Context<'_>, rows: Vec<Row>) -> Vec<Outcome> {
    let realm = Realm::of(context);
    each(context, rows, ID_FIELDS, |draft, _| client(draft, &realm))
}

impl Realm {
    fn of(context: &Context<'_>) -> Self {
        let member = |name| context.export.member(name);
        let scopes = context.export.table(&["clientScopes"]).unwrap_or_default();
        let scope = |scope: &&Map<String, Value>| {
            let name = scope.get("name")?.as_str()?.to_owned();
            let included = scope.get("attributes")?.get("include.in.token.scope");
            let mappers = scope.get("protocolMappers").and_then(Value::as_array);
            let scope = ClientScope {
                is_in_tokens: included.and_then(Value::as_str) != Some("false"),
                mappers: mappers.cloned().unwrap_or_default(),
            };
            Some((name, scope))
        };
        Self {
            lifetime: member("accessTokenLifespan").and_then(Value::as_i64),
            algorithm: member("defaultSignatureAlgorithm")
                .and_then(Value::as_str)
                .filter(|algorithm| !algorithm.is_empty())
                .unwrap_or("RS256")
                .to_owned(),
            scopes: scopes.iter().filter_map(scope).collect(),
        }
    }
}

fn client(draft: &mut Draft, realm: &Realm) -> Translated {
    let protocol = draft.text("protocol")?;
    if let Some(protocol) = protocol.filter(|protocol| protocol != "openid-connect") {
        return Ok(Verdict::Omitted(format!("its protocol is {protocol}")));
    }
    if draft.flag("bearerOnly")? == Some(true) {
        let reason =
            "it is bearer-only and requests no tokens; create it with --introspection-audience if it introspects";
        return Ok(Verdict::Omitted(reason.to_owned()));
    }
    if draft.flag("publicClient")? == Some(true) {
        return Ok(Verdict::Omitted(
            "it is a public client; only clients with a secret are supported here".to_owned(),
        ));
    }
    let grants = grants(draft)?;
    if let Some(verdict) = shared::grants(draft, "serviceAccountsEnabled", &grants) {
        return Ok(verdict);
    }
    let method = draft.text("clientAuthenticatorType")?;
    if let Some(method) = method.filter(|method| method != "client-secret") {
        return Ok(Verdict::Omitted(format!(
            "it authenticates with {method}; only secrets are supported here"
        )));
    }
    draft.flatten("attributes")?;
    secrets(draft)?;
    if let Some(name) = draft.text("name")? {
        draft.exactly("name", "client_name", name);
    }
    if draft.flag("enabled")? == Some(false) {
        draft.exactly("enabled", "disabled", true);
    }
    tokens(draft, realm)?;
    let default_scopes = draft.list("defaultClientScopes")?;
    let optional_scopes = draft.list("optionalClientScopes")?;
    scopes(draft, realm, &default_scopes, &optional_scopes);
    mappers(draft, realm, &default_scopes)?;
    draft.not_carried(NOT_CARRIED);
    draft.not_carried_below("attributes.saml", "the client does not use SAML");
    // How the admin API sees the caller, the row's id, and a period that -1 switches off.
    for field in ["access", "id", "nodeReRegistrationTimeout"] {
        draft.take(field);
    }
    Ok(Verdict::Client)
}

/// The grants that the switches of a client stand for.
fn grants(draft: &mut Draft) -> Result<Vec<String>, String> {
    const SWITCHES: [(&str, &str); 5] = [
        ("serviceAccountsEnabled", "client_credentials"),
        ("standardFlowEnabled", "authorization_code"),
        ("implicitFlowEnabled", "implicit"),
        ("directAccessGrantsEnabled", "password"),
        ("directGrantsOnly", "password"),
    ];
    let mut grants = Vec::new();
    for (field, grant) in SWITCHES {
        if draft.flag(field)? == Some(true) {
            grants.push(grant.to_owned());
        }
    }
    Ok(grants)
}

fn secrets(draft: &mut Draft) -> Result<(), String> {
    const ROTATED: &str = "attributes.client.secret.rotated";
    const ROTATED_UNTIL: &str = "attributes.client.secret.rotated.expiration.time";
    let (newest, rotated, until) = (
        draft.text("secret")?,
        draft.text(ROTATED)?,
        draft.integer(ROTATED_UNTIL)?,
    );
    if [&newest, &rotated].into_iter().flatten().any(|secret| secret == MASKED) {
        return Err(format!(
            "its secret is masked ({MASKED}), as the admin console exports it; export the realm with kc.sh export --realm REALM --file \
             FILE, which writes secrets in clear"
        ));
    }
    if newest.as_ref().is_some_and(|secret| secret.starts_with("${vault.")) {
        return Err("its secret is in a vault; write it into the export".to_owned());
    }
    if let Some(newest) = newest {
        secret::plain(draft, "secret", newest);
    }
    if let Some(rotated) = rotated {
        let list = vec![secret::previous(&rotated, Some("plain"), until)];
        draft.exactly(ROTATED, "previous_secrets", list);
    }
    Ok(())
}

fn tokens(draft: &mut Draft, realm: &Realm) -> Result<(), String> {
    const LIFETIME: &str = "attributes.access.token.lifespan";
    const ALGORITHM: &str = "attributes.access.token.signed.response.alg";
    const RFC_9068: &str = "attributes.access.token.header.type.rfc9068";
    draft.put("token_format", "jwt");
    let typ = if draft.flag(RFC_9068)? == Some(true) {
        "at+jwt"
    } else {
        "JWT"
    };
    draft.put("token_typ", typ);
    match (draft.integer(LIFETIME)?.filter(|seconds| *seconds > 0), realm.lifetime) {
        (Some(seconds), _) => shared::lifetime(draft, LIFETIME, seconds),
        (None, Some(seconds)) => shared::lifetime(draft, "accessTokenLifespan (realm)", seconds),
        (None, None) => {}
    }
    match draft.text(ALGORITHM)? {
        Some(own) => draft.exactly(ALGORITHM, "signing_alg", own),
        None => draft.exactly(
            "defaultSignatureAlgorithm (realm)",
            "signing_alg",
            realm.algorithm.clone(),
        ),
    }
    Ok(())
}

fn scopes(draft: &mut Draft, realm: &Realm, default: &[String], optional: &[String]) {
    let is_in_tokens = |name: &&String| realm.scopes.get(*name).is_none_or(|scope| scope.is_in_tokens);
    let carried = default.iter().chain(optional).filter(is_in_tokens).map(String::as_str);
    let field = "defaultClientScopes, optionalClientScopes";
    shared::scope(draft, field, carried);
    if !default.iter().chain(optional).all(|name| is_in_tokens(&name)) {
        draft.not(field, "scopes with include.in.token.scope=false are in no token");
    }
    if realm.scopes.is_empty() && !default.is_empty() {
        draft.not(
            "clientScopes",
            "not in this export: remove scopes that tokens do not name, and check mappers of scopes",
        );
    }
}

/// Audiences and claims that mappers of the client and of its default scopes add to every token.
fn mappers(draft: &mut Draft, realm: &Realm, default: &[String]) -> Result<(), String> {
    let own = match draft.take("protocolMappers") {
        Some(Value::Array(mappers)) => mappers,
        Some(_) => return Err("protocolMappers must be a list".to_owned()),
        None => Vec::new(),
    };
    let of_scopes = default.iter().filter_map(|name| realm.scopes.get(name));
    let of_scopes = of_scopes.flat_map(|scope| scope.mappers.iter().map(|mapper| (mapper, true)));
    let (mut audience, mut claims) = (Vec::new(), Map::new());
    for (mapper, is_of_scope) in own.iter().map(|mapper| (mapper, false)).chain(of_scopes) {
        let name = mapper["name"].as_str().unwrap_or("?");
        let config = |key: &str| mapper["config"][key].as_str().unwrap_or_default();
        if config("access.token.claim") == "false" {
            continue;
        }
        let field = format!("protocolMappers {name}");
        match mapper["protocolMapper"].as_str().unwrap_or_default() {
            "oidc-audience-mapper" => {
                let named = ["included.client.audience", "included.custom.audience"].map(config);
                audience.extend(named.into_iter().filter(|name| !name.is_empty()).map(str::to_owned));
            }
            "oidc-hardcoded-claim-mapper" => {
                match hardcoded(config("claim.name"), config("claim.value"), config("jsonType.label")) {
                    Ok((claim, value)) => drop(claims.insert(claim, value)),
                    Err(reason) => draft.not(&field, reason),
                }
            }
            // Of users, in every realm.
            _ if is_of_scope => {}
            other => draft.not(&field, &format!("{other} has no counterpart")),
        }
    }
    audience.dedup();
    let reason = "a token has one audience here, the requested one or else the first; Keycloak names all of them";
    shared::audience(draft, "protocolMappers oidc-audience-mapper", audience, Some(reason));
    if !claims.is_empty() {
        draft.exactly(
            "protocolMappers oidc-hardcoded-claim-mapper",
            "claims",
            Value::Object(claims),
        );
    }
    Ok(())
}

fn hardcoded(name: &str, value: &str, kind: &str) -> Result<(String, Value), &'static str> {
    if RESERVED_CLAIMS.contains(&name) {
        return Err("the server sets this claim");
    }
    // A dot nests; a dot with a backslash before it does not.
    if name.replace("\\.", "").contains('.') {
        return Err("a claim within a claim has no counterpart");
    }
    let typed = match kind {
        "int" | "long" => values::integer("claim.value", &value.into()).map(Value::from),
        "boolean" => values::flag("claim.value", &value.into()).map(Value::from),
        "JSON" => serde_json::from_str(value).map_err(|error| error.to_string()),
        _ => Ok(value.into()),
    };
    let value = typed.map_err(|_| "its value is not of its type")?;
    Ok((name.replace("\\.", "."), value))
}
