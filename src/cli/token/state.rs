//! What the store knows of a token: whether it is on record, and whether anything took it away.

use oauth2_actors::model::token::uuid_v7_ms;
use oauth2_actors::model::{Revocation, RevocationTarget, StoredToken};
use oauth2_actors::store::{LogPosition, Store};
use uuid::Uuid;

use crate::cli::store::now;
use crate::failure::Failure;
use crate::tokens::inspect::Decoded;
use crate::tokens::opaque;
use crate::tokens::peek::peek;

/// What the store says of a token that somebody holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Active,
    /// Expired, or its client is disabled or gone.
    NotActive,
    Revoked,
    NotRecorded,
    /// The row of its id is of another token.
    Forged,
}

impl Held {
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NotActive => "not active",
            Self::Revoked => "revoked",
            Self::NotRecorded => "not recorded",
            Self::Forged => "of another token",
        }
    }
}

/// What revocations name.
struct Subject<'a> {
    jti: Uuid,
    client_id: &'a str,
    user_id: Option<&'a str>,
    kid: Option<&'a str>,
}

impl<'a> Subject<'a> {
    fn of(token: &'a StoredToken, kid: Option<&'a str>) -> Self {
        Self {
            jti: token.record.jti,
            client_id: &token.record.client_id,
            user_id: token.user_id.as_deref(),
            kid,
        }
    }

    fn is_taken_by(&self, revocation: &Revocation) -> bool {
        let cut_off = uuid_v7_ms(&self.jti) <= revocation.cutoff_ms;
        match &revocation.target {
            RevocationTarget::Token { jti, .. } => *jti == self.jti,
            RevocationTarget::Client(id) => cut_off && id.as_str() == self.client_id,
            RevocationTarget::User(id) => cut_off && self.user_id == Some(id.as_str()),
            RevocationTarget::Issuer => cut_off,
            RevocationTarget::Key(kid) => cut_off && self.kid == Some(kid.as_str()),
        }
    }

    async fn is_revoked(&self, store: &Store) -> Result<bool, Failure> {
        let (log, _) = store.revocations_since(LogPosition::default()).await?;
        Ok(log.iter().any(|revocation| self.is_taken_by(revocation)))
    }

    async fn has_its_client(&self, store: &Store) -> Result<bool, Failure> {
        Ok(store
            .client(self.client_id)
            .await?
            .is_some_and(|client| !client.disabled))
    }
}

/// Whether a token on record counts. The ledger does not know which key signed it: without `kid` the revocation of a key is
/// not seen.
pub async fn is_active(store: &Store, token: &StoredToken, kid: Option<&str>) -> Result<bool, Failure> {
    let subject = Subject::of(token, kid);
    Ok(token.record.expires_at > now() && subject.has_its_client(store).await? && !subject.is_revoked(store).await?)
}

/// Looks up a token whose signature holds, or that is opaque: that one is proven by its row.
pub async fn held(store: &Store, token: &str, decoded: &Decoded) -> Result<Held, Failure> {
    let Some(glimpse) = peek(token) else {
        return Ok(Held::NotRecorded);
    };
    let stored = store.token(glimpse.jti, Some(glimpse.expires_at)).await?;
    let text = |value: &'_ serde_json::Value| value.as_str().map(str::to_owned);
    let (kid, client_id, sub) = (
        text(&decoded.header["kid"]),
        text(&decoded.claims["client_id"]).unwrap_or_default(),
        text(&decoded.claims["sub"]),
    );
    let subject = match (&stored, opaque::parse(token)) {
        (Some(stored), Some(reference)) if !reference.is_of(&stored.record) => return Ok(Held::Forged),
        (None, Some(_)) => return Ok(Held::NotRecorded),
        (Some(stored), _) => Subject::of(stored, kid.as_deref()),
        // One without a record is known by what it says, which its signature vouches for.
        (None, None) => Subject {
            jti: glimpse.jti,
            client_id: &client_id,
            user_id: sub.as_deref().filter(|sub| *sub != client_id),
            kid: kid.as_deref(),
        },
    };
    if subject.is_revoked(store).await? {
        return Ok(Held::Revoked);
    }
    if glimpse.expires_at <= now() || !subject.has_its_client(store).await? {
        return Ok(Held::NotActive);
    }
    Ok(if stored.is_some() {
        Held::Active
    } else {
        Held::NotRecorded
    })
}
