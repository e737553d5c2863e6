//! The client credentials grant (RFC 6749 section 4.4): a client asks in its own name.

use std::sync::Arc;

use oauth2_actors::model::token::uuid_v7_ms;
use oauth2_actors::model::{Client, GrantType, Ledger, SigningAlg, TokenFormat};
use uuid::Uuid;

use super::{Defaults, Grant};
use crate::oauth::error::{Code, Error};
use crate::oauth::form::Form;
use crate::oauth::{scope, target};
use crate::tokens::claims::Claims;

/// Decides the token of an authenticated client. `jti` is fresh, and its stamp is the time of issue.
pub fn decide(client: &Client, form: &Form<'_>, defaults: &Defaults, jti: Uuid) -> Result<Grant, Error> {
    if !client.grant_types.contains(&GrantType::ClientCredentials) {
        return Err(Error::new(
            Code::UnauthorizedClient,
            "the client may not use this grant",
        ));
    }
    let scope = scope::grant(form.get("scope"), &client.scope)?;
    let aud = target::grant(form, &client.audience, &defaults.issuer)?;
    let lifetime = client.access_token_lifetime.unwrap_or(defaults.lifetime);
    let format = client.token_format.unwrap_or(defaults.format);
    let ledger = match format {
        // A reference without a row would stand for nothing.
        TokenFormat::Opaque => Ledger::Durable,
        _ => client.token_ledger.unwrap_or(defaults.ledger),
    };
    let iat = (uuid_v7_ms(&jti) / 1000) as i64;
    let claims = Claims {
        iss: Arc::clone(&defaults.issuer),
        sub: Arc::clone(&client.client_id),
        aud,
        exp: iat + i64::from(lifetime),
        iat,
        jti,
        client_id: Arc::clone(&client.client_id),
        scope,
        extra: client
            .policy
            .as_ref()
            .and_then(|policy| policy.claims.members().cloned()),
    };
    Ok(Grant {
        claims,
        format,
        signing_alg: client.signing_alg.unwrap_or(SigningAlg::EdDsa),
        ledger,
        lifetime,
    })
}
