//! The OAuth endpoints, for clients and resource servers.

use super::endpoint::endpoints;

pub mod admission;
pub mod introspect;
pub mod introspect_batch;
pub mod revoke;
pub mod token;

endpoints! {
    surface: Api, scope: "", group: Introspection,
    Public: POST "/oauth/token" => token::post, origins: Configured, group: Token;
    Public: POST "/oauth/introspect" => introspect::post;
    Public: POST "/oauth/introspect/batch" => introspect_batch::post;
    Public: POST "/oauth/revoke" => revoke::post, group: Revocation;
}
