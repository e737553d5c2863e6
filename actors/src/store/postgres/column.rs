//! Parameters written straight from the models: seconds as `timestamptz`, and a batch's columns as arrays.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type, accepts, to_sql_checked};

use super::{Param, TokenRecord, row};

/// Unix seconds of 2000-01-01, where the wire's clock begins; it counts microseconds.
const EPOCH: i64 = 946_684_800;
const MICROS: i64 = 1_000_000;

/// Whole seconds since the Unix epoch, as `timestamptz`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds(pub(super) i64);

impl Seconds {
    fn on_the_wire(self) -> i64 {
        self.0.saturating_sub(EPOCH).saturating_mul(MICROS)
    }
}

impl ToSql for Seconds {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.on_the_wire());
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Seconds {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(micros.div_euclid(MICROS).saturating_add(EPOCH)))
    }

    accepts!(TIMESTAMPTZ);
}

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

/// One column of a batch, encoded as an array without being copied together first.
#[derive(Debug)]
pub(super) struct Column<'a>(pub(super) Field, pub(super) &'a [TokenRecord]);

impl ToSql for Column<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Kind::Array(member) = ty.kind() else {
            return Err("the parameter is not an array".into());
        };
        // Dimensions, whether there are nulls (a hint), the members' type; then the one dimension: its length and origin.
        out.put_i32(1);
        out.put_i32(i32::from(matches!(self.0, Field::SecretHash)));
        out.put_u32(member.oid());
        out.put_i32(i32::try_from(self.1.len())?);
        out.put_i32(1);
        for token in self.1 {
            match self.0 {
                Field::Jti => put(out, token.jti.as_bytes())?,
                Field::ExpiresAt => put(out, &Seconds(token.expires_at).on_the_wire().to_be_bytes())?,
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
