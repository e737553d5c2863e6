//! Clients that get and introspect tokens. The library revokes over https only.

use oauth2::basic::{
    BasicClient, BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenResponse,
};
use oauth2::{
    AccessToken, AuthType, Client, ClientId, ClientSecret, EndpointNotSet, EndpointSet, IntrospectionUrl, Scope,
    StandardRevocableToken, TokenIntrospectionResponse, TokenResponse, TokenUrl,
};
use serde_json::Value;

use crate::report::{Failure, Fixture, Report};

type Configured = Client<
    BasicErrorResponse,
    BasicTokenResponse,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
    EndpointNotSet,
    EndpointSet,
>;

pub fn check(report: &mut Report, fixture: &Fixture) {
    for (method, name) in [
        (AuthType::BasicAuth, "client_secret_basic"),
        (AuthType::RequestBody, "client_secret_post"),
    ] {
        report.check("oauth2 5", &format!("gets and introspects a token with {name}"), || {
            gets_and_introspects(fixture, method)
        });
    }
}

fn gets_and_introspects(fixture: &Fixture, method: AuthType) -> Result<(), Failure> {
    let client = configured(fixture)?.set_auth_type(method);
    let http = oauth2::ureq::Agent::new();
    let answer = client
        .exchange_client_credentials()
        .add_scope(Scope::new("read".into()))
        .request(&http)?;
    let token: &AccessToken = answer.access_token();
    if !client.introspect(token).request(&http)?.active() {
        return Err("the token is not active".into());
    }
    let unknown = AccessToken::new(format!("{}x", token.secret()));
    if client.introspect(&unknown).request(&http)?.active() {
        return Err("an unknown token is active".into());
    }
    Ok(())
}

/// The client with the endpoints that the metadata names.
fn configured(fixture: &Fixture) -> Result<Configured, Failure> {
    let url = format!("{}/.well-known/oauth-authorization-server", fixture.issuer);
    let metadata: Value = ureq::get(&url).call()?.into_json()?;
    let endpoint = |name: &str| metadata[name].as_str().unwrap_or_default().to_owned();
    let client = fixture.client("es256")?;
    Ok(BasicClient::new(ClientId::new(client.client_id.clone()))
        .set_client_secret(ClientSecret::new(client.client_secret.clone()))
        .set_token_uri(TokenUrl::new(endpoint("token_endpoint"))?)
        .set_introspection_url(IntrospectionUrl::new(endpoint("introspection_endpoint"))?))
}
