//! Shared parts of translators.

use super::draft::Draft;
use super::translator::Verdict;
use crate::service::clients::import::RowError;

const METHOD: &str = "token_endpoint_auth_method";

const GRANT: &str = "client_credentials";

const ALL_SCOPES: &str = "a request without scope gets all scopes of the client";

const FIRST_AUDIENCE: &str = "a token has one audience: the requested one, or else the first";

/// Carries over the grant that is supported, and reports the others. A verdict if the client does not have it.
pub(super) fn grants(draft: &mut Draft, field: &str, grants: &[String]) -> Option<Verdict> {
    for grant in grants.iter().filter(|grant| *grant != GRANT) {
        draft.not(field, &format!("the grant {grant} is not supported here"));
    }
    if !grants.iter().any(|grant| grant == GRANT) {
        let has = if grants.is_empty() {
            "no grants".to_owned()
        } else {
            grants.join(", ")
        };
        return Some(Verdict::Omitted(format!("it may not use {GRANT}; it has {has}")));
    }
    draft.exactly(field, "grant_types", vec![GRANT]);
    None
}

/// Checks how the client authenticates. A verdict if it does so without a secret.
pub(super) fn auth_method(draft: &mut Draft, field: &str, method: Option<&str>) -> Option<Verdict> {
    match method {
        None => None,
        Some(method @ ("client_secret_basic" | "client_secret_post")) => {
            draft.covered(field, &format!("{method} is accepted; so is the other one"));
            None
        }
        Some("none") => Some(Verdict::Omitted(
            "it is a public client; only clients with a secret are supported here".to_owned(),
        )),
        Some(other) => Some(Verdict::Omitted(format!(
            "it authenticates with {other}; only secrets are supported here"
        ))),
    }
}

/// Both of these, for products that name the fields as dynamic registration does (RFC 7591 section 2).
pub(super) fn grants_and_auth_method(draft: &mut Draft, grants: &[String]) -> Result<Option<Verdict>, RowError> {
    if let Some(verdict) = self::grants(draft, "grant_types", grants) {
        return Ok(Some(verdict));
    }
    let method = draft.text(METHOD)?;
    Ok(auth_method(draft, METHOD, method.as_deref()))
}

/// Carries over scopes of requests that name them.
pub(super) fn scope<'t>(draft: &mut Draft, field: &str, scopes: impl IntoIterator<Item = &'t str>) {
    scope_because(draft, field, scopes, ALL_SCOPES);
}

/// The same. `reason`: how a request without scope differs.
pub(super) fn scope_because<'t>(
    draft: &mut Draft,
    field: &str,
    scopes: impl IntoIterator<Item = &'t str>,
    reason: &str,
) {
    let mut distinct: Vec<&str> = Vec::new();
    for scope in scopes {
        if !distinct.contains(&scope) {
            distinct.push(scope);
        }
    }
    if distinct.is_empty() {
        return;
    }
    if distinct.iter().any(|scope| scope.contains('*')) {
        let reason = "a scope with * is a name like any other here: list the scopes that it stands for";
        draft.approximately(field, "scope", distinct.join(" "), reason);
        return;
    }
    draft.approximately(field, "scope", distinct.join(" "), reason);
}

/// Carries over audiences. `reason`: how the result differs, if not as usual.
pub(super) fn audience(draft: &mut Draft, field: &str, audience: Vec<String>, reason: Option<&str>) {
    if !audience.is_empty() {
        draft.approximately(field, "audience", audience, reason.unwrap_or(FIRST_AUDIENCE));
    }
}

/// Carries over a lifetime in seconds. Zero and less mean the server's.
pub(super) fn lifetime(draft: &mut Draft, field: &str, seconds: i64) {
    if seconds <= 0 {
        draft.covered(field, "not set");
    } else {
        draft.exactly(field, "access_token_lifetime", seconds);
    }
}

/// Reports that the export does not say how long tokens are valid.
pub(super) fn no_lifetime(draft: &mut Draft, field: &str, default: &str) {
    let reason = format!(
        "not in the export: this server's default is used; {default}: use --set-default access_token_lifetime=SECONDS"
    );
    draft.not(field, &reason);
}

/// JWTs with the algorithm and the type that the product uses unless it is configured otherwise.
pub(super) fn rs256(draft: &mut Draft, field: &str, reason: &str) {
    draft.exactly(field, "token_format", "jwt");
    draft.approximately(field, "signing_alg", "RS256", reason);
    draft.put("token_typ", "JWT");
}
