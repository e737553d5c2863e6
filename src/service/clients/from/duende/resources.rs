//! API resources of Duende `IdentityServer`, which are the audiences of tokens with their scopes.

use std::collections::HashMap;

use crate::service::clients::from::draft::Draft;
use crate::service::clients::from::shared;
use crate::service::clients::from::side_row::{self, NotCarried, SideRow};
use crate::service::clients::from::translator::Context;

const NOT_KEPT: &str = "not kept";

/// Columns of resources that are read, or that identify them.
const READ: [&str; 4] = ["Id", "Name", "Enabled", "RequireResourceIndicator"];

/// Columns without a counterpart.
const NOT_CARRIED: [(&str, &str); 8] = [
    ("DisplayName", NOT_KEPT),
    ("Description", NOT_KEPT),
    ("ShowInDiscoveryDocument", NOT_KEPT),
    ("Created", NOT_KEPT),
    ("Updated", NOT_KEPT),
    ("LastAccessed", NOT_KEPT),
    ("NonEditable", NOT_KEPT),
    (
        "AllowedAccessTokenSigningAlgorithms",
        "the algorithm is a setting of the client here: use --set signing_alg",
    ),
];

/// A resource.
struct Resource {
    name: String,
    is_enabled: bool,
    /// Whether only a request that names it with `resource` gets a token for it.
    needs_indicator: bool,
    not_carried: Vec<NotCarried>,
}

impl Resource {
    /// The key, and the resource.
    fn of(row: &SideRow<'_>) -> Result<(String, Self), String> {
        let resource = Self {
            name: row.required("Name")?,
            is_enabled: row.flag("Enabled")? != Some(false),
            needs_indicator: row.flag("RequireResourceIndicator")? == Some(true),
            not_carried: side_row::not_carried(row.members, "ApiResources", &READ, &NOT_CARRIED),
        };
        Ok((row.required("Id")?, resource))
    }
}

/// The resources.
pub(super) struct Resources {
    by_key: HashMap<String, Resource>,
    /// The keys of the resources that have a scope, and columns of their rows without a counterpart.
    by_scope: HashMap<String, Vec<(String, Vec<NotCarried>)>>,
}

impl Resources {
    /// `None`: the export has no resources, or not their scopes.
    pub(super) fn of(context: &Context<'_>) -> Result<Option<Self>, String> {
        let (Some(resources), Some(scopes)) = (
            context.export.table(&["ApiResources"])?,
            context.export.table(&["ApiResourceScopes"])?,
        ) else {
            return Ok(None);
        };
        let mut by_scope: HashMap<String, Vec<_>> = HashMap::new();
        for row in scopes {
            let read = ["Id", "ApiResourceId", "Scope"];
            let not_carried = side_row::not_carried(row.members, "ApiResourceScopes", &read, &[]);
            let of_scope = by_scope.entry(row.required("Scope")?).or_default();
            of_scope.push((row.required("ApiResourceId")?, not_carried));
        }
        Ok(Some(Self {
            by_key: resources.iter().map(Resource::of).collect::<Result<_, _>>()?,
            by_scope,
        }))
    }

    /// Carries over the audiences that follow from the scopes of a client.
    pub(super) fn carry_over(&self, draft: &mut Draft, scopes: &[String]) {
        let (mut audience, mut indicated): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for (key, not_carried) in scopes.iter().filter_map(|scope| self.by_scope.get(scope)).flatten() {
            let Some(resource) = self.by_key.get(key) else {
                draft.not("ApiResourceScopes.ApiResourceId", "the resource is not in this export");
                continue;
            };
            let Resource { name, .. } = resource;
            if !resource.is_enabled {
                draft.not(
                    "ApiResources.Enabled",
                    &format!("{name} is disabled, so it is no audience"),
                );
                continue;
            }
            for (field, reason) in not_carried.iter().chain(&resource.not_carried) {
                draft.not(field, reason);
            }
            if resource.needs_indicator {
                let reason = format!(
                    "{name} is the audience only of requests that name it there; here it follows the other audiences"
                );
                draft.not("ApiResources.RequireResourceIndicator", &reason);
            }
            let list = if resource.needs_indicator {
                &mut indicated
            } else {
                &mut audience
            };
            if !list.contains(name) {
                list.push(name.clone());
            }
        }
        audience.extend(indicated);
        let reason = "a token has one audience here, the requested one or else the first; Duende IdentityServer names the resources of all \
                      its scopes";
        shared::audience(draft, "ApiResourceScopes", audience, Some(reason));
    }
}
