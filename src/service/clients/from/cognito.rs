//! Amazon Cognito: the outputs of `aws cognito-idp describe-user-pool-client`, one after the other or as a list, with `ResourceServers`
//! (`list-resource-servers`) as a member of the same document or a file of the same directory.

use serde_json::{Value, json};

use super::draft::Draft;
use super::export::Row;
use super::side_row::SideRow;
use super::translator::{Context, Outcome, Translated, Translator, Verdict, each};
use super::{secret, shared, values};

/// The members of a client, and the wrapper around each.
const ID_FIELDS: &[&str] = &["ClientId", "UserPoolClient"];

pub(super) const TRANSLATOR: Translator = Translator {
    tables: &["UserPoolClients", "user_pool_clients", "clients"],
    id_fields: ID_FIELDS,
    translate,
    notes: &[
        "access tokens of Cognito have no aud; here aud is the client's audience, or else the issuer",
        "version and origin_jti have no counterpart; token_use is set as a claim",
    ],
};

const FOR_USERS: &str = "only for grants with a user";

const NOT_CARRIED: &[(&str, &str)] = &[
    ("UserPoolId", "not kept"),
    ("LastModifiedDate", "not kept"),
    ("RefreshTokenValidity", FOR_USERS),
    ("IdTokenValidity", FOR_USERS),
    ("TokenValidityUnits.IdToken", FOR_USERS),
    ("TokenValidityUnits.RefreshToken", FOR_USERS),
    ("ReadAttributes", FOR_USERS),
    ("WriteAttributes", FOR_USERS),
    ("ExplicitAuthFlows", FOR_USERS),
    ("SupportedIdentityProviders", FOR_USERS),
    ("CallbackURLs", FOR_USERS),
    ("LogoutURLs", FOR_USERS),
    ("DefaultRedirectURI", FOR_USERS),
    ("PreventUserExistenceErrors", FOR_USERS),
    ("AuthSessionValidity", FOR_USERS),
    ("EnablePropagateAdditionalUserContextData", FOR_USERS),
    ("RefreshTokenRotation", FOR_USERS),
    ("AnalyticsConfiguration", "there is no export of analytics"),
];

fn translate(context: &mut Context<'_>, rows: Vec<Row>) -> Result<Vec<Outcome>, String> {
    let servers = context.export.table(&["ResourceServers", "resource_servers"])?;
    let identifier = |server: SideRow<'_>| server.required("Identifier");
    let known = servers.map(|servers| servers.into_iter().map(identifier).collect::<Result<Vec<_>, _>>());
    let known = known.transpose()?;
    let rows = rows
        .into_iter()
        .map(|(position, mut row)| match row.remove("UserPoolClient") {
            Some(Value::Object(client)) => (position, client),
            _ => (position, row),
        });
    Ok(each(context, rows.collect(), &["ClientId"], |draft, _| {
        client(draft, known.as_deref())
    }))
}

fn client(draft: &mut Draft, servers: Option<&[String]>) -> Translated {
    let grants = draft.list("AllowedOAuthFlows")?;
    if draft.flag("AllowedOAuthFlowsUserPoolClient")? == Some(false) {
        return Ok(Verdict::Omitted(
            "its OAuth flows are switched off (AllowedOAuthFlowsUserPoolClient)".to_owned(),
        ));
    }
    if let Some(verdict) = shared::grants(draft, "AllowedOAuthFlows", &grants) {
        return Ok(verdict);
    }
    let Some(text) = draft.text("ClientSecret")? else {
        return Ok(Verdict::Omitted("it has no secret".to_owned()));
    };
    secret::plain(draft, "ClientSecret", text)?;
    if let Some(name) = draft.text("ClientName")? {
        draft.exactly("ClientName", "client_name", name);
    }
    if let Some(at) = draft.take("CreationDate") {
        draft.exactly("CreationDate", "created_at", values::time("CreationDate", &at)?);
    }
    let scopes = draft.list("AllowedOAuthScopes")?;
    let of_servers = scopes.iter().filter(|scope| scope.contains('/')).map(String::as_str);
    shared::scope(draft, "AllowedOAuthScopes", of_servers);
    for other in scopes.iter().filter(|scope| !scope.contains('/')) {
        draft.not("AllowedOAuthScopes", &format!("{other} concerns users"));
    }
    if let Some(servers) = servers {
        let is_known = |scope: &String| {
            let server = scope.rsplit_once('/').map(|(server, _)| server);
            server.is_none_or(|server| servers.iter().any(|known| known == server))
        };
        for scope in scopes.iter().filter(|scope| !is_known(scope)) {
            draft.not(
                "AllowedOAuthScopes",
                &format!("{scope} belongs to no resource server of the export"),
            );
        }
    }
    lifetime(draft)?;
    shared::rs256(
        draft,
        "(format of tokens)",
        "Cognito signs with RS256; its header has no typ",
    );
    draft.exactly("(claim token_use)", "claims", json!({ "token_use": "access" }));
    if draft.flag("EnableTokenRevocation")? == Some(true) {
        draft.covered("EnableTokenRevocation", "every token can be revoked");
    }
    draft.not_carried(NOT_CARRIED);
    Ok(Verdict::Client)
}

fn lifetime(draft: &mut Draft) -> Result<(), String> {
    const HOUR: i64 = 3600;
    draft.flatten("TokenValidityUnits")?;
    let unit = match draft.text("TokenValidityUnits.AccessToken")?.as_deref() {
        None | Some("hours") => HOUR,
        Some("seconds") => 1,
        Some("minutes") => 60,
        Some("days") => 24 * HOUR,
        Some(_) => return Err("TokenValidityUnits.AccessToken must be seconds, minutes, hours or days".to_owned()),
    };
    let count = draft.integer("AccessTokenValidity")?.filter(|count| *count > 0);
    let seconds = count.map_or(Some(HOUR), |count| count.checked_mul(unit));
    let seconds = seconds.ok_or("AccessTokenValidity is too large")?;
    shared::lifetime(draft, "AccessTokenValidity", seconds);
    Ok(())
}
