//! What messages and stores carry: plain types, no behaviour beyond parsing and printing themselves.
//!
//! Times are whole seconds since the Unix epoch (`i64`) unless the name ends in `_ms`.

pub mod audit;
pub mod client;
pub mod decision;
pub mod key;
pub mod page;
pub mod policy;
pub mod quota;
pub mod revocation;
pub mod succession;
pub mod token;

pub use audit::{AuditEntry, AuditFilter, AuditPlace, AuditRow, Change};
pub use client::{Client, ClientSecret, GrantType, SecretHash};
pub use decision::Decision;
pub use key::{KeyAlgorithm, KeyRevocation, StoredKey};
pub use page::Page;
pub use policy::{Endpoint, Mode, Period, Policy, Quotas, Rate, RateLimits, StaticClaims};
pub use quota::{Expiring, MOST_EXPIRING, Usage, Window};
pub use revocation::{Revocation, RevocationTarget};
pub use token::{Ledger, SigningAlg, StoredToken, TokenFormat, TokenRecord};

/// The longest life an access token may have: 30 days, in seconds. It bounds the number of partitions and how long a
/// revocation must be remembered.
pub const MAX_TOKEN_LIFETIME: i64 = 30 * 24 * 3600;

/// A closed set of names with one spelling each, used in JSON and its schema, on the command line and in the store alike.
macro_rules! names {
    ($(#[$meta:meta])* $type:ident { $($(#[$vmeta:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $type { $($(#[$vmeta])* #[serde(rename = $name)] $variant),+ }

        impl $type {
            /// Every value, in the order of its declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The one spelling of this value.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let text = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::String);
                text.enum_values(Some(Self::ALL.iter().map(|value| value.as_str()))).into()
            }
        }

        impl utoipa::ToSchema for $type {}

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|v| v.as_str() == s).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|v| v.as_str()).collect();
                    format!("must be one of {}", known.join(", "))
                })
            }
        }
    };
}
pub(crate) use names;
