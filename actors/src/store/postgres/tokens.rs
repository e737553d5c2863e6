//! Reading the ledger.

use tokio_postgres::Row;

use super::column::Seconds;
use super::{Failure, ORDINARY, PATIENT, Page, PostgresStore, Result, StoredToken, TokenRecord, Uuid, row, verb};

impl PostgresStore {
    pub(in crate::store) async fn token(&self, jti: Uuid, expires_at: Option<i64>) -> Result<Option<StoredToken>> {
        verb!(self, ORDINARY, |connection| {
            let rows = if let Some(expires_at) = expires_at {
                let sql = "SELECT jti, expires_at, client_id, user_id, scope, aud, format, secret_hash FROM tokens
                           WHERE jti = $1 AND expires_at = $2";
                connection.query(sql, &[&jti, &Seconds(expires_at)]).await?
            } else {
                let (after, until) = row::expiry_range(&jti);
                let sql = "SELECT jti, expires_at, client_id, user_id, scope, aud, format, secret_hash FROM tokens
                           WHERE jti = $1 AND expires_at > $2 AND expires_at <= $3 LIMIT 1";
                connection.query(sql, &[&jti, &Seconds(after), &Seconds(until)]).await?
            };
            rows.first().map(read).transpose()
        })
    }

    pub(in crate::store) async fn tokens_of(&self, wanted: &[(Uuid, i64)]) -> Result<Vec<StoredToken>> {
        let (ids, expiries): (Vec<_>, Vec<_>) = row::distinct(wanted)
            .into_iter()
            .map(|(jti, at)| (jti, Seconds(at)))
            .unzip();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        verb!(self, ORDINARY, |connection| {
            // `LIMIT` keeps the inner query from becoming a join of its own, which might read whole partitions: what is
            // left is one look-up a token, in the one partition that its expiry names.
            let sql = "SELECT t.* FROM unnest($1::uuid[], $2::timestamptz[]) AS wanted (jti, expires_at),
                       LATERAL (SELECT jti, expires_at, client_id, user_id, scope, aud, format, secret_hash FROM tokens
                                WHERE jti = wanted.jti AND expires_at = wanted.expires_at LIMIT 1) AS t";
            let rows = connection.query(sql, &[&ids, &expiries]).await?;
            rows.iter().map(read).collect()
        })
    }

    pub(in crate::store) async fn list_tokens(
        &self,
        client_id: &str,
        now: i64,
        cursor: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<StoredToken>> {
        verb!(self, PATIENT, |connection| {
            // Backwards along each partition's key, merged: no index by client is needed, and the limit ends it.
            let sql = "SELECT jti, expires_at, client_id, user_id, scope, aud, format, secret_hash FROM tokens
                       WHERE client_id = $1 AND expires_at > $2 AND jti < $3 ORDER BY jti DESC LIMIT $4";
            let below = cursor.unwrap_or(Uuid::max());
            connection.begin("SET LOCAL statement_timeout = 5000").await?;
            let rows = connection
                .query(sql, &[&client_id, &Seconds(now), &below, &(limit as i64 + 1)])
                .await?;
            connection.commit().await?;
            let items = rows.iter().map(read).collect::<std::result::Result<_, Failure>>()?;
            Ok(Page::cut(items, limit, |token: &StoredToken| {
                token.record.jti.to_string()
            }))
        })
    }
}

fn read(r: &Row) -> std::result::Result<StoredToken, Failure> {
    let secret_hash: Option<&[u8]> = r.try_get(7)?;
    Ok(StoredToken {
        record: TokenRecord {
            jti: r.try_get(0)?,
            expires_at: r.try_get::<_, Seconds>(1)?.0,
            client_id: r.try_get::<_, &str>(2)?.into(),
            scope: r.try_get::<_, &str>(4)?.into(),
            audience: r.try_get::<_, &str>(5)?.into(),
            format: row::format_from_code(r.try_get(6)?)?,
            secret_hash: secret_hash.map(row::hash).transpose()?,
        },
        user_id: r.try_get(3)?,
    })
}
