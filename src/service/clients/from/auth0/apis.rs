//! Access of Auth0 clients to APIs: client grants, and the settings of the APIs.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::service::clients::from::draft::Draft;
use crate::service::clients::from::translator::Context;
use crate::service::clients::from::{shared, values};

const UNKNOWN: &str = "unknown to this version; check what it does";
const NO_ORGANIZATIONS: &str = "there are no organizations here; a group is the nearest";
const NO_DETAILS: &str = "authorization details are not supported here";
const LIFETIME: &str = "resource_servers.token_lifetime";
const DEFAULT_LIFETIME: &str = "that of an API of Auth0 is 24 h unless configured";

/// Fields of a grant that are read, or that identify it.
const READ_OF_GRANTS: [&str; 7] = [
    "id",
    "client_id",
    "audience",
    "scope",
    "subject_type",
    "allow_all_scopes",
    "is_system",
];

/// Fields of an API that are read, that identify it, or that concern users only.
const READ_OF_APIS: [&str; 12] = [
    "id",
    "name",
    "identifier",
    "scopes",
    "signing_alg",
    "token_lifetime",
    "token_lifetime_for_web",
    "token_dialect",
    "allow_offline_access",
    "skip_consent_for_verifiable_first_party_clients",
    "is_system",
    "subject_type_authorization",
];

/// Settings without a counterpart.
const NOT_CARRIED: [(&str, &str); 8] = [
    ("organization_usage", NO_ORGANIZATIONS),
    ("allow_any_organization", NO_ORGANIZATIONS),
    ("authorization_details_types", NO_DETAILS),
    ("authorization_details", NO_DETAILS),
    ("token_encryption", "tokens are not encrypted here"),
    (
        "enforce_policies",
        "there are no roles and permissions here: give scopes instead",
    ),
    ("proof_of_possession", "tokens are not bound to keys here"),
    (
        "signing_secret",
        "the secret of HS256 is that of this server: OAUTH2_JWT_SECRET",
    ),
];

/// The access of a client to an API.
pub(super) struct Grant {
    audience: String,
    scope: Vec<String>,
    allows_all_scopes: bool,
    /// Settings without a counterpart, and why.
    not_carried: Vec<(String, &'static str)>,
}

/// The settings of an API.
struct Api {
    lifetime: Option<i64>,
    algorithm: Option<String>,
    dialect: String,
    scopes: Vec<String>,
    not_carried: Vec<(String, &'static str)>,
}

pub(super) struct Tenant {
    /// By client; `None`: the export has no grants.
    pub(super) grants: Option<HashMap<String, Vec<Grant>>>,
    /// Clients with grants to act for users.
    acting_for_users: HashSet<String>,
    /// By identifier.
    apis: HashMap<String, Api>,
}

fn text_of(row: &Map<String, Value>, field: &str) -> Option<String> {
    row.get(field)?.as_str().map(str::to_owned)
}

fn not_carried(row: &Map<String, Value>, table: &str, read: &[&str]) -> Vec<(String, &'static str)> {
    let fields = row
        .iter()
        .filter(|(name, value)| !read.contains(&name.as_str()) && values::is_set(value));
    let reason = |name: &str| {
        let known = NOT_CARRIED.iter().find(|(known, _)| *known == name);
        known.map_or(UNKNOWN, |(_, reason)| *reason)
    };
    fields
        .map(|(name, _)| (format!("{table}.{name}"), reason(name)))
        .collect()
}

impl Grant {
    fn of(row: &Map<String, Value>) -> Option<(String, Self)> {
        let scope = row.get("scope").and_then(Value::as_array).into_iter().flatten();
        let mut not_carried = not_carried(row, "client_grants", &READ_OF_GRANTS);
        // Organizations that are denied do not exist here either.
        if row.get("organization_usage").is_some_and(|usage| usage == "deny") {
            not_carried.retain(|(name, _)| name != "client_grants.organization_usage");
        }
        let grant = Self {
            audience: text_of(row, "audience")?,
            scope: scope.filter_map(Value::as_str).map(str::to_owned).collect(),
            allows_all_scopes: row.get("allow_all_scopes") == Some(&Value::Bool(true)),
            not_carried,
        };
        Some((text_of(row, "client_id")?, grant))
    }

    fn is_of_users(row: &Map<String, Value>) -> bool {
        row.get("subject_type").is_some_and(|kind| kind == "user")
    }
}

impl Api {
    fn of(row: &Map<String, Value>) -> Option<(String, Self)> {
        let scopes = row.get("scopes").and_then(Value::as_array).into_iter().flatten();
        let scopes = scopes.filter_map(|scope| scope.get("value")?.as_str().map(str::to_owned));
        let api = Self {
            lifetime: row.get("token_lifetime").and_then(Value::as_i64),
            algorithm: text_of(row, "signing_alg"),
            dialect: text_of(row, "token_dialect").unwrap_or_default(),
            scopes: scopes.collect(),
            not_carried: not_carried(row, "resource_servers", &READ_OF_APIS),
        };
        Some((text_of(row, "identifier")?, api))
    }
}

impl Tenant {
    pub(super) fn of(context: &Context<'_>) -> Self {
        let mut acting_for_users = HashSet::new();
        let grants = context.export.table(&["client_grants", "clientGrants"]).map(|rows| {
            let mut grants: HashMap<String, Vec<Grant>> = HashMap::new();
            for row in rows {
                let Some((client, grant)) = Grant::of(row) else {
                    continue;
                };
                if Grant::is_of_users(row) {
                    acting_for_users.insert(client);
                    continue;
                }
                grants.entry(client).or_default().push(grant);
            }
            grants
        });
        let apis = context
            .export
            .table(&["resource_servers", "resourceServers"])
            .unwrap_or_default();
        Self {
            grants,
            acting_for_users,
            apis: apis.into_iter().filter_map(Api::of).collect(),
        }
    }
}

/// Carries over what the grants of a client and the APIs that they name say.
pub(super) fn carry_over(draft: &mut Draft, tenant: &Tenant, grants: &[Grant]) {
    let (mut audience, mut scopes): (Vec<String>, Vec<&str>) = (Vec::new(), Vec::new());
    if tenant.acting_for_users.contains(draft.client_id()) {
        draft.not(
            "client_grants.subject_type",
            "grants to act for users are not supported here",
        );
    }
    for grant in grants {
        if !audience.contains(&grant.audience) {
            audience.push(grant.audience.clone());
        }
        scopes.extend(grant.scope.iter().map(String::as_str));
        if grant.allows_all_scopes {
            match tenant.apis.get(&grant.audience) {
                Some(api) => scopes.extend(api.scopes.iter().map(String::as_str)),
                None => draft.not(
                    "client_grants.allow_all_scopes",
                    "the API is not in this export: its scopes are missing",
                ),
            }
        }
        for (name, reason) in &grant.not_carried {
            draft.not(name, reason);
        }
    }
    shared::scope(draft, "client_grants.scope", scopes);
    if audience.len() > 1 {
        draft.not(
            "client_grants",
            "scopes per audience: a token for one audience can have scopes of another here",
        );
    }
    let apis: Vec<&Api> = audience
        .iter()
        .filter_map(|audience| tenant.apis.get(audience))
        .collect();
    let first = audience.first().and_then(|audience| tenant.apis.get(audience));
    shared::audience(draft, "client_grants.audience", audience, None);
    for (name, reason) in apis.iter().flat_map(|api| &api.not_carried) {
        draft.not(name, reason);
    }
    let Some(api) = first else {
        shared::rs256(
            draft,
            "(format of tokens)",
            "RS256 is what Auth0 uses unless the API says otherwise",
        );
        shared::no_lifetime(draft, LIFETIME, DEFAULT_LIFETIME);
        return;
    };
    settings(draft, api);
    if apis.iter().any(|other| other.lifetime != api.lifetime) {
        draft.not(LIFETIME, "a client has one lifetime here, that of its first API");
    }
}

/// The format and lifetime of tokens for the first API of a client.
fn settings(draft: &mut Draft, api: &Api) {
    const ALGORITHM: &str = "resource_servers.signing_alg";
    match api.lifetime {
        Some(seconds) => shared::lifetime(draft, LIFETIME, seconds),
        None => shared::no_lifetime(draft, LIFETIME, DEFAULT_LIFETIME),
    }
    draft.put("token_format", "jwt");
    let is_rfc_9068 = api.dialect.starts_with("rfc9068");
    draft.put("token_typ", if is_rfc_9068 { "at+jwt" } else { "JWT" });
    if api.dialect.ends_with("_authz") {
        draft.not(
            "resource_servers.token_dialect",
            "the claim permissions is absent here: give scopes instead",
        );
    }
    let algorithm = api.algorithm.as_deref().unwrap_or("RS256");
    if algorithm == "HS256" {
        let reason = "the secret is that of this server, not the API's";
        draft.approximately(ALGORITHM, "signing_alg", algorithm, reason);
    } else {
        draft.exactly(ALGORITHM, "signing_alg", algorithm);
    }
}
