//! Keycloak 26: a realm as `kc.sh export` or the admin console's partial export writes it, or the list of `GET
//! /admin/realms/REALM/clients`.

use super::draft::Draft;
use super::export::Row;
use super::translator::{Context, Outcome, Translated, Translator, Verdict, each};
use super::{secret, shared};

pub(super) mod files;
mod mappers;
mod realm;

use realm::Realm;

const ID_FIELDS: &[&str] = &["clientId"];

pub(super) const TRANSLATOR: Translator = Translator {
    tables: &["clients"],
    id_fields: ID_FIELDS,
    translate,
    notes: &[
        "sub is the id of a service account's user in Keycloak, and the client_id here",
        "roles of service accounts (realm_access, resource_access) are not in the clients of an export: give scopes instead",
        "optional client scopes are granted to requests without scope: remove scopes that a client must ask for",
        "iss changes unless the new issuer has the URL of the realm",
    ],
};

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
    ("attributes.client.secret.rotated.creation.time", NOT_KEPT),
    ("attributes.pkce.code.challenge.method", FOR_USERS),
    ("attributes.jwks.url", "clients authenticate with secrets here"),
    ("attributes.use.jwks.url", "clients authenticate with secrets here"),
];

fn translate(context: &mut Context<'_>, rows: Vec<Row>) -> Result<Vec<Outcome>, String> {
    files::reject_realms(&rows)?;
    let realm = Realm::of(context)?;
    Ok(each(context, rows, ID_FIELDS, |draft, now| client(draft, &realm, now)))
}

fn client(draft: &mut Draft, realm: &Realm, now: i64) -> Translated {
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
    if let Some(verdict) = secrets(draft, now)? {
        return Ok(verdict);
    }
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
    mappers::carry_over(draft, realm, &default_scopes, &optional_scopes)?;
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

fn secrets(draft: &mut Draft, now: i64) -> Result<Option<Verdict>, String> {
    const EXPIRES_AT: &str = "attributes.client.secret.expiration.time";
    const ROTATED: &str = "attributes.client.secret.rotated";
    const ROTATED_UNTIL: &str = "attributes.client.secret.rotated.expiration.time";
    let (newest, rotated, until) = (
        draft.text("secret")?,
        draft.text(ROTATED)?,
        draft.integer(ROTATED_UNTIL)?,
    );
    if newest.as_ref().is_some_and(|secret| secret.starts_with("${vault.")) {
        return Err("its secret is in a vault; write it into the export".to_owned());
    }
    for (field, secret) in [("secret", &newest), (ROTATED, &rotated)] {
        let found = secret
            .as_ref()
            .map_or(Ok(()), |secret| secret::reject_mask(field, secret));
        found.map_err(|problem| {
            format!(
                "{problem}; the admin console exports masks: kc.sh export --realm REALM --file FILE writes secrets in clear"
            )
        })?;
    }
    if let Some(at) = draft.integer(EXPIRES_AT)?.filter(|at| *at > 0) {
        if at <= now {
            return Ok(Some(Verdict::Omitted("its secret has expired".to_owned())));
        }
        draft.not(
            EXPIRES_AT,
            "secrets do not expire here: rotate it with client rotate-secret",
        );
    }
    if let Some(newest) = newest {
        secret::plain(draft, "secret", newest)?;
    }
    if until.is_some_and(|until| until <= now) && rotated.is_some() {
        draft.not(ROTATED, "an expired secret");
    } else if let Some(rotated) = rotated {
        let list = vec![secret::previous_plain(draft, ROTATED, &rotated, until)?];
        secret::previous_secrets(draft, ROTATED, list, now);
    }
    Ok(None)
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
        (None, None) => shared::no_lifetime(
            draft,
            "accessTokenLifespan (realm)",
            "that of a realm is 5 min unless configured",
        ),
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
    let reason = "Keycloak adds default scopes to every token and optional ones on request; here a request without scope gets all of them, \
                  and a request with a scope only what it names";
    shared::scope_because(draft, field, carried, reason);
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
