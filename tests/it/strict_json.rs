//! A JSON parser that notices repeated members and raw control characters.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// JSON with the order and the repetition of members, which [`Value`] loses.
#[derive(Debug)]
enum Strict {
    Members(Vec<(String, Strict)>),
    Items(Vec<Strict>),
    Other,
}

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Strict;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Strict::Members(members))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Strict, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Strict::Items(items))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
                Ok(Strict::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
                Ok(Strict::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
                Ok(Strict::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
                Ok(Strict::Other)
            }

            fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
                Ok(Strict::Other)
            }

            fn visit_unit<E>(self) -> Result<Strict, E> {
                Ok(Strict::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl Strict {
    fn has_repeated_member(&self) -> bool {
        match self {
            Self::Members(members) => {
                let repeated = |at: usize| members[..at].iter().any(|(name, _)| *name == members[at].0);
                (0..members.len()).any(repeated) || members.iter().any(|(_, value)| value.has_repeated_member())
            }
            Self::Items(items) => items.iter().any(Self::has_repeated_member),
            Self::Other => false,
        }
    }
}

/// Parses an answer, which must be JSON without a raw control character and without a repeated member.
pub fn parsed(text: &str) -> Value {
    let raw = text
        .chars()
        .find(|c| c.is_control() && !"\n\t\r".contains(*c) && u32::from(*c) < 0x20);
    assert_eq!(raw, None, "{text:?}");
    let strict: Strict = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
    assert!(!strict.has_repeated_member(), "{text}");
    serde_json::from_str(text).unwrap()
}
