//! JSON in which no object has a member twice: of such a member, readers take either value (RFC 8259 section 4; RFC 7515 section 4 and
//! RFC 7517 section 4 forbid it).

use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

/// Begins the error about a member that is there twice.
const TWICE: &str = "duplicate member ";

/// The longest name that an error repeats, bytes: shorter than every secret of a client.
const MAX_SHOWN: usize = 31;

/// The beginning of every secret that this server generates.
const SECRET_PREFIX: &str = "oas_";

/// A value of JSON whose objects have each member once.
#[derive(Debug, Clone, PartialEq)]
pub struct Unique(pub Value);

/// Whether an error may repeat the name of a member: a name that could be a secret in the wrong place is not shown.
pub fn may_show(name: &str) -> bool {
    (1..=MAX_SHOWN).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        && !name.to_ascii_lowercase().starts_with(SECRET_PREFIX)
}

/// The name of the member because of which a text was rejected, as an error may repeat it. `None`: the error is another one.
pub fn duplicate(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let (name, _) = text.strip_prefix(TWICE)?.rsplit_once(" at line ")?;
    Some(name.to_owned())
}

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Unique)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Unique(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            if members.contains_key(&name) {
                let shown = if may_show(&name) { &*name } else { "(name not shown)" };
                return Err(A::Error::custom(format_args!("{TWICE}{shown}")));
            }
            let Unique(value) = object.next_value()?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_as_they_are() {
        for value in [
            json!({"a": [1, -2, 1.5, true, null, "x\u{e9}", {"a": {}}], "b": {"a": 1}, "c": u64::MAX}),
            json!([]),
            json!("text"),
        ] {
            let read: Unique = serde_json::from_str(&value.to_string()).unwrap();
            assert_eq!(read.0, value);
        }
    }

    #[test]
    fn a_member_that_is_there_twice_is_named() {
        let error = |text: &str| duplicate(&serde_json::from_str::<Unique>(text).unwrap_err());
        assert_eq!(
            error(r#"{"scope": "a", "b": 1, "scope": "b"}"#).as_deref(),
            Some("scope")
        );
        assert_eq!(error(r#"[{"a": {"k": 1, "k": 1}}]"#).as_deref(), Some("k"));
        assert_eq!(error(r#"{"\u006b": 1, "k": 1}"#).as_deref(), Some("k"));
        for name in ["a\\n", "oas_cs_x", "the name of this member is long"] {
            let text = format!("{{\"{name}\": 1, \"{name}\": 1}}");
            assert_eq!(error(&text).as_deref(), Some("(name not shown)"), "{name}");
        }
        assert_eq!(error(r#"{"a": 1"#), None);
    }
}
