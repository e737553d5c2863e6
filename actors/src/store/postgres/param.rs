//! Parameters that know their type, so that a statement need not be prepared for the server to tell it.

use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::column::Seconds;

/// A value on its way into a statement.
pub(super) trait Param: ToSql + Sync {
    /// The type that the statement is told.
    fn ty(&self) -> Type;
}

/// A Rust type that always is the same to Postgres.
pub(super) trait Typed {
    /// Which one.
    const TYPE: Type;
}

/// One that there may be several of.
pub(super) trait Member: Typed {
    /// An array of them.
    const ARRAY: Type;
}

macro_rules! typed {
    ($($rust:ty: $one:ident, $many:ident;)+) => {
        $(impl Typed for $rust { const TYPE: Type = Type::$one; }
          impl Member for $rust { const ARRAY: Type = Type::$many; })+
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

impl<T: Member> Member for Option<T> {
    const ARRAY: Type = T::ARRAY;
}

impl<T: Member> Typed for Vec<T> {
    const TYPE: Type = T::ARRAY;
}

impl<T: Member> Typed for &[T] {
    const TYPE: Type = T::ARRAY;
}

impl<T: Typed + ToSql + Sync> Param for T {
    fn ty(&self) -> Type {
        T::TYPE
    }
}
