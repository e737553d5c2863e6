//! What the store knows of a token: whether it is on record, and whether anything took it away.

use oauth2_actors::model::token::uuid_v7_ms;
use oauth2_actors::model::{Client, Revocation, RevocationTarget, SigningAlg, StoredToken, TokenFormat};
use oauth2_actors::store::{LogPosition, Store};
use uuid::Uuid;

use crate::cli::store::now;
use crate::config::Config;
use crate::failure::Failure;
use crate::tokens::inspect::Decoded;
use crate::tokens::peek::peek;
use crate::tokens::{claims, jwt, keyring, opaque};

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
    /// It names another issuer, or says what no token of this server can.
    Foreign,
}

impl Held {
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NotActive => "not active",
            Self::Revoked => "revoked",
            Self::NotRecorded => "not recorded",
            Self::Forged => "of another token",
            Self::Foreign => "not of this server",
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

    /// The client, if it may act.
    async fn client(&self, store: &Store) -> Result<Option<Client>, Failure> {
        let client = store.client(self.client_id).await?;
        Ok(client.filter(|client| !client.disabled))
    }
}

/// Whether a token on record counts. The ledger does not know which key signed it: without `kid` the revocation of a key is
/// not seen.
pub async fn is_active(store: &Store, token: &StoredToken, kid: Option<&str>) -> Result<bool, Failure> {
    let subject = Subject::of(token, kid);
    Ok(token.record.expires_at > now() && subject.client(store).await?.is_some() && !subject.is_revoked(store).await?)
}

/// Looks up a token whose signature holds, or that is opaque: that one is proven by its row.
pub async fn held(config: &Config, store: &Store, token: &str, decoded: &Decoded) -> Result<Held, Failure> {
    let Some(glimpse) = peek(token) else {
        return Ok(Held::NotRecorded);
    };
    let shared = decoded.header["alg"] == SigningAlg::Hs256.as_str();
    let claims = &decoded.claims;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let (kid, client_id, sub) = (
        text(&decoded.header["kid"]),
        text(&claims["client_id"]).unwrap_or_default(),
        text(&claims["sub"]),
    );
    if decoded.format != "opaque" && (claims["iss"] != config.issuer || (shared && !is_possible(token))) {
        return Ok(Held::Foreign);
    }
    let stored = store.token(glimpse.jti, Some(glimpse.expires_at)).await?;
    let subject = match (&stored, opaque::parse(token)) {
        (Some(stored), Some(reference)) if !reference.is_of(&stored.record) => return Ok(Held::Forged),
        (Some(stored), None) if !is_of(claims, stored) => return Ok(Held::Forged),
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
    let may = |client: &Client| {
        let format = client.token_format.unwrap_or(config.tokens.format);
        !shared || (client.signing_alg == Some(SigningAlg::Hs256) && format == TokenFormat::Jwt)
    };
    if glimpse.expires_at <= now() || !subject.client(store).await?.is_some_and(|client| may(&client)) {
        return Ok(Held::NotActive);
    }
    Ok(if stored.is_some() {
        Held::Active
    } else {
        Held::NotRecorded
    })
}

/// Whether the server could have made a token that who shares its secret may have made up.
fn is_possible(token: &str) -> bool {
    let claims = jwt::payload(token).and_then(|payload| claims::parse_jwt(&payload));
    claims.is_some_and(|claims| keyring::is_one_that_we_could_make(&claims))
}

/// Whether a record is that of a token with these claims.
fn is_of(claims: &serde_json::Value, stored: &StoredToken) -> bool {
    let record = &stored.record;
    claims["client_id"] == *record.client_id
        && claims["aud"] == *record.audience
        && claims["scope"] == *record.scope
        && claims["sub"] == *stored.user_id.as_deref().unwrap_or(&record.client_id)
}
