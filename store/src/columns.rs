//! The mapping between the fields of a model and the columns of its table.
//!
//! [`columns!`] lists the columns once, next to the struct whose fields they hold. Both backends generate their SQL from
//! that list, bind [`ColumnValue`]s when they write, and implement [`ColumnReader`] for the rows that they read.

use std::fmt::Display;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::StoreError;

/// Type of a column, by its name in Postgres. SQLite stores arrays and JSON as text, booleans and times as integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SqlType {
    Text,
    TextArray,
    BigInt,
    Boolean,
    /// Unix seconds in the model.
    Timestamp,
    Json,
}

/// The value of a column.
#[derive(Debug)]
pub(crate) enum ColumnValue<'a> {
    Null,
    Text(&'a str),
    TextArray(Vec<&'a str>),
    Integer(i64),
    Boolean(bool),
    Json(Value),
}

/// A column of a table.
pub(crate) struct ColumnDef {
    pub(crate) table: &'static str,
    pub(crate) name: &'static str,
    pub(crate) sql_type: SqlType,
}

/// A column that holds a field of `M`.
pub(crate) struct Column<M> {
    pub(crate) def: ColumnDef,
    /// Whether an `UPDATE` writes it; otherwise only an `INSERT` does.
    pub(crate) is_updated: bool,
    pub(crate) value: fn(&M) -> ColumnValue<'_>,
}

/// The names of columns, separated by commas.
pub(crate) fn names<M>(columns: &[Column<M>]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.def.name).collect();
    names.join(", ")
}

/// Reads the columns of a row; `None` = null.
pub(crate) trait ColumnReader {
    type Error: From<StoreError>;
    /// An element of a text array.
    type Text<'a>: AsRef<str>
    where
        Self: 'a;

    fn text(&self, index: usize) -> Result<Option<&str>, Self::Error>;
    fn text_array(&self, index: usize) -> Result<Option<Vec<Self::Text<'_>>>, Self::Error>;
    /// A number, or a time in Unix seconds.
    fn integer(&self, index: usize, sql_type: SqlType) -> Result<Option<i64>, Self::Error>;
    fn boolean(&self, index: usize) -> Result<Option<bool>, Self::Error>;
    /// The text of a document.
    fn json(&self, index: usize) -> Result<Option<&str>, Self::Error>;
}

/// A column of a row that is being read.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    index: usize,
    def: &'static ColumnDef,
}

impl Position {
    /// The error for a value that the field cannot hold; `why` follows the name of the column.
    fn invalid(self, why: impl Display) -> StoreError {
        StoreError::Corrupt(format!("{}.{} {why}", self.def.table, self.def.name))
    }
}

/// Reads the fields of a row, in the order of the columns.
pub(crate) struct Fields<'a, M: 'static, R> {
    row: &'a R,
    columns: &'static [Column<M>],
    next: usize,
}

impl<'a, M, R: ColumnReader> Fields<'a, M, R> {
    pub(crate) fn new(row: &'a R, columns: &'static [Column<M>]) -> Self {
        Self { row, columns, next: 0 }
    }

    /// The next field; null is an error unless its type is an `Option`.
    #[inline]
    pub(crate) fn read<F: Field>(&mut self) -> Result<F, R::Error> {
        let position = Position {
            index: self.next,
            def: &self.columns[self.next].def,
        };
        self.next += 1;
        F::read(self.row, position)?.ok_or_else(|| position.invalid("is null").into())
    }
}

/// A field that is stored in one column. Reading does not go through [`ColumnValue`]: a start reads up to a million rows.
pub(crate) trait Field: Sized {
    fn to_column(&self) -> ColumnValue<'_>;

    /// `None`: the column is null.
    fn read<R: ColumnReader>(row: &R, position: Position) -> Result<Option<Self>, R::Error>;
}

/// A field that is stored as text, or as an element of a text array.
pub(crate) trait TextField: Sized {
    fn as_text(&self) -> &str;

    /// The error is a clause that follows the name of the column.
    fn from_text(text: &str) -> Result<Self, String>;

    /// The elements of an array.
    fn from_texts(texts: &[impl AsRef<str>]) -> Result<Arc<[Self]>, String> {
        texts.iter().map(|text| Self::from_text(text.as_ref())).collect()
    }
}

impl TextField for Arc<str> {
    fn as_text(&self) -> &str {
        self
    }

    #[inline]
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    // Without the intermediate list of a fallible conversion.
    fn from_texts(texts: &[impl AsRef<str>]) -> Result<Arc<[Self]>, String> {
        Ok(texts.iter().map(|text| text.as_ref().into()).collect())
    }
}

impl TextField for Box<str> {
    fn as_text(&self) -> &str {
        self
    }

    #[inline]
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }
}

/// Declares the columns of a model: `COLUMNS`, and `from_row` for a row that begins with them, in that order.
///
/// A column is `field: Type`, or `field as column: Type` if its name differs from the field's. Other fields are not columns of
/// the table; `from_row` sets them to their default.
macro_rules! columns {
    (
        $model:ident in $table:literal
        insert only { $($inserted:ident $(as $inserted_name:ident)?: $inserted_type:ident,)+ }
        insert and update { $($updated:ident $(as $updated_name:ident)?: $updated_type:ident,)+ }
        other fields { $($other:ident),* }
    ) => {
        impl $model {
            pub(crate) const COLUMNS: &'static [$crate::columns::Column<Self>] = &[
                $($crate::columns::Column {
                    def: $crate::columns::ColumnDef {
                        table: $table,
                        name: $crate::columns::column_name!($inserted $($inserted_name)?),
                        sql_type: $crate::columns::SqlType::$inserted_type,
                    },
                    is_updated: false,
                    value: |model| $crate::columns::Field::to_column(&model.$inserted),
                },)+
                $($crate::columns::Column {
                    def: $crate::columns::ColumnDef {
                        table: $table,
                        name: $crate::columns::column_name!($updated $($updated_name)?),
                        sql_type: $crate::columns::SqlType::$updated_type,
                    },
                    is_updated: true,
                    value: |model| $crate::columns::Field::to_column(&model.$updated),
                },)+
            ];

            pub(crate) fn from_row<R: $crate::columns::ColumnReader>(row: &R) -> Result<Self, R::Error> {
                let mut fields = $crate::columns::Fields::new(row, Self::COLUMNS);
                Ok(Self {
                    $($inserted: fields.read()?,)+
                    $($updated: fields.read()?,)+
                    $($other: Default::default(),)*
                })
            }
        }
    };
}
pub(crate) use columns;

/// The name of a column: that of its field unless another one is given.
macro_rules! column_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $column:ident) => {
        stringify!($column)
    };
}
pub(crate) use column_name;

impl<T: Field> Field for Option<T> {
    fn to_column(&self) -> ColumnValue<'_> {
        self.as_ref().map_or(ColumnValue::Null, T::to_column)
    }

    #[inline]
    fn read<R: ColumnReader>(row: &R, position: Position) -> Result<Option<Self>, R::Error> {
        T::read(row, position).map(Some)
    }
}

impl<T: TextField> Field for T {
    fn to_column(&self) -> ColumnValue<'_> {
        ColumnValue::Text(self.as_text())
    }

    #[inline]
    fn read<R: ColumnReader>(row: &R, position: Position) -> Result<Option<Self>, R::Error> {
        let text = row.text(position.index)?;
        let value = text.map(T::from_text).transpose();
        value.map_err(|why| position.invalid(why).into())
    }
}

impl<T: TextField> Field for Arc<[T]> {
    fn to_column(&self) -> ColumnValue<'_> {
        ColumnValue::TextArray(self.iter().map(T::as_text).collect())
    }

    #[inline]
    fn read<R: ColumnReader>(row: &R, position: Position) -> Result<Option<Self>, R::Error> {
        let texts = row.text_array(position.index)?;
        let list = texts.map(|texts| T::from_texts(&texts)).transpose();
        list.map_err(|why| position.invalid(why).into())
    }
}

impl Field for i64 {
    fn to_column(&self) -> ColumnValue<'_> {
        ColumnValue::Integer(*self)
    }

    #[inline]
    fn read<R: ColumnReader>(row: &R, position: Position) -> Result<Option<Self>, R::Error> {
        row.integer(position.index, position.def.sql_type)
    }
}

impl Field for u32 {
    fn to_column(&self) -> ColumnValue<'_> {
        ColumnValue::Integer((*self).into())
    }

    #[inline]
    fn read<R: ColumnReader>(row: &R, position: Position) -> Result<Option<Self>, R::Error> {
        let number = row.integer(position.index, position.def.sql_type)?.map(Self::try_from);
        number
            .transpose()
            .map_err(|_| position.invalid("is out of range").into())
    }
}

impl Field for bool {
    fn to_column(&self) -> ColumnValue<'_> {
        ColumnValue::Boolean(*self)
    }

    #[inline]
    fn read<R: ColumnReader>(row: &R, position: Position) -> Result<Option<Self>, R::Error> {
        row.boolean(position.index)
    }
}

/// A JSON document.
impl<T: Serialize + DeserializeOwned> Field for Arc<T> {
    fn to_column(&self) -> ColumnValue<'_> {
        // A struct with string keys always serializes.
        ColumnValue::Json(serde_json::to_value(&**self).unwrap_or_default())
    }

    #[inline]
    fn read<R: ColumnReader>(row: &R, position: Position) -> Result<Option<Self>, R::Error> {
        let document = row.json(position.index)?.map(serde_json::from_str);
        let document = document
            .transpose()
            .map_err(|error| position.invalid(format_args!("is invalid: {error}")))?;
        Ok(document.map(Self::new))
    }
}
