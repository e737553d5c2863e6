//! Parameters with their Postgres types, so that a statement can be sent without being prepared first.

use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::seconds::Seconds;

/// A parameter of a statement.
pub(super) trait Param: ToSql + Sync {
    /// Type of the parameter in the statement.
    fn ty(&self) -> Type;
}

/// A Rust type with one Postgres type.
pub(super) trait Typed {
    const TYPE: Type;
}

/// A [`Typed`] that can be an element of an array.
pub(super) trait Element: Typed {
    /// Type of the array.
    const ARRAY: Type;
}

macro_rules! typed {
    ($($rust:ty: $scalar:ident, $array:ident;)+) => {
        $(impl Typed for $rust { const TYPE: Type = Type::$scalar; }
          impl Element for $rust { const ARRAY: Type = Type::$array; })+
    };
}

typed! {
    bool: BOOL, BOOL_ARRAY;
    i64: INT8, INT8_ARRAY;
    &str: TEXT, TEXT_ARRAY;
    String: TEXT, TEXT_ARRAY;
    &[u8]: BYTEA, BYTEA_ARRAY;
    Vec<u8>: BYTEA, BYTEA_ARRAY;
    Uuid: UUID, UUID_ARRAY;
    Value: JSONB, JSONB_ARRAY;
    Seconds: TIMESTAMPTZ, TIMESTAMPTZ_ARRAY;
}

impl<T: Typed> Typed for Option<T> {
    const TYPE: Type = T::TYPE;
}

impl<T: Element> Element for Option<T> {
    const ARRAY: Type = T::ARRAY;
}

impl<T: Element> Typed for Vec<T> {
    const TYPE: Type = T::ARRAY;
}

impl<T: Element> Typed for &[T] {
    const TYPE: Type = T::ARRAY;
}

impl<T: Typed + ToSql + Sync> Param for T {
    fn ty(&self) -> Type {
        T::TYPE
    }
}
