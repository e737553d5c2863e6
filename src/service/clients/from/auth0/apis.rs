//! Access of Auth0 clients to APIs: client grants, and the settings of the APIs.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::service::clients::from::draft::Draft;
use crate::service::clients::from::export::Row;
use crate::service::clients::from::report::Carried;
use crate::service::clients::from::shared;
use crate::service::clients::from::side_row::{self, NotCarried, SideRow};
use crate::service::clients::from::translator::Context;

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
    not_carried: Vec<NotCarried>,
}

/// The settings of an API.
struct Api {
    lifetime: Option<i64>,
    algorithm: Option<String>,
    dialect: String,
    scopes: Vec<String>,
    not_carried: Vec<NotCarried>,
}

pub(super) struct Tenant {
    /// By client; `None`: the export has no grants.
    pub(super) grants: Option<HashMap<String, Vec<Grant>>>,
    /// Clients with grants to act for users.
    acting_for_users: HashSet<String>,
    /// By identifier.
    apis: HashMap<String, Api>,
}

impl Grant {
    /// The client, and its access.
    fn of(row: &SideRow<'_>) -> Result<(String, Self), String> {
        let mut not_carried = side_row::not_carried(row.members, "client_grants", &READ_OF_GRANTS, &NOT_CARRIED);
        // Organizations that are denied do not exist here either.
        if row.text("organization_usage")?.as_deref() == Some("deny") {
            not_carried.retain(|(name, _)| name != "client_grants.organization_usage");
        }
        let grant = Self {
            audience: row.required("audience")?,
            scope: row.list("scope")?,
            allows_all_scopes: row.flag("allow_all_scopes")? == Some(true),
            not_carried,
        };
        Ok((row.required("client_id")?, grant))
    }
}

impl Api {
    /// The identifier, and the settings.
    fn of(row: &SideRow<'_>) -> Result<(String, Self), String> {
        let mut scopes = Vec::new();
        for scope in row.objects("scopes")? {
            let value = scope["value"].as_str();
            scopes.push(
                value
                    .ok_or_else(|| row.error("scopes must have value, a string"))?
                    .to_owned(),
            );
        }
        let api = Self {
            lifetime: row.integer("token_lifetime")?,
            algorithm: row.text("signing_alg")?,
            dialect: row.text("token_dialect")?.unwrap_or_default(),
            scopes,
            not_carried: side_row::not_carried(row.members, "resource_servers", &READ_OF_APIS, &NOT_CARRIED),
        };
        Ok((row.required("identifier")?, api))
    }
}

impl Tenant {
    pub(super) fn of(context: &Context<'_>) -> Result<Self, String> {
        let mut acting_for_users = HashSet::new();
        let mut grants: HashMap<String, Vec<Grant>> = HashMap::new();
        let rows = context.export.table(&["client_grants", "clientGrants"])?;
        for row in rows.as_deref().unwrap_or_default() {
            let (client, grant) = Grant::of(row)?;
            if row.text("subject_type")?.as_deref() == Some("user") {
                acting_for_users.insert(client);
            } else {
                grants.entry(client).or_default().push(grant);
            }
        }
        let apis = context.export.table(&["resource_servers", "resourceServers"])?;
        Ok(Self {
            grants: rows.map(|_| grants),
            acting_for_users,
            apis: apis.unwrap_or_default().iter().map(Api::of).collect::<Result<_, _>>()?,
        })
    }

    /// Reports grants of clients that the export does not have.
    pub(super) fn report_orphans(&self, context: &mut Context<'_>, clients: &[Row]) {
        const REASON: &str =
            "a grant of a client that is not in the export: check that it has all pages of the clients";
        let id = |(_, members): &Row| members.get("client_id")?.as_str().map(str::to_owned);
        let known: HashSet<String> = clients.iter().filter_map(id).collect();
        let named = self.grants.iter().flat_map(HashMap::keys).chain(&self.acting_for_users);
        let orphans: BTreeSet<&String> = named.filter(|client| !known.contains(*client)).collect();
        for client in orphans {
            context
                .report
                .add(client, "client_grants", None, Carried::Not, Some(REASON));
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
