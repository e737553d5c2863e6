//! The well-known documents: authorization server metadata and public keys.

use super::endpoint::endpoints;

pub mod document;
pub mod jwks;
pub mod metadata;
pub mod paseto_keys;

endpoints! {
    surface: Api, scope: "", group: Metadata,
    Public: GET "/.well-known/oauth-authorization-server" => metadata::get, origins: Any;
    Public: GET "/.well-known/openid-configuration" => metadata::get_openid, origins: Any;
    Public: GET "/.well-known/jwks.json" => jwks::get, origins: Any;
    Public: GET "/.well-known/paseto-keys.json" => paseto_keys::get, origins: Any;
}
