//! Unix seconds as `timestamptz`.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// Unix seconds of 2000-01-01, the epoch of Postgres' binary format, which counts microseconds.
const EPOCH: i64 = 946_684_800;
const MICROS: i64 = 1_000_000;

/// Whole seconds since the Unix epoch, as `timestamptz`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds(pub(super) i64);

impl Seconds {
    /// The value in the binary format.
    pub(super) fn to_micros(self) -> i64 {
        self.0.saturating_sub(EPOCH).saturating_mul(MICROS)
    }
}

impl ToSql for Seconds {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.to_micros());
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
