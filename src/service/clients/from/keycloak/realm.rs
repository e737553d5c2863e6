//! Settings of a realm that apply to all of its clients.

use std::collections::HashMap;

use serde_json::Value;

use crate::service::clients::from::side_row::SideRow;
use crate::service::clients::from::translator::Context;
use crate::service::clients::from::values;

/// The settings of the realm that hold for its clients.
pub(super) struct Realm {
    pub(super) lifetime: Option<i64>,
    pub(super) algorithm: String,
    /// The client scopes, by name.
    pub(super) scopes: HashMap<String, ClientScope>,
}

pub(super) struct ClientScope {
    pub(super) is_in_tokens: bool,
    pub(super) mappers: Vec<Value>,
}

impl Realm {
    pub(super) fn of(context: &Context<'_>) -> Result<Self, String> {
        let member = |name| context.export.member(name).filter(|value| !value.is_null());
        let scopes = context.export.table(&["clientScopes"])?.unwrap_or_default();
        let lifetime = member("accessTokenLifespan").map(|value| values::integer("accessTokenLifespan", value));
        let algorithm = member("defaultSignatureAlgorithm").cloned();
        let algorithm = algorithm.map(|value| values::text("defaultSignatureAlgorithm", value));
        Ok(Self {
            lifetime: lifetime.transpose()?,
            algorithm: algorithm
                .transpose()?
                .filter(|algorithm| !algorithm.is_empty())
                .unwrap_or_else(|| "RS256".to_owned()),
            scopes: scopes.iter().map(ClientScope::of).collect::<Result<_, _>>()?,
        })
    }
}

impl ClientScope {
    /// The name, and the settings.
    fn of(row: &SideRow<'_>) -> Result<(String, Self), String> {
        const IN_TOKENS: &str = "include.in.token.scope";
        let attributes = row.object("attributes")?;
        let is_in_tokens = match attributes.get(IN_TOKENS) {
            None | Some(Value::Null) => true,
            Some(value) => values::flag(IN_TOKENS, value).map_err(|error| row.error(&error))?,
        };
        let scope = Self {
            is_in_tokens,
            mappers: row.objects("protocolMappers")?,
        };
        Ok((row.required("name")?, scope))
    }
}
