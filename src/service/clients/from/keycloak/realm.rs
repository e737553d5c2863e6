//! Settings of a realm that apply to all of its clients.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::service::clients::from::translator::Context;

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
    pub(super) fn of(context: &Context<'_>) -> Self {
        let member = |name| context.export.member(name);
        let scopes = context.export.table(&["clientScopes"]).unwrap_or_default();
        let scope = |scope: &&Map<String, Value>| {
            let name = scope.get("name")?.as_str()?.to_owned();
            let attributes = scope.get("attributes");
            let included = attributes.and_then(|attributes| attributes.get("include.in.token.scope"));
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
