//! The client credentials grant (RFC 6749 section 4.4): a client requests a token for itself.

use oauth2_store::model::{Client, GrantType};
use uuid::Uuid;

use crate::protocol::error::{ErrorCode, OAuthError};
use crate::protocol::form::Form;
use crate::protocol::token_spec::{Target, TokenDefaults, TokenSpec};
use crate::protocol::{resource, scope};

/// The parameters of the request. An empty value counts as absent (RFC 6749 section 3.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// Requested scope, space-separated; `None`: all scopes registered for the client.
    pub scope: Option<&'a str>,
    /// Requested resource; `None`: the first audience registered for the client, or else the issuer.
    pub resource: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A request for a scope and a resource.
    pub fn new(scope: Option<&'a str>, resource: Option<&'a str>) -> Self {
        let is_present = |text: &&str| !text.is_empty();
        Self {
            scope: scope.filter(is_present),
            resource: resource.filter(is_present),
        }
    }

    /// Reads the parameters of a form. `invalid_target` if it names several resources.
    pub fn parse(form: &'a Form<'_>) -> Result<Self, OAuthError> {
        Ok(Self {
            scope: form.get("scope"),
            resource: resource::requested(form)?,
        })
    }
}

/// Decides the token of an authenticated client. `unauthorized_client`, `invalid_scope` or `invalid_target` if the grant type, the
/// scope or the resource is not registered for it.
pub fn decide(
    client: &Client,
    request: &Request<'_>,
    defaults: &TokenDefaults,
    jti: Uuid,
) -> Result<TokenSpec, OAuthError> {
    if !client.grant_types.contains(&GrantType::ClientCredentials) {
        return Err(OAuthError::new(
            ErrorCode::UnauthorizedClient,
            "grant_type is not registered for this client",
        ));
    }
    let scope = scope::granted(request.scope, &client.scope)?;
    let aud = resource::audience(request.resource, &client.audience, &defaults.issuer)?;
    let target = Target { scope, aud };
    Ok(TokenSpec::for_client(
        GrantType::ClientCredentials,
        client,
        target,
        defaults,
        jti,
    ))
}
