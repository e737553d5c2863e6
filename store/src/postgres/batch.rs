//! Columns of a batch of tokens, encoded directly from the ledger entries.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};

use super::param::Param;
use super::seconds::Seconds;
use crate::model::LedgerEntry;
use crate::row;

/// A column of the ledger.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    Jti,
    ExpiresAt,
    ClientId,
    Scope,
    Audience,
    Format,
    SecretHash,
}

/// One column of a batch, encoded as an array without an intermediate copy.
#[derive(Debug)]
pub(super) struct Column<'a>(pub(super) Field, pub(super) &'a [LedgerEntry]);

impl ToSql for Column<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Kind::Array(element) = ty.kind() else {
            return Err("the parameter is not an array".into());
        };
        // Number of dimensions, whether there may be nulls, type of the elements; then length and lower bound of the dimension.
        out.put_i32(1);
        out.put_i32(i32::from(matches!(self.0, Field::SecretHash)));
        out.put_u32(element.oid());
        out.put_i32(i32::try_from(self.1.len())?);
        out.put_i32(1);
        for LedgerEntry::Issue(token) in self.1 {
            match self.0 {
                Field::Jti => put(out, token.jti.as_bytes())?,
                Field::ExpiresAt => put(out, &Seconds(token.expires_at).to_micros().to_be_bytes())?,
                Field::ClientId => put(out, token.client_id.as_bytes())?,
                Field::Scope => put(out, token.scope.as_bytes())?,
                Field::Audience => put(out, token.audience.as_bytes())?,
                Field::Format => put(out, &row::format_code(token.format).to_be_bytes())?,
                Field::SecretHash => match &token.secret_hash {
                    Some(hash) => put(out, hash)?,
                    None => out.put_i32(-1),
                },
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(ty.kind(), Kind::Array(_))
    }

    to_sql_checked!();
}

impl Param for Column<'_> {
    fn ty(&self) -> Type {
        match self.0 {
            Field::Jti => Type::UUID_ARRAY,
            Field::ExpiresAt => Type::TIMESTAMPTZ_ARRAY,
            Field::ClientId | Field::Scope | Field::Audience => Type::TEXT_ARRAY,
            Field::Format => Type::INT2_ARRAY,
            Field::SecretHash => Type::BYTEA_ARRAY,
        }
    }
}

fn put(out: &mut BytesMut, bytes: &[u8]) -> Result<(), Box<dyn Error + Sync + Send>> {
    out.put_i32(i32::try_from(bytes.len())?);
    out.put_slice(bytes);
    Ok(())
}
