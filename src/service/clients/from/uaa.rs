//! Cloud Foundry UAA: `GET /oauth/clients`, which has no secrets, and the table `oauth_client_details` as CSV, which has their
//! hashes, two of them while a secret is being changed.

use serde_json::Value;

use super::draft::Draft;
use super::translator::{Translated, Translator, Verdict, each};
use super::{secret, shared};

const ID_FIELDS: &[&str] = &["client_id"];

pub(super) const TRANSLATOR: Translator = Translator {
    tables: &["resources", "oauth_client_details"],
    id_fields: ID_FIELDS,
    translate: |context, rows| Ok(each(context, rows, ID_FIELDS, client)),
    notes: &[
        "jwt.token.policy and the keys are settings of the identity zone: compare uaa.yml; tokens are RS256 with one audience here",
        "a client of UAA may ask for an opaque token with token_format=opaque; here the format is a setting of the client",
    ],
};

const FOR_USERS: &str = "only for grants with a user";

const NOT_CARRIED: &[(&str, &str)] = &[
    ("redirect_uri", FOR_USERS),
    ("web_server_redirect_uri", FOR_USERS),
    ("autoapprove", FOR_USERS),
    ("refresh_token_validity", FOR_USERS),
    ("approvals_deleted", FOR_USERS),
    ("allowedproviders", FOR_USERS),
    ("required_user_groups", FOR_USERS),
    (
        "resource_ids",
        "UAA does not use it for client_credentials: aud follows from the authorities",
    ),
    ("signup_redirect_url", FOR_USERS),
    ("change_email_redirect_url", FOR_USERS),
    ("show_on_home_page", "not kept"),
    ("app_launch_url", "not kept"),
    ("app_icon", "not kept"),
    ("created_by", "not kept"),
    ("createdwith", "not kept"),
    ("lastModified", "not kept"),
    ("lastmodified", "not kept"),
    ("jwks", "clients authenticate with secrets here"),
    ("jwks_uri", "clients authenticate with secrets here"),
    ("client_jwt_config", "clients authenticate with secrets here"),
    ("token_salt", "a client's tokens are revoked with token revoke --client"),
];

/// Additional information that is written into the same object as fields of other clients.
const ADDITIONAL: &str = "additional_information";

fn client(draft: &mut Draft, now: i64) -> Translated {
    let grants = draft.list("authorized_grant_types")?;
    if let Some(verdict) = shared::grants(draft, "authorized_grant_types", &grants) {
        return Ok(verdict);
    }
    draft.flatten(ADDITIONAL)?;
    if let Some(text) = draft.text("client_secret")? {
        secrets(draft, &text, now)?;
    }
    for field in ["name", "additional_information.name"] {
        if let Some(name) = draft.text(field)? {
            draft.exactly(field, "client_name", name);
        }
    }
    let authorities = draft.list("authorities")?;
    // UAA's name for "nothing".
    let authorities: Vec<&str> = authorities
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "uaa.none")
        .collect();
    shared::scope(draft, "authorities", authorities.iter().copied());
    if draft.list("scope")?.iter().any(|scope| scope != "uaa.none") {
        draft.not("scope", "scopes of users; client_credentials has the authorities");
    }
    let mut audience: Vec<String> = Vec::new();
    for resource in authorities
        .iter()
        .filter_map(|name| name.rsplit_once('.'))
        .map(|(resource, _)| resource)
    {
        if !audience.iter().any(|known| known == resource) {
            audience.push(resource.to_owned());
        }
    }
    let reason = "a token has one audience here, the requested one or else the first; UAA names the resources of all its scopes and the \
                  client";
    shared::audience(draft, "authorities (aud)", audience, Some(reason));
    if let Some(seconds) = draft.integer("access_token_validity")? {
        shared::lifetime(draft, "access_token_validity", seconds);
    } else {
        let default = "UAA's is jwt.token.policy.accessTokenValiditySeconds, 12 h unless configured";
        shared::no_lifetime(draft, "access_token_validity", default);
    }
    shared::rs256(
        draft,
        "(format of tokens)",
        "UAA signs with RS256 unless its key is a shared secret",
    );
    for field in ["allowpublic", "additional_information.allowpublic"] {
        if draft.flag(field)? == Some(true) {
            draft.not(field, "clients without a secret are not supported here");
        }
    }
    draft.not_carried(NOT_CARRIED);
    for (name, reason) in NOT_CARRIED {
        draft.not_carried(&[(&format!("{ADDITIONAL}.{name}"), reason)]);
    }
    if draft.text("identity_zone_id")?.is_some_and(|zone| zone != "uaa") {
        draft.not("identity_zone_id", "there is one zone here: run a server per zone");
    }
    Ok(Verdict::Client)
}

/// One hash, or two separated by a space, the newest last.
fn secrets(draft: &mut Draft, text: &str, now: i64) -> Result<(), String> {
    const FIELD: &str = "client_secret";
    const PREVIOUS: &str = "client_secret (first of two)";
    let mut hashes: Vec<&str> = text.split(' ').filter(|hash| !hash.is_empty()).collect();
    let Some(newest) = hashes.pop() else { return Ok(()) };
    secret::spring(draft, FIELD, newest.to_owned())?;
    let mut previous: Vec<Value> = Vec::new();
    for hash in hashes.iter().rev() {
        previous.push(match hash.strip_prefix("{noop}") {
            Some(text) => secret::previous_plain(draft, PREVIOUS, text, None)?,
            None => secret::previous(hash, secret::spring_scheme(FIELD, hash)?, None),
        });
    }
    secret::previous_secrets(draft, PREVIOUS, previous, now);
    Ok(())
}
