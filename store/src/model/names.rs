//! Enums with one name per value.

use std::fmt::Display;

use strum::VariantArray;

/// Declares an enum with one name per value, shared by JSON, the command line and the database.
macro_rules! names {
    ($(#[$meta:meta])* $type:ident { $($(#[$vmeta:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash,
            serde::Serialize, serde::Deserialize,
            strum::Display, strum::EnumString, strum::VariantArray,
        )]
        #[strum(parse_err_ty = String, parse_err_fn = $crate::model::names::unknown_name::<$type>)]
        pub enum $type {
            $($(#[$vmeta])* #[serde(rename = $name)] #[strum(serialize = $name)] $variant),+
        }

        impl $type {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

            /// The name of this value.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl $crate::columns::TextField for $type {
            fn as_text(&self) -> &str {
                self.as_str()
            }

            fn from_text(text: &str) -> Result<Self, String> {
                text.parse().map_err(|why| format!("{text:?} {why}"))
            }
        }
    };
}
pub(crate) use names;

/// The error of parsing an unknown name: a clause that follows the name of the parameter. It does not repeat the input.
pub(crate) fn unknown_name<T: VariantArray + Display>(_input: &str) -> String {
    let known: Vec<String> = T::VARIANTS.iter().map(ToString::to_string).collect();
    format!("must be one of {}", known.join(", "))
}
