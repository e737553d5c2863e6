//! Schemas of the model's types in the API document. The model does not depend on it: fields refer to these names, as in
//! `#[schema(value_type = Option<schema::Mode>)]`.

use oauth2_store::model::{self, Endpoint};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::protocol::client_auth::foreign_hash::Scheme;

macro_rules! schemas {
    ($($(#[$meta:meta])* $name:ident: $schema:expr;)+) => {
        $($(#[$meta])*
        #[derive(Debug)]
        pub enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                RefOr::T($schema.into())
            }
        }

        impl ToSchema for $name {})+
    };
}

schemas! {
    /// A grant.
    GrantType: names(model::GrantType::ALL.iter().map(|value| value.as_str()));
    /// An algorithm of signing keys.
    KeyAlgorithm: names(model::KeyAlgorithm::ALL.iter().map(|value| value.as_str()));
    /// A published key set.
    KeyDocument: names(model::KeyDocument::ALL.iter().map(|value| value.as_str()));
    /// Whether tokens are recorded.
    Ledger: names(model::Ledger::ALL.iter().map(|value| value.as_str()));
    /// A scheme of hashes of secrets.
    HashScheme: names(Scheme::all().map(Scheme::as_str));
    /// Whether a limit is enforced.
    Mode: names(model::Mode::ALL.iter().map(|value| value.as_str()));
    /// A signature algorithm of JWTs.
    SigningAlg: names(model::SigningAlg::ALL.iter().map(|value| value.as_str()));
    /// The `typ` header of JWTs.
    TokenTyp: names(model::TokenTyp::ALL.iter().map(|value| value.as_str()));
    /// A token format.
    TokenFormat: names(model::TokenFormat::ALL.iter().map(|value| value.as_str()));
    /// A window of a quota.
    Window: names(model::Window::ALL.iter().map(|value| value.as_str()));
    /// A token type (RFC 6750).
    Bearer: names(["Bearer"]);
    /// Rate limits per endpoint.
    RateLimits: rate_limits();
    /// Tokens per window.
    Quotas: quotas();
}

/// A Boolean that is always the same.
pub fn constant<const VALUE: bool>() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .enum_values(Some([VALUE]))
        .build()
}

/// A string, or an array of strings.
pub fn string_or_strings() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Array]))
        .build()
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names))
}

/// Rates such as `100/s`, with or without a burst of their own.
fn rate_limits() -> ObjectBuilder {
    let rate = || {
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .pattern(Some("^[0-9]{1,10}/[smh](:[0-9]{1,10})?$"))
            .examples(["100/s", "6000/m", "100/s:200"])
    };
    let limits = ObjectBuilder::new().schema_type(Type::Object).description(Some(
        "Requests per second, minute or hour at each endpoint, with or without a burst.",
    ));
    let endpoints = Endpoint::ALL.iter();
    endpoints.fold(limits, |limits, endpoint| limits.property(endpoint.as_str(), rate()))
}

fn quotas() -> ObjectBuilder {
    let quotas = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Tokens per calendar hour, day and month (UTC)."));
    let windows = model::Window::ALL.iter();
    windows.fold(quotas, |quotas, window| {
        let tokens = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::Integer, Type::Null]))
            .minimum(Some(1));
        quotas.property(window.as_str(), tokens)
    })
}
