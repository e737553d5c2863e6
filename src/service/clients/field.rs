//! Members of a JSON merge patch (RFC 7396): absent, `null`, or a value.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::service::error::InvalidMetadata;

/// A member of a merge patch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// Not mentioned.
    #[default]
    Absent,
    /// `null`: back to the default.
    Null,
    /// A value.
    Value(T),
}

/// A merge patch of named settings.
pub type Patch<T> = Field<BTreeMap<String, Option<T>>>;

impl<T> Field<T> {
    /// The value, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }
}

impl<T> From<Option<T>> for Field<T> {
    /// `None` = not mentioned.
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}

/// Applies a member whose default is `None`.
pub(in crate::service) fn set<T, U>(
    target: &mut Option<U>,
    field: &Field<T>,
    check: impl Fn(&T) -> Result<U, InvalidMetadata>,
) -> Result<(), InvalidMetadata> {
    set_or(target, field, None, |value| check(value).map(Some))
}

/// Applies a member with a default.
pub(super) fn set_or<T, U>(
    target: &mut U,
    field: &Field<T>,
    default: U,
    check: impl Fn(&T) -> Result<U, InvalidMetadata>,
) -> Result<(), InvalidMetadata> {
    match field {
        Field::Absent => {}
        Field::Null => *target = default,
        Field::Value(value) => *target = check(value)?,
    }
    Ok(())
}
