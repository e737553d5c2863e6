//! Protocol mappers of a client and of its scopes: audiences and constant claims have a counterpart.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::realm::Realm;
use crate::service::clients::from::draft::Draft;
use crate::service::clients::from::{shared, values};
use crate::tokens::claims::RESERVED_CLAIMS;
use crate::tokens::unique_json::Unique;

const ATTRIBUTE: &str = "oidc-usermodel-attribute-mapper";
/// Earlier versions read fields of users so.
const PROPERTY: &str = "oidc-usermodel-property-mapper";
const NOTE: &str = "oidc-usersessionmodel-note-mapper";
const REALM_ROLES: &str = "oidc-usermodel-realm-role-mapper";

/// A client scope that every realm has: its name, and the names and the kinds of its mappers.
type BuiltIn = (&'static str, &'static [&'static str], &'static [&'static str]);

/// The mappers of these scopes. They concern users, or claims that the notes and the page name.
const BUILT_IN: &[BuiltIn] = &[
    ("acr", &["acr loa level"], &["oidc-acr-mapper"]),
    ("address", &["address"], &["oidc-address-mapper"]),
    ("basic", &["auth_time", "sub"], &[NOTE, "oidc-sub-mapper"]),
    ("email", &["email", "email verified"], &[ATTRIBUTE, PROPERTY]),
    (
        "microprofile-jwt",
        &["upn", "groups"],
        &[ATTRIBUTE, PROPERTY, REALM_ROLES],
    ),
    (
        "organization",
        &["organization"],
        &["oidc-organization-membership-mapper"],
    ),
    ("phone", &["phone number", "phone number verified"], &[ATTRIBUTE]),
    (
        "profile",
        &[
            "birthdate",
            "family name",
            "full name",
            "gender",
            "given name",
            "locale",
            "middle name",
            "nickname",
            "picture",
            "profile",
            "updated at",
            "username",
            "website",
            "zoneinfo",
        ],
        &[ATTRIBUTE, PROPERTY, "oidc-full-name-mapper"],
    ),
    (
        "roles",
        &["audience resolve", "client roles", "realm roles"],
        &[
            "oidc-audience-resolve-mapper",
            "oidc-usermodel-client-role-mapper",
            REALM_ROLES,
        ],
    ),
    (
        "service_account",
        &["Client Host", "Client ID", "Client IP Address"],
        &[NOTE],
    ),
    (
        "web-origins",
        &["allowed web origins"],
        &["oidc-allowed-origins-mapper"],
    ),
];

/// The members of a mapper's `config` that are read.
const CONFIG: [&str; 6] = [
    "access.token.claim",
    "included.client.audience",
    "included.custom.audience",
    "claim.name",
    "claim.value",
    "jsonType.label",
];

/// Where a mapper is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place<'a> {
    Client,
    DefaultScope(&'a str),
    OptionalScope(&'a str),
}

impl Place<'_> {
    fn field(self, name: &str) -> String {
        match self {
            Self::Client => format!("protocolMappers {name}"),
            Self::DefaultScope(scope) | Self::OptionalScope(scope) => {
                format!("protocolMappers {name} (client scope {scope})")
            }
        }
    }

    fn is_built_in(self, name: &str, kind: &str) -> bool {
        let (Self::DefaultScope(scope) | Self::OptionalScope(scope)) = self else {
            return false;
        };
        BUILT_IN
            .iter()
            .any(|(known, names, kinds)| *known == scope && names.contains(&name) && kinds.contains(&kind))
    }
}

/// Audiences and claims that mappers of the client, of its default and of its optional scopes add to tokens.
pub(super) fn carry_over(
    draft: &mut Draft,
    realm: &Realm,
    default: &[String],
    optional: &[String],
) -> Result<(), String> {
    let own = match draft.take("protocolMappers") {
        Some(Value::Array(mappers)) if mappers.iter().all(Value::is_object) => mappers,
        Some(_) => return Err("protocolMappers must be a list of objects".to_owned()),
        None => Vec::new(),
    };
    let of_scopes = default.iter().map(|name| Place::DefaultScope(name));
    let of_scopes = of_scopes.chain(optional.iter().map(|name| Place::OptionalScope(name)));
    let of_scopes = of_scopes.flat_map(|place| {
        let mappers = match place {
            Place::Client => None,
            Place::DefaultScope(name) | Place::OptionalScope(name) => realm.scopes.get(name),
        };
        let mappers = mappers.map_or(&[][..], |scope| &scope.mappers);
        mappers.iter().map(move |mapper| (place, mapper))
    });
    let (mut audience, mut claims): (Vec<String>, _) = (Vec::new(), Map::new());
    let mut is_of_optional = false;
    for (place, mapper) in own.iter().map(|mapper| (Place::Client, mapper)).chain(of_scopes) {
        let name = mapper["name"].as_str().unwrap_or("?");
        // Keycloak writes texts; a tool may have made `false` of one.
        let value = |key: &str| match &mapper["config"][key] {
            Value::Null => Ok(String::new()),
            Value::Bool(flag) => Ok(flag.to_string()),
            other => values::text(&format!("{}: {key}", place.field(name)), other.clone()),
        };
        let mut config = HashMap::new();
        for key in CONFIG {
            config.insert(key, value(key)?);
        }
        let config = |key: &str| config.get(key).map_or("", String::as_str);
        let kind = mapper["protocolMapper"].as_str().unwrap_or_default();
        if config("access.token.claim") == "false" || place.is_built_in(name, kind) {
            continue;
        }
        let is_optional = matches!(place, Place::OptionalScope(_));
        match kind {
            "oidc-audience-mapper" => {
                let named = ["included.client.audience", "included.custom.audience"].map(config);
                for named in named.into_iter().filter(|named| !named.is_empty()) {
                    if !audience.iter().any(|known| known == named) {
                        audience.push(named.to_owned());
                    }
                }
            }
            "oidc-hardcoded-claim-mapper" => {
                match hardcoded(config("claim.name"), config("claim.value"), config("jsonType.label")) {
                    Ok((claim, value)) => {
                        is_of_optional |= is_optional;
                        claims.insert(claim, value);
                    }
                    Err(reason) => draft.not(&place.field(name), reason),
                }
            }
            other => draft.not(&place.field(name), &format!("{other} has no counterpart")),
        }
    }
    let reason = "a token has one audience here, the requested one or else the first; Keycloak names the audiences of all its scopes";
    shared::audience(draft, "protocolMappers oidc-audience-mapper", audience, Some(reason));
    let field = "protocolMappers oidc-hardcoded-claim-mapper";
    if is_of_optional {
        let reason = "claims of optional client scopes are in every token here";
        draft.approximately(field, "claims", Value::Object(claims), reason);
    } else if !claims.is_empty() {
        draft.exactly(field, "claims", Value::Object(claims));
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
        "JSON" => serde_json::from_str(value)
            .map(|Unique(value)| value)
            .map_err(|error| error.to_string()),
        _ => Ok(value.into()),
    };
    let value = typed.map_err(|_| "its value is not of its type")?;
    Ok((name.replace("\\.", "."), value))
}
